"""Rejections at a person's hands: counted by cause, rehearsed, and retried with the current row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from postroad.engine.resend import COMES, NEWER, SAME, UNKNOWN
from postroad.errors import ConfigError, OutcomeUnknownError, StateError
from postroad.records import Package
from tests.flow.post import HERE, Post, memory_folder, small_messages
from tests.flow.test_deliveries import failing, refusing


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """Six books; the receiver refused the first three of them."""
    small_messages(monkeypatch)
    with memory_folder() as folder:
        post = Post(folder)
        post.change({number: "bad" if number < 3 else "good" for number in range(6)})
        post.faults["app"] = refusing("bad")
        post.deliver()
        yield post


def groups(post: Post) -> list[tuple[str, str, str, int]]:
    """What `rejected list` counts."""
    found = post.do(lambda app: app.rejections.groups())
    return [(row["dataset"], row["stage"], row["cause"], row["records"]) for row in found]


def rehearsed(post: Post) -> dict[str, str]:
    """What a retry would do with each."""
    return {row["what"]: row["happens"] for row in post.do(lambda app: app.rejections.rehearse(HERE, "deliver"))}


def books(post: Post) -> list[str]:
    """All of tracking and of the receiver, as SQL."""
    found: list[str] = []
    for name in ("postroad.db", "app.db"):
        with closing(sqlite3.connect(post.folder / name)) as database:
            found += database.iterdump()
    return found


def test_they_are_counted_by_cause(post: Post) -> None:
    assert groups(post) == [(HERE, "deliver", "refused", 3)]
    post.look("update rejections set cause = 'poison' where key = '[2]'")
    assert groups(post) == [(HERE, "deliver", "refused", 2), (HERE, "deliver", "poison", 1)]
    newest = post.do(lambda app: app.rejections.groups("deliver"))[0]
    assert newest["sentence"] == "no bad here"
    assert post.do(lambda app: app.rejections.groups("normalise")) == []


def test_what_waits_is_counted_apart(post: Post) -> None:
    post.change({9: "held"})
    post.faults["app"] = failing(OutcomeUnknownError("no answer"))
    post.deliver()
    assert groups(post) == [(HERE, "deliver", "in_doubt", 0), (HERE, "deliver", "refused", 3)]
    assert rehearsed(post)["message 3: 1 records"] == "it is sent again as it is"


def test_a_rehearsal_says_what_happens_and_changes_nothing(post: Post) -> None:
    before = books(post)
    assert rehearsed(post) == dict.fromkeys(["[0]", "[1]", "[2]"], SAME)
    post.change({0: "better"})
    post.dispatch()
    post.change({1: None})
    before = books(post)
    assert rehearsed(post) == {"[0]": NEWER, "[1]": COMES, "[2]": SAME}
    assert books(post) == before


def test_a_retry_sends_the_current_row(post: Post) -> None:
    """Also where a person had dropped the message that it was in: nothing older is sent, and nothing is lost."""
    post.change({0: "better", 1: None})
    post.dispatch()
    post.look("update messages set status = 'in_doubt' where status = 'queued'")
    post.do(lambda app: app.deliveries.discard(HERE))
    sent: list[tuple[int, str | None]] = []

    def fault(package: Package) -> None:
        sent.extend(zip(package.body.column("id").to_pylist(), package.body.column("text").to_pylist(), strict=True))

    post.faults["app"] = fault
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert sorted(sent) == [(0, "better"), (1, None), (2, "bad")]
    post.assert_law()
    assert groups(post) == []
    reasons = {row[0] for row in post.look("select status from rejections")}
    assert reasons == {"discarded"}


def test_what_the_dataset_does_not_have_any_more_stays_listed(post: Post) -> None:
    post.look("update rejections set key = '[77]' where key = '[0]'")
    assert rehearsed(post)["[77]"] == UNKNOWN
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert groups(post) == [(HERE, "deliver", "refused", 3)]  # two were refused again


def test_a_target_that_nothing_went_to_has_nothing_to_retry(post: Post) -> None:
    post.look("delete from subscriptions")
    with pytest.raises(ConfigError, match="has delivered nothing yet"):
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))


def test_many_at_once_go_in_few_messages(post: Post) -> None:
    """They are found in one reading of the files, and leave in the order of their versions."""
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    post.assert_law()
    assert post.look("select count(*) from messages where records = 3 and number > 2") == [(1,)]


def test_a_damaged_history_is_told_and_nothing_is_sent(post: Post) -> None:
    for path in post.folder.glob("lake/changes/toy/books/*.parquet"):
        path.write_bytes(b"damaged")
    before = books(post)
    with pytest.raises(StateError, match="put it back from a backup"):
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert books(post) == before
