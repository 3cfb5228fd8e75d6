"""The destination suite, run against every connector that has a destination."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from string import ascii_letters
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg.types.json import set_json_loads

from postroad.connectors.sql import connector
from postroad.connectors.sql.settings import SqlSettings
from postroad.errors import AuthError, BatchRefusedError, ConfigError, TransientError
from postroad.records import Entity
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Destination, Tools
from postroad.sdk.secrets import Secret
from postroad.testing import KEY, THINGS, Row, thing
from tests.contract.lists import NESTED, ReadableListsSuite
from tests.contract.texts import exact_text
from tests.flow.post import memory_folder


def opened(url: str, folder: Path = Path()) -> Destination:
    """A destination on a database."""
    assert connector.destination is not None
    tools = Tools(MemoryBudget(time.time), time.time, folder=folder)
    return connector.destination(SqlSettings(url=Secret.literal(url)), tools)


def by_key(names: list[str], rows: list[tuple[Any, ...]]) -> dict[tuple[str, int], Row]:
    """Rows without our own columns."""
    found = [dict(zip(names, row, strict=True)) for row in rows]
    kept = [{name: value for name, value in row.items() if name[0] != "_"} for row in found if not row["_deleted"]]
    return {(row["company"], row["number"]): row for row in kept}


def in_json(value: Any) -> Any:
    """A value as one of PostgreSQL's JSON."""
    if isinstance(value, list):
        return [in_json(each) for each in value]
    if isinstance(value, dict):
        return {name: in_json(each) for name, each in value.items()}
    return value if isinstance(value, Decimal) else exact_text(value)


def as_json(value: Any) -> str:
    """As short as it can be written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class TestSqlite(ReadableListsSuite):
    """SQLite, read back by the standard library. What it has no type for is a text that loses nothing."""

    @pytest.fixture(autouse=True)
    def receiver(self) -> Iterator[None]:
        """An empty file."""
        with memory_folder() as self.folder:
            yield

    def destination(self) -> Destination:
        """The same file each time."""
        return opened("sqlite:///app.db", self.folder)

    def held(self) -> Mapping[tuple[str, int], Row]:
        """All rows."""
        with closing(sqlite3.connect(self.folder / "app.db")) as database:
            found = database.execute("select * from things")
            return by_key([each[0] for each in found.description], found.fetchall())

    def expected(self, values: Row) -> Row:
        """Exact texts; of lists their JSON."""
        texts = {name: exact_text(value) for name, value in values.items()}
        return {name: as_json(value) if isinstance(value, list) else value for name, value in texts.items()}

    def test_a_table_that_is_none_of_ours_is_left_alone(self) -> None:
        """Or that has another key."""
        with closing(sqlite3.connect(self.folder / "app.db")) as database, database:
            database.execute("create table things (company text primary key)")
        with pytest.raises(ConfigError, match="name another target"):
            self._send([thing(1, 1)])

    def test_two_workers_may_make_and_widen_a_table_at_once(self) -> None:
        """Each looks again when the other was faster."""
        wide = Entity("things", KEY, pa.schema([*THINGS, pa.field("colour", pa.string())]))
        with closing(self.destination()) as one, closing(self.destination()) as other:
            for destination, target, number in ((one, self.target, 1), (other, wide, 2), (one, wide, 3)):
                self._pass(destination, [thing(number, 1, "x")], target)
        assert set(self._texts()) == {1, 2, 3}

    @pytest.mark.parametrize(("field", "sentence"), [
        (pa.field("map", pa.map_(pa.string(), pa.int64())), "no type"),
        (pa.field("x" * 64, pa.string()), "longer than"),
        (pa.field("SELECT", pa.string()), "one column in SQL"),
    ])  # fmt: skip
    def test_a_column_that_sql_cannot_have_is_told(self, field: pa.Field, sentence: str) -> None:
        """A person decides; nothing is cut off or mixed up."""
        target = Entity("things", KEY, pa.schema([*THINGS, field]))
        with pytest.raises(ConfigError, match=sentence):
            self._send([thing(1, 1)], target)

    def test_a_locked_or_missing_database_is_an_outage(self) -> None:
        """Nothing was applied, and the same is sent again."""
        missing = opened("sqlite:///nowhere/app.db", self.folder)
        with closing(missing), pytest.raises(TransientError, match="did not take it"):
            self._pass(missing, [thing(1, 1)], self.target)

    def test_a_wrong_option_of_the_url_refuses_no_record(self) -> None:
        """A person mends it; each record alone would fail as well."""
        with closing(opened("sqlite:///app.db?timeout=soon", self.folder)) as to, pytest.raises(ConfigError):
            self._pass(to, [thing(1, 1)], self.target)

    @pytest.mark.parametrize("url", ["mysql://there/app", "sqlite://", "no url", "postgresql://us:word@there:port/a"])
    def test_a_url_that_means_nothing_is_told_by_the_check(self, url: str) -> None:
        """Without the url, which may hold a password."""
        (step,) = opened(url).check()
        assert not step.ok
        assert "sqlite" in step.sentence
        assert "there" not in step.sentence


class TestPostgresql(ReadableListsSuite):
    """PostgreSQL by the same code, read back by psycopg."""

    @pytest.fixture(autouse=True)
    def receiver(self, postgresql_url: str) -> None:
        """An empty database."""
        self.url = postgresql_url

    def destination(self) -> Destination:
        """The same database each time."""
        return opened(self.url)

    def held(self) -> Mapping[tuple[str, int], Row]:
        """All rows; times are the same instants, whatever zone they are shown in."""
        with psycopg.connect(self.url) as database:
            set_json_loads(partial(json.loads, parse_float=Decimal), database)
            found = database.execute("select * from things")
            return by_key([each.name for each in found.description or ()], found.fetchall())

    def expected(self, values: Row) -> Row:
        """Its own types; in JSON numbers with all their digits, and texts of days and times."""
        return {name: in_json(value) if isinstance(value, list) else value for name, value in values.items()}

    def test_a_changed_secret_is_found(self) -> None:
        """Whoever is refused reads it again, once; a wrong one is told without it."""
        wrong = self.url.replace("postgres@", "nobody_we_know:wrong-password@")
        answers = iter([wrong, wrong, wrong, self.url])
        assert connector.destination is not None
        settings = SqlSettings(url=Secret(lambda: next(answers)))
        destination = connector.destination(settings, Tools(MemoryBudget(time.time), time.time))
        (step,) = destination.check()
        assert "refuses us" in step.sentence
        assert "wrong-password" not in step.sentence
        destination.close()
        with pytest.raises(AuthError, match="refuses us"):
            self._pass(destination, [thing(1, 1, "x")], self.target)
        self._pass(destination, [thing(1, 1, "x")], self.target)
        destination.close()
        assert self._texts() == {1: "x"}

    def test_a_text_that_the_database_cannot_hold_is_refused_and_not_cut(self) -> None:
        """Its engine then sends halves."""
        with pytest.raises(BatchRefusedError, match="NUL"):
            self._send([thing(1, 1, "fine"), thing(2, 1, "a\x00b")])
        with pytest.raises(BatchRefusedError, match="Unicode"):
            self._send([thing(2, 1, lines=[{"item": "a\x00b"}])], NESTED)
        self._send([thing(1, 1, "fine")])
        assert self._texts() == {1: "fine"}

    def test_a_wrong_option_of_the_url_refuses_no_record(self) -> None:
        """A person mends it; each record alone would fail as well."""
        with closing(opened(f"{self.url}?colour=red")) as to, pytest.raises(ConfigError, match="colour"):
            self._pass(to, [thing(1, 1)], self.target)

    def test_a_record_that_a_trigger_or_an_index_refuses_holds_up_no_other(self) -> None:
        """Neither an outage nor a mistake of ours: its engine sends halves, down to that record."""
        self._send([thing(1, 1, "fine")])
        with psycopg.connect(self.url) as database:
            database.execute(RAISES)
            database.execute("create trigger guard before insert on things for each row execute function guard()")
        with pytest.raises(BatchRefusedError, match="it is locked"):
            self._send([thing(2, 1, "locked")])
        long = "".join(Random(1).choices(ascii_letters, k=20_000))  # more than the index of the key takes
        with pytest.raises(BatchRefusedError, match="maximum"):
            self._send([{**thing(3, 1, "x"), "company": long}])

    def test_what_a_record_holds_is_not_told(self) -> None:
        """Also where the database quotes it."""
        self._send([thing(1, 1, "1")])
        with psycopg.connect(self.url) as database:
            database.execute('alter table things add check (cast("Select" as integer) > 0)')
        with pytest.raises(BatchRefusedError) as caught:
            self._send([thing(2, 1, 'Ann "the" Vendor')])
        assert str(caught.value).endswith("invalid input syntax for type integer: …")


RAISES = """
create function guard() returns trigger language plpgsql as
$$ begin if new."Select" = 'locked' then raise exception 'it is locked'; end if; return new; end $$
"""
