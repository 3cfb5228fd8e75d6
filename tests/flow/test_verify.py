"""Verify: what differs at a receiver is named, what is on its way is not, and what cannot be told is said."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.engine import verify
from postroad.engine.verify import Verified
from postroad.errors import ConfigError, OutcomeUnknownError
from postroad.project import Cleaning, Delivery
from postroad.project.where import parse_where
from tests.flow.post import HERE, THERE, Post, memory_folder, small_messages
from tests.flow.test_deliveries import failing, refusing


@pytest.fixture
def post(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Post:
    """Nine books, delivered."""
    small_messages(monkeypatch)
    post = Post(folder)
    post.change({number: f"book {number}" for number in range(9)})
    post.deliver()
    return post


def verified(post: Post, name: str = HERE, **options: Any) -> Verified:
    """What `postroad verify` finds."""
    found: Verified = post.do(lambda app: app.deliveries.verify(name, **options))
    return found


def spoil(post: Post, statement: str) -> None:
    """Somebody else's hand at the receiver."""
    with closing(sqlite3.connect(post.folder / "app.db")) as database, database:
        database.execute(statement)


def named(found: Verified) -> dict[str, list[str]]:
    """The keys that differ, by how."""
    return {kind: keys for kind, keys in found.keys.items() if keys}


def test_what_was_delivered_is_equal(post: Post) -> None:
    found = verified(post)
    assert (found.equal, found.rows, found.held, found.sampled, found.awaited) == (True, 9, 9, 9, 0)


def test_each_difference_is_named(post: Post) -> None:
    spoil(post, "delete from books where id = 1")
    spoil(post, "insert into books (id, text, _version, _deleted) values (77, 'x', 1, 0)")
    spoil(post, "update books set _version = 5 where id = 2")
    spoil(post, "update books set _version = _version + 5 where id = 3")
    spoil(post, "update books set text = 'secret', extra = 'y' where id = 4")
    found = verified(post)
    assert named(found) == {"missing": ["[1]"], "extra": ["[77]"], "older": ["[2]"], "newer": ["[3]"]}
    assert found.counts == dict.fromkeys(verify.KINDS, 1)
    (different,) = found.different
    assert (different.key, different.fields, different.values) == ("[4]", ["text", "extra"], None)
    assert "secret" not in str(found.as_dict())
    (different,) = verified(post, show=True).different
    assert different.values == {"text": ("book 4", "secret"), "extra": (None, "y")}
    assert not verified(post, sample=0).different


def test_what_is_on_its_way_is_no_difference(post: Post) -> None:
    """Not dispatched, in a message, or in one that is held; what a receiver refused is counted apart."""
    post.change({1: "new", 2: None, 20: "twenty"})
    found = verified(post)
    assert (found.equal, found.awaited) == (True, 3)
    post.dispatch()
    assert (verified(post).equal, verified(post).awaited) == (True, 3)
    post.faults["app"] = failing(OutcomeUnknownError("no answer"))
    post.deliver()
    assert (verified(post).equal, verified(post).awaited) == (True, 3)
    post.do(lambda app: app.deliveries.discard(HERE))
    assert named(verified(post)) == {"missing": ["[20]"], "extra": ["[2]"], "older": ["[1]"]}
    post.change({3: "bad"})
    post.faults["app"] = refusing("bad")
    post.deliver()
    found = verified(post)
    assert (found.equal, found.rejected, found.counts["older"]) == (False, 1, 1)


def test_what_changes_meanwhile_is_no_difference(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker delivers while the receiver is read."""
    run = verify.Verification._awaited

    def meanwhile(self: Any, checks: Any) -> Any:
        post.change({1: "new", 2: None, 20: "twenty"})
        post.deliver()
        return run(self, checks)

    monkeypatch.setattr(verify.Verification, "_awaited", meanwhile)
    assert verified(post).equal


def test_before_the_first_message(post: Post) -> None:
    post.deliveries = (*post.deliveries, Delivery("toy.books", THERE))
    found = verified(post, THERE)
    assert (found.begun, found.equal, found.awaited, found.held) == (False, True, 9, 0)


def test_a_delivery_from_a_day_on_owes_nothing_older(post: Post) -> None:
    post.now += 2 * 86_400
    post.deliveries = (*post.deliveries, Delivery("toy.books", THERE, "2026-09-22"))
    post.deliver()
    post.change({1: "new"})
    post.deliver()
    found = verified(post, THERE)
    assert (found.equal, found.rows, found.held) == (True, 1, 1)


def test_a_cleaned_delivery_is_compared_as_it_is_sent(folder: Path) -> None:
    rule = Cleaning(("text",), {"id": "number", "text": "title"}, parse_where("text != 'x'"), {"source": "toy"})
    post = Post(folder, (Delivery("toy.books", HERE, cleaning=rule),))
    post.change({1: "x", 2: "y", 3: "z"})
    post.deliver()
    post.change({3: "x", 4: "w"})
    post.deliver()
    found = verified(post)
    assert (found.equal, found.rows, found.sampled) == (True, 2, 2)
    spoil(post, "update books set source = 'me' where number = 4")
    spoil(post, "delete from books where number = 2")
    found = verified(post)
    assert named(found) == {"missing": ["[2]"]}
    assert [(each.key, each.fields) for each in found.different] == [("[4]", ["source"])]


def test_a_column_that_the_receiver_lacks_differs_where_there_is_a_value(post: Post) -> None:
    spoil(post, "alter table books drop column text")
    found = verified(post)
    assert {tuple(each.fields) for each in found.different} == {("text",)}
    assert len(found.different) == 9


def test_a_receiver_that_cannot_be_read_back_is_said(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.flow.post.Readable", int)
    with pytest.raises(ConfigError, match="cannot be read back"):
        verified(post)


def test_a_source_that_cannot_count_is_said(post: Post) -> None:
    with pytest.raises(ConfigError, match="cannot count its records"):
        post.do(lambda app: app.datasets.count("toy.books"))


kept = st.sampled_from(["same", "gone", "older", "newer", "changed"])


@settings(max_examples=10, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.integers(0, 40), kept), st.sets(st.integers(50, 60)))
def test_any_damage_is_named_exactly(damage: dict[int, str], extra: set[int]) -> None:
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "AT_ONCE", 5)
        patch.setattr("postroad.lake.parquet.BATCH", 7)
        post = Post(folder)
        post.change({number: f"book {number}" for number in damage})
        post.deliver()
        if not damage:
            return
        with closing(sqlite3.connect(folder / "app.db")) as database, database:
            for number, what in damage.items():
                database.execute(f"{SPOILT[what]} where id = {number}")
            for number in extra:
                database.execute(f"insert into books (id, _version, _deleted) values ({number}, 1, 0)")
        found = verified(post, sample=1000)
        for kind, what in (("missing", "gone"), ("older", "older"), ("newer", "newer")):
            assert found.keys[kind] == [f"[{number}]" for number in sorted(damage) if damage[number] == what]
        assert found.keys["extra"] == [f"[{number}]" for number in sorted(extra)]
        changed = [f"[{number}]" for number in sorted(damage) if damage[number] == "changed"]
        assert sorted(each.key for each in found.different) == sorted(changed)


SPOILT = {
    "same": "update books set text = text",
    "gone": "delete from books",
    "older": "update books set _version = _version - 1",
    "newer": "update books set _version = _version + 1",
    "changed": "update books set text = 'other'",
}
