"""A source in a few lines, for what no single remote system has all of: parts, links, columns that vanish.

Rows live in a dictionary; every page and every change is JSON, as it would be from a remote system.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from postroad.app import App
from postroad.project import Connection, Notify, Project, Sync
from postroad.records import Check, Entity, Feed, Payload, Rows, Scope, Want
from postroad.sdk.connector import Source
from tests.flow.doomed import LEASES_ARE_OVER, Crash, Doomed, Trap, never

DAY = pa.date32()
COLUMNS = {"id": pa.int64(), "day": DAY, "text": pa.string(), "extra": pa.string()}
BOOKS = Entity("books", ("id",), pa.schema([pa.field("id", pa.int64(), nullable=False), ("day", DAY),
                                           ("text", pa.string()), ("extra", pa.string())]))  # fmt: skip
SHELVES = Entity("shelves", ("link", "id"), pa.schema([pa.field("link", pa.string(), nullable=False),
                                                      pa.field("id", pa.int64(), nullable=False),
                                                      ("text", pa.string())]))  # fmt: skip
LINKS = ("north", "south")


@dataclass
class Toy:
    """The remote system: books with changes and a part from a day on, shelves in two links without changes."""

    books: dict[int, dict[str, Any]] = field(default_factory=dict)
    log: list[tuple[str, int]] = field(default_factory=list)
    shelves: dict[str, dict[int, str]] = field(default_factory=lambda: {link: {} for link in LINKS})
    absent: tuple[str, ...] = ()
    declared: Entity = BOOKS
    page: int = 3
    fault: Exception | None = None  # raised by whatever is fetched
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def put(self, number: int, day: str = "2026-09-01", text: str = "", extra: str | None = None, *,
            tell: bool = True) -> None:  # fmt: skip
        """Add or change a book."""
        self.books[number] = {"id": number, "day": day, "text": text, "extra": extra}
        if tell:
            self.log.append(("upsert", number))

    def drop(self, number: int, *, tell: bool = True) -> None:
        """Delete a book."""
        del self.books[number]
        if tell:
            self.log.append(("delete", number))


@dataclass
class ToySource:
    """The connector's half."""

    toy: Toy

    def check(self) -> Iterator[Check]:
        """Always well."""
        yield Check("toy", True)

    def discover(self) -> Iterator[Feed]:
        """Changes and two walks of books, one walk for each link of shelves."""
        yield Feed("changes", (self.toy.declared,), "changes")
        yield Feed("books", (self.toy.declared,), "walk")
        yield Feed("books.since", (self.toy.declared,), "walk", Scope("since", "day", moves=True))
        for link in LINKS:
            yield Feed(f"shelves.{link}", (SHELVES,), "walk", Scope(link, "link", equals=link), revalidates=True)

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """One payload for each page, link or bundle of changes."""
        if self.toy.fault is not None:
            raise self.toy.fault
        self.toy.asked.append((feed.name, want.keys.column("id").to_pylist() if want.keys else want.scope.at_least))
        if feed.kind == "changes":
            return self._changes((want.cursor or {}).get("books"))
        if feed.name.startswith("shelves"):
            return self._shelf(feed.scope.name, want.cursor)
        if want.keys is not None:
            return self._looked_up(want)
        return self._pages(want)

    def _changes(self, position: int | None) -> Iterator[Payload]:
        head = len(self.toy.log)
        rows = self.toy.log[position:head] if position is not None else []
        if not rows:
            yield Payload(None, {"books": head})
            return
        told = [{**self.toy.books.get(number, {"id": number}), "_op": op} for op, number in rows]
        for row in told:
            if row["id"] not in self.toy.books:
                row["_op"] = "delete"
        yield self._payload(told, {"books": head}, closes=False)

    def _pages(self, want: Want) -> Iterator[Payload]:
        after = (want.cursor or {}).get("after", -1)
        while True:
            wanted = sorted(number for number, row in self.toy.books.items()
                            if number > after and row["day"] >= (want.scope.at_least or ""))  # fmt: skip
            page = wanted[: self.toy.page]
            after = page[-1] if page else after
            rows = [{**self.toy.books[number], "_op": "upsert"} for number in page]
            yield self._payload(rows, {"after": after}, closes=len(wanted) <= self.toy.page)
            if len(wanted) <= self.toy.page:
                return

    def _looked_up(self, want: Want) -> Iterator[Payload]:
        assert want.keys is not None
        found = [number for number in want.keys.column("id").to_pylist() if number in self.toy.books]
        if found:
            rows = [{**self.toy.books[each], "_op": "upsert"} for each in found]
            yield self._payload(rows, want.cursor, closes=False)

    def _shelf(self, link: str, cursor: Any) -> Iterator[Payload]:
        rows = [{"link": link, "id": number, "text": text, "_op": "upsert"}
                for number, text in sorted(self.toy.shelves[link].items())]  # fmt: skip
        body = json.dumps({"rows": rows}).encode()
        if cursor != {"digest": body.hex()}:
            yield Payload(body, {"digest": body.hex()}, entities=("shelves",), scope=link, closes=True)

    def _payload(self, rows: list[dict[str, Any]], cursor: Any, *, closes: bool) -> Payload:
        body = json.dumps({"rows": rows, "absent": self.toy.absent}).encode()
        return Payload(body, cursor, entities=("books",), closes=closes)

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """The rows; columns that are not sent are left out."""
        assert payload.body is not None
        said = json.loads(payload.body)
        absent = tuple(said.get("absent", ()))
        entity = feed.entities[0]
        schema = pa.schema([each for each in entity.schema if each.name not in absent] + [("_op", pa.string())])
        rows = [{**row, **({"day": date.fromisoformat(row["day"])} if row.get("day") else {})} for row in said["rows"]]
        columns = [pa.array([row.get(each.name) for row in rows], each.type) for each in schema]
        yield Rows(entity.name, pa.record_batch(columns, schema=schema), absent=absent)

    def forecast(self, feed: Feed) -> str | None:
        """Nobody knows."""
        return None

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class ToyWorld:
    """A project on a toy, with a clock that jumps and crashes at durable points."""

    folder: Path
    toy: Toy = field(default_factory=Toy)
    rule: Sync = field(default_factory=lambda: Sync("toy", ("books", "shelves")))
    now: float = 1_790_000_000.0
    said: list[str] = field(default_factory=list)
    notify: Notify | None = None

    def sync(self, trap: Trap | None = None, select: str | None = None, **options: Any) -> Any:
        """One `postroad run`; None if it crashed."""
        return self.do(lambda app: app.runs.start(select, **options), trap)

    def do(self, work: Callable[[App], Any], trap: Trap | None = None) -> Any:
        """Something with an App of its own; None if it crashed."""
        trap = trap or never()
        try:
            with _ToyApp(self, trap) as app:
                return work(app)
        except Crash:
            return None
        finally:
            if trap.fired:
                self.now += LEASES_ARE_OVER

    def rows(self, name: str = "toy.books") -> dict[Any, dict[str, Any]]:
        """The current rows by their last key field, or by all of them."""
        found = self.do(lambda app: app.datasets.query(f"select * from {name}").to_pylist())
        return {(row["link"], row["id"]) if "link" in row else row["id"]: row for row in found}

    def history(self, name: str = "toy.books") -> list[tuple[str, Any]]:
        """What happened to which key, in order."""
        sql = f"select _op, id, _version from {name}_changes order by _version, id"
        return [(row["_op"], row["id"]) for row in self.do(lambda app: app.datasets.query(sql).to_pylist())]


class _ToyApp(Doomed):
    def __init__(self, world: ToyWorld, trap: Trap) -> None:
        project = Project("toy", world.folder, connections={"toy": Connection("toy", "xledger", None)},  # type: ignore[arg-type]
                          syncs=(replace(world.rule),), notify=world.notify)  # fmt: skip
        self._toy = world.toy

        def tick() -> float:
            world.now += 0.001
            return world.now

        super().__init__(project, trap, clock=tick, sleep=lambda _: None)
        self.reporter.say = world.said.append  # type: ignore[method-assign, assignment]

    def source(self, connection: str) -> Source:
        return ToySource(self._toy)
