"""Suites that every connector and every queue runs, ours and those of plug-in authors.

Subclass one in a test module, named `Test…`, and give it what it asks for: a source that talks to a simulator over a
socket, a destination with a receiver behind it, a queue.
"""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import pyarrow as pa

from postroad.records import (
    AMBIGUOUS,
    CHANGED_AT,
    DELETE,
    OP,
    UPSERT,
    VERSION,
    Entity,
    Facts,
    Feed,
    Json,
    Package,
    Payload,
    Want,
)
from postroad.sdk.connector import Destination, Readable, Source
from postroad.tracking.queue import Held, Queue

ENOUGH = 1000  # payloads that no walk of a suite's simulator comes near


class SourceSuite(ABC):
    """What the engine relies on in every source (design section 5). The remote system holds some hundred rows."""

    @abstractmethod
    def source(self) -> Source:
        """A source, freshly opened; called several times in one test."""

    @abstractmethod
    def change_one(self) -> None:
        """Change one record of some entity in the remote system."""

    def test_checks_succeed(self) -> None:
        """Every step of the check has a name and succeeds against a healthy system."""
        with closing(self.source()) as source:
            steps = list(source.check())
        assert steps
        assert all(step.step and step.ok for step in steps), steps

    def test_discovery_is_stable(self) -> None:
        """Two discoveries name the same feeds; keys are columns; each entity has a walk."""
        with closing(self.source()) as one, closing(self.source()) as other:
            feeds = list(one.discover())
            assert [feed.name for feed in feeds] == [feed.name for feed in other.discover()]
        walked = {entity.name for feed in feeds if feed.kind == "walk" for entity in feed.entities}
        for feed in feeds:
            for entity in feed.entities:
                assert entity.name in walked
                assert set(entity.key) <= set(entity.schema.names)

    def test_a_walk_goes_on_from_every_cursor(self) -> None:
        """From the cursor after any payload, kept as JSON, exactly the later payloads follow."""
        for feed in self._feeds("walk"):
            pages = self._fetch(feed, None)
            for at, page in enumerate(pages):
                rest = self._fetch(feed, json.loads(json.dumps(page.cursor))) if at < len(pages) - 1 else []
                assert [each.identifier for each in rest] == [each.identifier for each in pages[at + 1 :]]

    def test_a_walk_closes_with_its_last_page(self) -> None:
        """Only the last page closes the scope, and it lands; what lands nothing only moves the cursor."""
        for feed in self._feeds("walk"):
            pages = self._fetch(feed, None)
            assert [page.closes for page in pages] == [False] * (len(pages) - 1) + [True]
            assert pages[-1].body is not None

    def test_an_unchanged_source_yields_nothing(self) -> None:
        """A feed that says so tells from the cursor of its last walk that nothing changed."""
        for feed in self._feeds("walk"):
            if feed.revalidates:
                cursor = json.loads(json.dumps(self._fetch(feed, None)[-1].cursor))
                assert self._fetch(feed, cursor) == []

    def test_parsing_is_pure(self) -> None:
        """A landed payload parses to the same rows again, in another source, without its cursor."""
        for feed in self._feeds("walk"):
            for page in self._fetch(feed, None):
                landed = Payload(page.body, None, page.identifier, page.entities, json.loads(json.dumps(page.meta)))
                assert self._parse(feed, page) == self._parse(feed, landed)

    def test_rows_follow_their_entity(self) -> None:
        """Parsed rows have the entity's columns and ours, and keys without nulls."""
        for feed in self._feeds("walk"):
            for page in self._fetch(feed, None):
                for name, records in self._parse(feed, page):
                    entity = feed.entity(name)
                    sent = entity.key if feed.scope.sweeps else entity.schema.names
                    wanted = {*sent, OP.name, CHANGED_AT.name}
                    assert wanted <= set(records.schema.names) <= wanted | {AMBIGUOUS.name}
                    for field in map(entity.schema.field, sent):
                        assert records.schema.field(field.name).type == field.type
                    assert all(records.column(key).null_count == 0 for key in entity.key)

    def test_changes_start_at_the_head_and_follow_it(self) -> None:
        """A first poll lands nothing and takes positions; then a change lands once, and nothing after it."""
        for feed in self._feeds("changes"):
            start = self._fetch(feed, None)
            assert all(payload.body is None for payload in start)
            cursor = start[-1].cursor
            assert set(cursor) == {entity.name for entity in feed.entities}
            self.change_one()
            news = self._fetch(feed, cursor)
            assert sum(records.num_rows for page in news if page.body for _, records in self._parse(feed, page)) == 1
            assert all(payload.body is None for payload in self._fetch(feed, news[-1].cursor))

    def _feeds(self, kind: str) -> Iterator[Feed]:
        with closing(self.source()) as source:
            yield from [feed for feed in source.discover() if feed.kind == kind]

    def _fetch(self, feed: Feed, cursor: Json) -> list[Payload]:
        with closing(self.source()) as source:
            want = Want(cursor, tuple(entity.name for entity in feed.entities))
            found = [payload for payload, _ in zip(source.fetch(feed, want), range(ENOUGH), strict=False)]
        assert len(found) < ENOUGH, "the feed does not end"
        return found

    def _parse(self, feed: Feed, payload: Payload) -> list[tuple[str, pa.RecordBatch]]:
        with closing(self.source()) as source:
            return [(rows.entity, rows.records) for rows in source.parse(feed, payload)]


THINGS = pa.schema(
    [
        pa.field("company", pa.string(), nullable=False),
        pa.field("number", pa.int64(), nullable=False),
        pa.field("Select", pa.string()),  # a word of SQL, and a name in mixed case
        pa.field("naïve 'name\"", pa.string()),
        pa.field("amount", pa.decimal128(38, 9)),
        pa.field("share", pa.float64()),
        pa.field("open", pa.bool_()),
        pa.field("due", pa.date32()),
        pa.field("at", pa.timestamp("us", "UTC")),
        pa.field("local", pa.timestamp("us")),
    ]
)
KEY = ("company", "number")
WIDER = "colour: 100% (x)"
LOCAL = datetime.fromisoformat("1900-02-28T23:59:59.000001")
Row = Mapping[str, Any]


def thing(number: int, version: int, text: str | None = "", *, op: str = UPSERT, **values: Any) -> Row:
    """One record version of the suite's entity."""
    return {"company": "se01", "number": number, "Select": text, **values, OP.name: op, VERSION.name: version}


class DestinationSuite(ABC):
    """What the engine relies on in every destination (design section 5): sending is keyed and versioned."""

    target = Entity("things", KEY, THINGS)
    longest = Decimal("12345678901234567890123456789.123456789")  # that the receiver keeps as its own type
    answer = "applied"  # or `handed_over`: `held` then lets the receiver read what was
    lists_targets = True  # a broker does not tell which queues it has

    @abstractmethod
    def destination(self) -> Destination:
        """A destination, freshly opened on one and the same empty receiver; called several times in one test."""

    @abstractmethod
    def held(self) -> Mapping[tuple[str, int], Row]:
        """What the receiver holds of the target by key, deleted records left out, read by nothing of ours.

        Values as the receiver gives them: the suite compares them with what `expected` makes of them.
        """

    def expected(self, values: Row) -> Row:
        """What a reader of the receiver sees of these values; the values themselves, if it keeps them as they are."""
        return values

    def test_checks_succeed(self) -> None:
        """Every step of the check has a name and succeeds against a healthy receiver."""
        with closing(self.destination()) as destination:
            steps = list(destination.check())
        assert steps
        assert all(step.step and step.ok for step in steps), steps

    def test_rendering_is_pure(self) -> None:
        """The same records are rendered the same by another destination, and nothing arrives; each is there once."""
        records = self._records([thing(number, 1, "a") for number in range(7)])
        with closing(self.destination()) as one, closing(self.destination()) as other:
            packages = list(one.render(self.target, records))
            assert [each.body for each in packages] == [each.body for each in other.render(self.target, records)]
            assert sum(each.records for each in packages) == 7
            assert not list(one.discover())

    def test_each_record_has_one_answer(self) -> None:
        """Whatever it is: none is forgotten, none answered twice."""
        records = self._records([thing(number, 1, "a") for number in range(7)])
        with closing(self.destination()) as destination:
            for package in destination.render(self.target, records):
                outcomes = destination.send(self.target, _addressed(package))
                answered = sorted(place for outcome in outcomes for place in outcome.records)
                assert answered == list(range(package.records))
                assert {outcome.answer for outcome in outcomes} <= {self.answer, "unchanged"}
            assert [each.name for each in destination.discover()] == [self.target.name] * self.lists_targets

    def test_values_arrive_exactly(self) -> None:
        """No digit, microsecond or letter is lost, and null is not an empty text."""
        rows: list[dict[str, Any]] = [
            {"Select": "Ærø 'quoted' \"twice\" \\ %s :x \u2028 \U0001f600", "naïve 'name\"": "", "open": True},
            {"Select": None, "naïve 'name\"": "null", "open": False},
            {"amount": self.longest, "share": 0.1},
            {"amount": Decimal("-0.000000001"), "share": -1e300},
            {"amount": Decimal(0), "share": 5e-324},
            {"at": datetime(2026, 3, 29, 1, 59, 59, 999_999, UTC), "local": LOCAL},
            {"at": datetime(1969, 12, 31, 23, 59, 59, 1, UTC), "due": date.min},
            {"local": LOCAL.replace(year=9999), "due": date.max},
        ]
        self._send([thing(number, 1, **{"text": None, **row}) for number, row in enumerate(_textless(rows))])
        held = self.held()
        for number, row in enumerate(rows):
            whole = {**dict.fromkeys(THINGS.names), "company": "se01", "number": number, **row}
            assert dict(held["se01", number]) == dict(self.expected(whole)), number

    def test_sending_twice_is_sending_once(self) -> None:
        """The same package, and the same records in another one."""
        rows = [thing(1, 5, "one"), thing(2, 5, "two")]
        for _ in range(2):
            self._send(rows)
            self._send(rows[1:])
        assert self._texts() == {1: "one", 2: "two"}

    def test_any_order_ends_the_same(self) -> None:
        """Insert, delete, insert again and change, in every order: the newest version stands."""
        versions = [thing(1, 1, "first"), thing(1, 2, None, op=DELETE), thing(1, 3, "again"), thing(1, 4, "last")]
        with closing(self.destination()) as destination:
            for number, order in enumerate(permutations(versions)):
                for each in order:
                    self._pass(destination, [{**each, "number": number}], self.target)
        assert self._texts() == dict.fromkeys(range(24), "last")

    def test_a_delete_is_remembered(self) -> None:
        """An older version does not bring the record back, not even one that never arrived; a newer one does."""
        self._send([thing(1, 3, None, op=DELETE), thing(2, 1, "two")])
        self._send([thing(1, 2, "late"), thing(2, 2, None, op=DELETE)])
        self._send([thing(2, 1, "late")])
        assert self._texts() == {}
        self._send([thing(1, 4, "back")])
        assert self._texts() == {1: "back"}

    def test_one_package_may_hold_a_key_in_several_versions(self) -> None:
        """A message that spans commits has such; the newest stands."""
        self._send([thing(1, 1, "old"), thing(1, 3, "new"), thing(1, 2, "middle"), thing(2, 9, None, op=DELETE)])
        assert self._texts() == {1: "new"}

    def test_a_target_is_widened(self) -> None:
        """A dataset that gets a column; rows that are there have null in it, and old workers go on."""
        wide = Entity(self.target.name, KEY, pa.schema([*THINGS, pa.field(WIDER, pa.string())]))
        self._send([thing(1, 1, "narrow")])
        self._send([thing(2, 2, "wide", **{WIDER: "red"})], wide)
        self._send([thing(3, 3, "narrow")])
        assert {key[1]: row[WIDER] for key, row in self.held().items()} == {1: None, 2: "red", 3: None}

    def _records(self, rows: Sequence[Row], target: Entity | None = None) -> pa.RecordBatch:
        schema = pa.schema([*(target or self.target).schema, OP, CHANGED_AT, VERSION])
        filled = [{**dict.fromkeys(schema.names), **row} for row in rows]
        return pa.RecordBatch.from_pylist(filled, schema)

    def _send(self, rows: Sequence[Row], target: Entity | None = None) -> None:
        with closing(self.destination()) as destination:
            self._pass(destination, rows, target or self.target)

    def _pass(self, destination: Destination, rows: Sequence[Row], target: Entity) -> None:
        for package in destination.render(target, self._records(rows, target)):
            destination.send(target, _addressed(package))

    def _texts(self) -> dict[int, str | None]:
        return {number: row["Select"] for (_, number), row in self.held().items()}


class ReadableSuite(DestinationSuite):
    """The same, and what `verify` relies on in a destination that can be read back."""

    def test_what_is_held_is_read_back(self) -> None:
        """Live keys with their versions; of those asked for every value, as exact as its type says."""
        rows = [
            thing(1, 5, "Ærø 'q' \"t\" \\ %s", amount=Decimal("-0.000000001"), share=0.1, due=date(2026, 2, 28)),
            thing(2, 6, None, at=datetime(2026, 3, 29, 1, 59, 59, 999_999, UTC), local=LOCAL, open=False),
            thing(3, 7, "", amount=self.longest, at=datetime(1969, 12, 31, tzinfo=UTC), open=True),
            thing(4, 8, None, op=DELETE),
        ]
        self._send([*rows, thing(1, 4, "old")])
        with closing(self.destination()) as destination:
            assert isinstance(destination, Readable)
            batches = list(destination.keys(self.target))
            assert all(each.schema.field(name).type == THINGS.field(name).type for each in batches for name in KEY)
            held = {(row["number"], row[VERSION.name]) for batch in batches for row in batch.to_pylist()}
            assert held == {(1, 5), (2, 6), (3, 7)}
            asked = pa.table({"company": ["se01"] * 5, "number": pa.array([1, 2, 3, 4, 9], pa.int64())})
            found = destination.read(self.target, asked)
        assert sorted(found.column("number").to_pylist()) == [1, 2, 3]
        wanted = self._records(rows).select([*THINGS.names, VERSION.name])
        for row in found.to_pylist():
            at = row["number"] - 1
            for field in found.schema:
                (value,) = wanted.column(field.name).slice(at, 1).cast(field.type, safe=False).to_pylist()
                assert row[field.name] == value, field.name

    def test_a_target_that_is_not_there_holds_nothing(self) -> None:
        """So a first delivery can be verified before it."""
        with closing(self.destination()) as destination:
            assert isinstance(destination, Readable)
            assert sum(batch.num_rows for batch in destination.keys(self.target)) == 0
            assert destination.read(self.target, pa.table({"company": ["se01"], "number": [1]})).num_rows == 0

    def test_a_column_that_the_receiver_lacks_is_left_out(self) -> None:
        """The dataset was widened and nothing was sent since."""
        wide = Entity(self.target.name, KEY, pa.schema([*THINGS, pa.field(WIDER, pa.string())]))
        self._send([thing(1, 1, "narrow")])
        with closing(self.destination()) as destination:
            assert isinstance(destination, Readable)
            found = destination.read(wide, pa.table({"company": ["se01"], "number": pa.array([1], pa.int64())}))
            assert found.num_rows == 1
            assert not any(found.column(WIDER).to_pylist() if WIDER in found.schema.names else [])


def _addressed(package: Package) -> Package:
    """A package as the engine sends it; of two messages no identifier is the same."""
    identifier, at = f"1-{secrets.token_hex(8)}", datetime(2026, 11, 21, 18, 30, tzinfo=UTC)
    return replace(package, facts=Facts(identifier, "suite/test", "toy.things", 1, 1, at))


def _textless(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The values as `thing` takes them: what it calls `text` is the column `Select`."""
    for row in rows:
        rest = {name: value for name, value in row.items() if name != "Select"}
        yield {**rest, "text": row.get("Select")}


class QueueSuite(ABC):
    """What a worker relies on in every queue. Messages have one record each; both subscriptions are active."""

    names = ("app.one", "app.two")

    @abstractmethod
    def queue(self) -> Queue:
        """The queue as another worker sees it; called several times in one test."""

    @abstractmethod
    def put(self, name: str, count: int) -> None:
        """Dispatch messages to a subscription."""

    @abstractmethod
    def settle(self, held: Held) -> bool:
        """Write an outcome of a message; False if it was refused because the message is not held by this token."""

    @abstractmethod
    def later(self, seconds: float) -> None:
        """Let time pass for everybody."""

    @abstractmethod
    def pause(self, name: str, *, paused: bool) -> None:
        """Pause a subscription, or resume it."""

    lease = 60.0
    patience = 0.0  # seconds until what lies untouched in one worker's hands comes to another

    def test_an_empty_queue_gives_nothing(self) -> None:
        """And neither do subscriptions that were not asked for."""
        assert self.queue().take(self.names) is None
        self.put(self.names[0], 1)
        assert self.queue().take(self.names[1:]) is None
        assert self.queue().take([]) is None

    def test_each_message_is_taken_once(self) -> None:
        """Competing workers get different ones, until none is left."""
        for name in self.names:
            self.put(name, 3)
        queues = [self.queue(), self.queue()]
        found: list[Held] = []
        while taken := [held for queue in queues if (held := queue.take(self.names)) is not None]:
            found += taken
        assert len({each.message for each in found}) == len(found) == 6
        assert len({each.token for each in found}) == 6
        assert all(each.leases == 1 for each in found)

    def test_what_is_taken_beside_a_message_is_held_as_it_is(self) -> None:
        """A queue may give further ones with a message, or none; each is somebody's, and is settled by its token."""
        self.put(self.names[0], 5)
        queue, other = self.queue(), self.queue()
        held = queue.take(self.names)
        assert held is not None
        more = queue.more(held, 2, 100)
        assert len(more) <= 2
        assert {each.subscription for each in more} <= {held.subscription}
        assert not queue.more(held, 2, 0)
        found = [held, *more, *(self._taken(self.names) for _ in range(4 - len(more)))]
        assert len({each.message for each in found}) == len(found) == 5
        assert other.take(self.names) is None
        assert queue.renew([held, *more])
        assert all(self.settle(each) for each in found)

    def test_a_settled_message_never_comes_back(self) -> None:
        """However long one waits."""
        self.put(self.names[0], 2)
        for _ in range(2):
            assert self.settle(self._taken(self.names))
        self.later(10 * self.lease)
        assert self.queue().take(self.names) is None

    def test_a_message_whose_worker_is_silent_comes_back_under_another_token(self) -> None:
        """And what the silent one writes when it wakes is refused."""
        self.put(self.names[0], 1)
        silent = self.queue().take(self.names)
        assert silent is not None
        self.later(0.5 * self.lease)
        assert self.queue().take(self.names) is None
        self.later(0.6 * self.lease)
        other = self.queue().take(self.names)
        assert other is not None
        assert (other.message, other.leases) == (silent.message, 2)
        assert other.token != silent.token
        assert not self.queue().renew([silent])
        assert not self.settle(silent)
        assert self.settle(other)
        assert not self.settle(other)

    def test_a_worker_that_renews_keeps_its_messages(self) -> None:
        """All that it holds, and longer than a lease lasts."""
        self.put(self.names[0], 3)
        queue = self.queue()
        held = queue.take(self.names)
        assert held is not None
        ours = [held, *queue.more(held, 2, 100)]
        assert all(self.settle(self._taken(self.names)) for _ in range(3 - len(ours)))
        for _ in range(4):
            self.later(0.5 * self.lease)
            assert queue.renew(ours)
            assert self.queue().take(self.names) is None
        assert self.settle(ours.pop())
        assert all(self.settle(each) for each in ours)

    def test_a_paused_subscription_gives_nothing(self) -> None:
        """The other one does, and a message that is held already can be settled."""
        for name in self.names:
            self.put(name, 2)
        held = self.queue().take(self.names[:1])
        assert held is not None
        self.pause(self.names[0], paused=True)
        assert self.settle(held)
        assert self.queue().take(self.names[:1]) is None
        other = self._taken(self.names)
        assert other.subscription == self.names[1]
        self.pause(self.names[0], paused=False)
        assert self._taken(self.names[:1]).subscription == self.names[0]

    def test_a_worker_that_ends_in_order_leaves_the_rest_to_others(self) -> None:
        """What it held is settled, what it had not taken comes to another one at once."""
        self.put(self.names[0], 3)
        queue = self.queue()
        held = queue.take(self.names)
        assert held is not None
        assert self.settle(held)
        queue.done(held)
        queue.close()
        other = self.queue()
        found = [other.take(self.names) for _ in range(3)]
        assert len({each.message for each in found if each is not None} | {held.message}) == 3
        assert found[2] is None

    def test_publishing_before_taking_changes_nothing(self) -> None:
        """However often it is done, and by whomever."""
        self.put(self.names[0], 2)
        for queue in (self.queue(), self.queue()):
            queue.publish(self.names)
            queue.publish(self.names)
        found = [self._taken(self.names) for _ in range(2)]
        assert len({each.message for each in found}) == 2
        self.later(0.5 * self.lease)
        assert self.queue().take(self.names) is None

    def _taken(self, names: Sequence[str]) -> Held:
        held = self.queue().take(names)
        if held is None:
            self.later(self.patience)
            held = self.queue().take(names)
        assert held is not None
        return held
