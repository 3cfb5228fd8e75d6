"""Trace: of each version of any key, in each subscription, what an oracle makes of the events alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.errors import BatchRefusedError, ConfigError, TransientError
from postroad.project import Cleaning, Delivery, Sync
from postroad.project.model import Allowance
from postroad.project.where import parse_where
from postroad.records import Entity, Outcome, Package, key_from_text, key_text
from tests.flow.doomed import LEASES_ARE_OVER
from tests.flow.office import Office
from tests.flow.post import HERE, THERE, Post, memory_folder, small_messages
from tests.flow.test_deliveries import failing, refusing
from tests.flow.toy import BOOKS, Toy, ToyWorld

RULE = Sync("toy", ("books", "shelves"), max_deletes=Allowance(rows=0, percent=50))
NAMED = Entity("books", ("id",), pa.schema([pa.field("id", pa.string(), nullable=False), *list(BOOKS.schema)[1:]]))
HOSTILE = ["a/b", "a\\b", "\\", "'; drop table messages; --", '"', "%_", "Ærø \u2028", "", " ", "[1]", '["x"]']
HOSTILE += ["\x00", "\U0001f600", "x" * 300]


@pytest.fixture
def post(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    """Six books that nobody was told of; three records make a message."""
    small_messages(monkeypatch)
    post = Post(folder)
    post.change({number: f"book {number}" for number in range(6)})
    return post


def trace(post: Post, key: object, **options: Any) -> Any:
    """What `postroad trace` knows."""
    return post.do(lambda app: app.tracing.trace("toy.books", str(key), **options))


def words(post: Post, key: object) -> list[str]:
    """The status of each version at the one receiver, newest first."""
    return [told.status for each in trace(post, key).versions for told in each.deliveries]


# One record at a time


def test_each_status_has_its_word(post: Post) -> None:
    assert words(post, 1) == ["received"]
    post.dispatch()
    assert words(post, 1) == ["queued"]
    post.at_send = lambda: told.append(words(post, 1)[0])
    told: list[str] = []
    post.faults["app"] = failing(TransientError("down"))
    post.deliver()
    assert told == ["processing"]
    assert words(post, 1) == ["retrying"]
    assert "left alone until" in trace(post, 1).answer[1]
    post.now += 600.0
    post.faults["app"] = refusing("book 1")
    post.deliver()
    assert words(post, 1) == ["rejected"]
    assert words(post, 0) == words(post, 2) == ["acknowledged"]
    answer = trace(post, 1)
    assert answer.answer[1].startswith("app.books does not have it: rejected")
    assert "no book 1 here" in answer.answer[1]
    assert [row["cause"] for row in answer.rejections] == ["refused"]
    post.change({1: "better"})
    assert words(post, 1) == ["received", "rejected"]
    post.dispatch()
    post.change({0: "book 1"})
    post.deliver()
    assert trace(post, 0).answer[1].partition("; it has the version of ")[2][:10] == "2026-09-21"
    assert words(post, 1) == ["acknowledged", "discarded"]
    post.change({1: None})
    post.deliver()
    answer = trace(post, 1)
    assert [each.op for each in answer.versions] == ["delete", "upsert", "upsert"]
    assert answer.values is None
    assert "deleted at the source" in answer.answer[0]
    assert "has its delete: acknowledged" in answer.answer[1]


def test_a_worker_that_died_holds_nothing(post: Post) -> None:
    post.dispatch()
    with post.open() as app:
        assert app.tracking.queue.take([HERE]) is not None
    assert words(post, 1) == ["processing"]
    post.now += LEASES_ARE_OVER
    assert words(post, 1) == ["queued"]


def test_what_somebody_has_for_its_receiver_is_handed_over(post: Post) -> None:
    post.dispatch()
    post.look(f"update messages set handovers = 1, handed_at = {int(post.now * 1e6)}")
    assert words(post, 1) == ["handed_over"]
    assert "no receipt came yet" in trace(post, 1).answer[1]


def test_what_a_person_dropped_is_discarded(post: Post) -> None:
    post.dispatch()
    post.look("update messages set status = 'in_doubt' where number = 1")
    assert words(post, 1) == ["in_doubt"]
    assert "may not have it: in_doubt" in trace(post, 1).answer[1]
    post.do(lambda app: app.deliveries.discard(HERE))
    assert words(post, 1) == ["discarded"]


def test_a_pause_is_told_and_a_forgotten_subscription_too(post: Post) -> None:
    post.dispatch()
    post.do(lambda app: app.deliveries.pause(HERE))
    assert f"postroad resume {HERE}" in trace(post, 1).answer[1]
    post.deliveries = (Delivery("toy.books", HERE, cleaning=Cleaning(("text",))),)
    assert "under another select" in trace(post, 1).answer[1]
    post.deliveries = ()
    assert trace(post, 1).answer[1].startswith(f"{HERE} does not have it yet: queued")


def test_versions_are_counted_from_the_newest(post: Post) -> None:
    for text in "abc":
        post.change({1: text})
    found = trace(post, 1, versions=2)
    assert (len(found.versions), found.more) == (2, True)
    assert found.values["text"] == "c"
    assert not trace(post, 2, versions=2).more


def test_what_no_message_remembers_was_answered(post: Post) -> None:
    """Settled messages are dropped in time, and a table's files go once no open message names them."""
    post.change({1: None, 2: "b"})
    post.deliver()
    post.change({1: "c", 3: None})
    post.deliver()
    post.now += 31 * 86_400
    post.deliver()
    assert post.look("select count(*) from messages") == [(0,)]
    for each in (post.folder / "lake" / "audit").rglob("*.parquet"):
        each.unlink()
    assert words(post, 1) == ["processed"]
    assert words(post, 2) == ["processed"]
    assert "says more and cannot be read: put it back from a backup" in trace(post, 1).answer[1]
    post.look("delete from exports")  # as with a version of ours that kept no such files
    assert "was told of it: it was sent and answered" in trace(post, 2).answer[1]
    assert words(post, 3) == ["processed", "processed"]
    post.change({1: "d"})
    assert words(post, 1) == ["received", "processed"]
    post.deliveries = (*post.deliveries, Delivery("toy.books", THERE, "beginning"))
    post.deliver()
    told = trace(post, 3).versions
    assert [[each.status for each in version.deliveries] for version in told] == [["processed", "acknowledged"]] * 2


def test_what_expired_is_told_and_its_current_row_is_traced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited too long is discarded, and the rows of the table are sent instead."""
    small_messages(monkeypatch)
    rule = Cleaning(where=parse_where("text != 'x'"))
    post = Post(folder, (Delivery("toy.books", HERE, "current", rule, 14 * 86_400.0),))
    post.change({1: "a", 2: "b", 3: "c"})
    post.deliver()
    post.faults["app"] = failing(TransientError("down"))
    for rows in ({1: "d"}, {1: "e", 2: None, 3: "x"}):
        post.change(rows)
        post.deliver()
    post.now += 15 * 86_400.0
    post.deliver()
    assert words(post, 1) == ["retrying", "expired", "acknowledged"]
    post.settle()
    assert post.received() == {1: "e"}
    assert words(post, 1) == ["acknowledged", "expired", "acknowledged"]
    assert words(post, 2) == ["acknowledged", "acknowledged"]
    assert words(post, 3) == ["acknowledged", "acknowledged"]
    assert "as a delete" in trace(post, 3).versions[0].deliveries[0].sentence
    assert post.do(lambda app: app.deliveries.verify(HERE)).equal


def test_what_a_where_leaves_out_is_told(folder: Path) -> None:
    """Of the rows that it begins with such a one is not sent; a later version is sent as a delete."""
    rule = Cleaning(where=parse_where("text != 'x'"))
    post = Post(folder, (Delivery("toy.books", HERE, cleaning=rule),))
    post.change({1: "x", 2: "y"})
    post.faults["app"] = lambda package: [Outcome(range(package.records), "rejected", "refused", "no")]
    post.deliver()
    assert words(post, 2) == ["rejected"]
    assert words(post, 1) == ["discarded"]  # though nothing of their message was acknowledged
    assert "left out by where" in trace(post, 1).answer[1]
    post.faults.clear()
    post.do(lambda app: app.deliveries.retry(HERE))
    post.change({2: "x"})
    post.deliver()
    assert words(post, 2) == ["acknowledged", "acknowledged"]
    assert "as a delete, for where leaves it out" in trace(post, 2).versions[0].deliveries[0].sentence


def test_by_the_key_at_a_target(post: Post) -> None:
    post.deliver()
    assert post.do(lambda app: app.tracing.trace_at(HERE, "3")).values["text"] == "book 3"
    post.deliveries = (Delivery("toy.books", HERE, cleaning=Cleaning(rename={"id": "number"})),)
    assert post.do(lambda app: app.tracing.trace_at(HERE, '{"number": 3}')).key == "[3]"
    with pytest.raises(ConfigError, match=r"is no key of app\.books: the key is number"):
        post.do(lambda app: app.tracing.trace_at(HERE, '{"id": 3}'))
    with pytest.raises(ConfigError, match=r"there are: app\.books"):
        post.do(lambda app: app.tracing.trace_at(THERE, "3"))


@pytest.mark.parametrize("text", ["", "x", "1/2", "1.5", "[1,2]", "[null]", "99999999999999999999", "\udc80", "[" * 99])
def test_what_is_no_key_is_said(post: Post, text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no key of toy\.books: the key is id"):
        trace(post, text)


def test_hostile_keys_are_found(folder: Path) -> None:
    post = Post(folder, declared=NAMED)
    post.change(dict.fromkeys(HOSTILE, "x"))  # type: ignore[arg-type]
    post.deliver()
    for text in HOSTILE:
        for said in (key_text([text]), text):
            found = trace(post, said)
            if said not in {"[1]", '["x"]'}:  # which are the JSON of other keys
                assert [each.status for version in found.versions for each in version.deliveries] == ["acknowledged"]
    assert "nothing has landed yet; `postroad run` reads the source" in trace(post, "no such key").answer[0]


TWO = [pa.field("company", pa.string()), pa.field("name", pa.string())]


@settings(max_examples=50, phases=[Phase.generate], deadline=None)
@given(st.tuples(st.text(), st.text()))
def test_a_key_is_read_as_it_is_written(key: tuple[str, str]) -> None:
    """As JSON, and joined by slashes."""
    joined = "/".join(each.replace("\\", "\\\\").replace("/", "\\/") for each in key)
    assert key_from_text(key_text(key), TWO) == key
    assert key_from_text(json.dumps({"name": key[1], "company": key[0]}), TWO) == key
    if not joined.startswith(("[", "{")):
        assert key_from_text(joined, TWO) == key


def test_trace_never_fails_on_any_key(folder: Path) -> None:
    """Of a text key any text has an answer."""
    post = Post(folder, declared=NAMED)
    post.change({"a": "x"})  # type: ignore[dict-item]
    with post.open() as app:

        @settings(max_examples=30, phases=[Phase.generate], deadline=None)
        @given(st.text(max_size=5))
        def ask(text: str) -> None:
            assert app.tracing.trace("toy.books", text).answer

        ask()


# Where a version came from


@pytest.fixture
def world(folder: Path) -> ToyWorld:
    """Ten books on four pages."""
    toy = Toy()
    for number in range(10):
        toy.put(number, text=f"book {number}", tell=False)
    return ToyWorld(folder, toy, RULE)


def ask(world: ToyWorld, key: object, name: str = "toy.books") -> Any:
    """What `postroad trace` knows."""
    return world.do(lambda app: app.tracing.trace(name, str(key)))


def test_a_version_names_its_payload(world: ToyWorld) -> None:
    """A page of a walk, found by halving, and one of several polls that one commit applied."""
    world.sync()
    assert [ask(world, number).versions[0].origin.first for number in range(10)] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    for text in "abc":
        world.toy.put(3, text=text)
        world.toy.put(ord(text))
        world.do(lambda app: _land_only(app))  # noqa: PLW0108 - it is defined below
    assert "is not published yet" in ask(world, ord("a")).answer[0]
    world.sync()
    newest, oldest = ask(world, 3).versions
    assert (newest.origin.first, newest.origin.last, newest.origin.feed) == (3, 3, "toy.changes")
    assert newest.origin.path.startswith("landing/toy/changes/")
    assert oldest.origin.feed == "toy.books"
    assert ask(world, ord("b")).versions[0].origin.first == 2
    world.toy.drop(3)
    world.sync()
    assert ask(world, 3).versions[0].origin.first == 4
    assert "deleted at the source" in ask(world, 3).answer[0]


def test_what_cannot_be_told_exactly_is_said_so(world: ToyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.sync()
    monkeypatch.setattr("postroad.engine.origin.MOST_BYTES", 0)
    told = ask(world, 3).versions[0].origin
    assert (told.first, told.last, told.path) == (1, 4, None)
    assert told.sentence.startswith("one of payloads 1-4 of toy.books, the last one received")


def test_a_delete_that_a_refresh_found_out_lacks_a_payload(world: ToyWorld) -> None:
    world.sync()
    world.toy.drop(3, tell=False)
    world.sync(full_refresh=True)
    found = ask(world, 3)
    assert found.versions[0].op == "delete"
    assert "a full refresh, lack it" in found.versions[0].origin.sentence
    assert "a full refresh did not find it any more" in found.answer[0]


def test_a_walk_that_is_open_or_parked_is_looked_into(world: ToyWorld) -> None:
    world.sync(limit=2)
    assert "a walk that is still open holds it" in ask(world, 4).answer[0]
    assert "no landed payload since" in ask(world, 9).answer[0]
    world.sync()
    world.toy.books = {99: {"id": 99, "day": "2026-09-01", "text": "", "extra": None}}
    world.sync(full_refresh=True)
    assert "a parked close holds it" in ask(world, 99).answer[0]
    assert any("is parked" in each for each in ask(world, 4).answer)


def test_what_was_refused_at_the_source_is_told_beside_what_is_there(folder: Path) -> None:
    with Office(folder, timesheets=20) as office:
        office.run()
        (key, gone) = sorted(office.rows("timesheets"))[:2]
        office.sim.update(key, workingHours="seven")
        office.sim.delete([gone])
        office.run()
        with office.open() as app:
            told = app.tracing.trace("xledger.timesheets", str(key)).answer
            gone_told = app.tracing.trace("xledger.timesheets", str(gone)).answer
    assert told[0].startswith("xledger.timesheets has it, since")
    assert told[1].startswith("later it was rejected (bad_decimal): workingHours is no decimal")
    assert "deleted at the source" in gone_told[0]


def _land_only(app: Any) -> None:
    from postroad.engine.land import poll

    with app.bench("toy") as bench:
        feed = bench.changes_feed("books")
        claim = bench.tracking.runs.claim("toy", feed.name, {})
        poll(bench, claim, feed)
        bench.tracking.runs.end(claim, "succeeded", {})


deeds = st.one_of(
    st.builds(
        lambda key, text: lambda world: world.toy.put(key, text=text), st.integers(0, 9), st.text("abc", max_size=3)
    ),
    st.builds(lambda key: lambda world: world.toy.books.get(key) and world.toy.drop(key), st.integers(0, 9)),
    st.builds(lambda key: lambda world: world.toy.books.pop(key, None), st.integers(0, 9)),  # it tells nobody
    st.just(lambda world: world.do(_land_only)),
    st.just(lambda world: world.sync()),
    st.just(lambda world: world.sync(full_refresh=True)),
    st.just(lambda world: world.sync(full_refresh=True, limit=2)),
    st.just(lambda world: world.do(lambda app: app.runs.replay("toy.books"))),
)


@settings(max_examples=4, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(deeds, min_size=4, max_size=8))
def test_a_payload_that_is_named_holds_the_row(history: list[Callable[[ToyWorld], Any]]) -> None:
    """Polls that are published together, refreshes, replays, walks that go on: read past all of our code."""
    with memory_folder() as folder:
        toy = Toy(
            books={number: {"id": number, "day": "2026-09-01", "text": "a", "extra": None} for number in range(7)}
        )
        world = ToyWorld(folder, toy, RULE)
        world.sync()
        for deed in history:
            deed(world)
        world.sync()
        rows = world.do(
            lambda app: app.datasets.query("select id, text, _version, _op from toy.books_changes").to_pylist()
        )
        texts = {(row["id"], row["_version"]): row["text"] for row in rows}
        landed = _landed(folder)
        for key in {row["id"] for row in rows}:
            for each in ask(world, key).versions:
                _assert_holds(each, key, texts[key, each.version], landed)


def _landed(folder: Path) -> dict[tuple[str, int], tuple[str, list[dict[str, Any]]]]:
    """The rows of every payload by feed and number, and its file."""
    with closing(sqlite3.connect(folder / "postroad.db")) as database:
        listed = database.execute("select feed, number, path, size from payloads").fetchall()
    codec = pa.Codec("zstd")
    bodies = [codec.decompress((folder / "lake" / path).read_bytes(), size, asbytes=True) for *_, path, size in listed]
    return {
        (f"toy.{feed}", number): (path, json.loads(body)["rows"])
        for (feed, number, path, _), body in zip(listed, bodies, strict=True)
    }


def _assert_holds(each: Any, key: int, text: str | None, landed: Any) -> None:
    origin = each.origin
    assert origin is not None
    numbers = range(origin.first, origin.last + 1)
    told = [row for number in numbers for row in landed[origin.feed, number][1] if row["id"] == key]
    if origin.lacking:
        assert (told, each.op) == ([], "delete")
        return
    assert (origin.first, origin.path) == (origin.last, landed[origin.feed, origin.last][0])
    assert told[-1]["_op"] == each.op
    assert each.op == "delete" or told[-1]["text"] == text


# Any history


@dataclass
class Oracle:
    """What becomes of each version, from what was changed, what was sent and what the receiver said of it."""

    post: Post
    versions: dict[int, list[int]] = field(default_factory=dict)  # of each key, oldest first
    words: dict[tuple[int, int], str] = field(default_factory=dict)
    bad: str = ""
    down: bool = False
    begun: bool = False

    def change(self, rows: dict[int, str | None]) -> None:
        self.post.change(rows)
        version = self.post.do(lambda app: max(each.fence() for each in app.all_datasets()))
        for key in rows:
            self.versions.setdefault(key, []).append(version)
            self.words[key, version] = "received"

    def dispatch(self) -> None:
        self.post.dispatch()
        self._dispatched()

    def deliver(self, most: int | None = None) -> None:
        self._dispatched()
        self.post.faults["app"] = self._send
        self.post.deliver(most=most)

    def wait(self) -> None:
        self.post.now += 3600.0
        self.down = False

    def retry(self) -> None:
        if not self.begun:
            return
        self._dispatched()
        refused = {key for (key, _), word in self.words.items() if word == "rejected"}
        for key in refused:
            for version in self.versions[key]:
                if self.words.get((key, version)) == "rejected":
                    self.words[key, version] = "discarded"
            self.words[key, self.versions[key][-1]] = "queued"
        self.post.faults["app"] = self._send
        self.post.do(lambda app: app.rejections.retry(HERE, "deliver"))

    def _dispatched(self) -> None:
        """All that is new; of what was there when it began the current rows alone."""
        self.words = {pair: "queued" if word == "received" else word for pair, word in self.told().items()}
        self.begun = True

    def told(self) -> dict[tuple[int, int], str]:
        """The words of those versions that the receiver is told of."""
        current = {(key, self.versions[key][-1]) for key in self.post.books}
        return {pair: word for pair, word in self.words.items() if self.begun or pair in current}

    def _send(self, package: Package) -> None:
        body = package.body
        pairs = list(zip(body.column("id").to_pylist(), body.column("_version").to_pylist(), strict=True))
        if self.down:
            raise TransientError("down")
        if self.bad in body.column("text").to_pylist():
            if len(pairs) == 1:
                self.words[pairs[0]] = "rejected"
            raise BatchRefusedError("no")
        for key, version in pairs:
            self.words[key, version] = "acknowledged"
            for older in self.versions[key]:
                if older <= version and self.words.get((key, older)) == "rejected":
                    self.words[key, older] = "discarded"

    def assert_told(self) -> None:
        """The same for every version of every key."""
        told = {
            (key, each.version): each.deliveries[0].status if each.deliveries else None
            for key in self.versions
            for each in trace(self.post, key, versions=100).versions
        }
        word = {"queued": "retrying"} if self.waits() else {}
        wanted = {pair: word.get(each, each) for pair, each in self.told().items()}
        pairs = [(key, version) for key, versions in self.versions.items() for version in versions]
        assert told == {pair: wanted.get(pair) for pair in pairs}

    def waits(self) -> bool:
        """Whether the receiver is left alone: it failed, and nothing was heard of it since."""
        return bool(self.post.look(f"select 1 from subscriptions where due_at > {int(self.post.now * 1e6)}"))


changed = st.dictionaries(st.integers(0, 5), st.none() | st.sampled_from("abc"), min_size=1, max_size=5)
events = st.one_of(
    st.builds(lambda rows: lambda oracle: oracle.change(rows), changed),
    st.builds(lambda rows: lambda oracle: oracle.change(rows), changed),
    st.just(Oracle.dispatch),
    st.builds(lambda most: lambda oracle: oracle.deliver(most), st.none() | st.integers(0, 2)),
    st.builds(lambda bad: lambda oracle: setattr(oracle, "bad", bad), st.sampled_from(["", "a", "b"])),
    st.just(lambda oracle: setattr(oracle, "down", True)),
    st.just(Oracle.wait),
    st.just(Oracle.retry),
)


@settings(max_examples=15, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(events, min_size=3, max_size=10))
def test_any_history_is_told_as_it_was(history: list[Callable[[Oracle], None]]) -> None:
    """Changes, dispatches, drains cut short, refusals, outages, retries: each version has the oracle's word."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        small_messages(patch, 2)
        oracle = Oracle(Post(folder))
        oracle.change(dict.fromkeys(range(4), "a"))
        for event in history:
            event(oracle)
        oracle.assert_told()
