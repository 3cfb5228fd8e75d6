"""The whole way with the books on PostgreSQL."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from sqlalchemy import text

from postroad import App, Connection, Project, Sync
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.errors import ConfigError, DatabaseError
from postroad.sdk.secrets import Secret
from postroad.store import database
from postroad.store.database import Database
from postroad.telemetry import Point
from tests import oracle
from tests.flow.shown import entity_shown


def test_a_sync_with_its_books_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    """First load, changes, a cut and continued full refresh, a replay: the tables equal the remote rows."""
    with XledgerSimulator(seed=21, timesheets=300, burst=None, concurrency=None) as company:
        settings = XledgerSettings.model_validate(
            {"url": company.url, "token": Secret.literal(company.token), "page_size": 50}
        )
        connections = {"xledger": Connection("xledger", "xledger", settings)}
        syncs = (Sync("xledger", ("timesheets",)),)
        project = Project("p", tmp_path, database=postgresql_url, connections=connections, syncs=syncs)
        for options in ({}, {}, {"full_refresh": True, "limit": 2}, {"full_refresh": True}):
            with App(project) as app:
                assert app.runs.start(None, **options).exit_code == 0
            company.mutate(10)
            company.delete(3)
            company.add(4)
        with App(project) as app:
            assert app.runs.start().exit_code == 0
            assert app.runs.replay("xledger.timesheets").exit_code == 0
            (status,) = app.datasets.status()
            assert (status.state, status.rejected) == ("in step", {})
            assert {run["status"] for run in app.runs.list()} == {"succeeded"}
        shown = entity_shown(company, "timesheets")
        oracle.assert_same(shown.readable(), oracle.table(tmp_path / "lake", shown), (), "tables")


def test_a_database_that_is_away_is_named_when_a_project_is_opened(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="did not answer"):
        App(Project("p", tmp_path, database="postgresql://postgres@127.0.0.1:1/postgres"))


def test_a_port_that_is_none_is_told_and_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        App(Project("p", tmp_path, database="postgresql://us:sec@ret:word@there/postgres"))
    assert "word" not in str(caught.value).replace("password", "")


def test_who_waited_for_a_turn_sees_what_was_written(postgresql_url: str) -> None:
    """Also where the server's administrator wants more than that for everybody."""
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute(f"alter database {server.info.dbname} set default_transaction_isolation = 'serializable'")
    with closing(Database(postgresql_url)) as one, closing(Database(postgresql_url)) as other:
        found: list[int] = []

        def count() -> None:
            with other.write(Point.LEASE_TAKEN) as db:
                found.append(db.execute(text("select count(*) from subscriptions")).scalar_one())

        with one.write(Point.LEASE_TAKEN) as db:
            waits = Thread(target=count)
            waits.start()
            db.execute(text("select pg_sleep(0.3)"))
            db.execute(text(BEGUN))
        waits.join()
    assert found == [1]


BEGUN = """
insert into subscriptions (name, dataset, destination, target, start, "offset", last_number, status,
  failures, due_at, begun_at)
values ('a.b', 'c.d', 'a', 'b', 'current', 0, 0, 'active', 0, 0, 0)
"""


def test_a_database_that_accepts_and_does_not_answer_is_away_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose machine is frozen."""
    monkeypatch.setitem(database.NOTICED, "connect_timeout", "2")  # seconds, the least that there is
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"postgresql://postgres@127.0.0.1:{mute.getsockname()[1]}/postgres"
        with pytest.raises(DatabaseError, match="timeout"):
            App(Project("p", tmp_path, database=address))


def test_a_writer_that_says_nothing_for_long_stops_no_other(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker that is frozen in the middle of a transaction, by SIGSTOP or with its machine."""
    monkeypatch.setattr(database, "FROZEN", 100)
    with closing(Database(postgresql_url)) as one, closing(Database(postgresql_url)) as other:
        with pytest.raises(DatabaseError, match="did not answer"):
            _write_while_frozen(one, other)
        with one.write(Point.RUN_RENEWED) as db:  # by another connection
            assert one.now(db)


def _write_while_frozen(one: Database, other: Database) -> None:
    with one.write(Point.RUN_RENEWED) as db:
        began = time.monotonic()
        with other.write(Point.RUN_RENEWED) as another:
            assert other.now(another)
        assert time.monotonic() - began < 30
        one.now(db)
