"""What one call of `fetch` reads, and what it remembers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from postroad.connectors.files import places, reading
from postroad.connectors.files.places import Folder
from postroad.errors import CursorExpiredError, EntitiesFailedError, RemoteError, TransientError
from postroad.records import Payload, Want
from tests.unit.files.drops import CSV, NOW, Drop

SNAPSHOT = {"holds": "snapshot"}


def things(*codes: object) -> bytes:
    return CSV + "".join(f"{code},a,1,\n" for code in codes).encode()


def codes(drop: Drop, payloads: list[Any]) -> list[str]:
    return [row["Code"] for row in drop.parsed(payloads)[0]]


def test_files_are_read_in_the_order_of_their_times_then_of_their_names(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    for name, age in (("c.csv", 50), ("a.csv", 40), ("d.csv", 40), ("b.csv", 60)):
        drop.put(name, things(name[0]), age=age)
    assert codes(drop, drop.fetched()) == ["b", "c", "a", "d"]


def test_a_first_poll_takes_positions_and_the_next_reads_what_came_since(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put("a.csv", things(1))
    (start,) = drop.fetched("changes")
    assert start.body is None
    drop.put("old.csv", things(2), age=9_999)
    drop.put("a.csv", things(1, 3))
    news = drop.fetched("changes", start.cursor)
    assert codes(drop, news) == ["2", "1", "3"]
    assert drop.fetched("changes", news[-1].cursor) == []


def test_a_file_touched_or_put_back_is_not_read_again(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    start = drop.fetched("changes")[-1].cursor
    drop.put("a.csv", things(1))
    cursor = drop.fetched("changes", start)[-1].cursor
    os.utime(tmp_path / "a.csv", (NOW - 100, NOW - 100))
    (touched,) = drop.fetched("changes", cursor)
    assert touched.body is None
    assert drop.fetched("changes", touched.cursor) == []
    body = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv").unlink()
    assert drop.fetched("changes", touched.cursor) == []
    drop.put("a.csv", body, age=100)
    assert drop.fetched("changes", touched.cursor) == []


def test_a_file_that_grew_while_it_was_being_read_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 20)
    drop = Drop(tmp_path)
    start = drop.fetched("changes")[-1].cursor
    drop.put("a.csv", things(*range(10)))
    first, second, *_ = drop.fetched("changes", start)
    drop.put("a.csv", things(*range(20, 24)), age=60)
    again = drop.fetched("changes", second.cursor)
    assert codes(drop, again) == ["20", "21", "22", "23"]
    assert first.identifier == again[0].identifier == "a.csv#1"


def test_a_file_that_changes_under_our_hands_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = Drop(tmp_path)
    start = drop.fetched("changes")[-1].cursor
    drop.put("a.csv", things(1))
    drop.put("b.csv", things(2), age=60)
    opened = Folder.opened

    def touching(self: Folder, file: Any) -> Any:
        found = opened(self, file)
        if file.name == "a.csv":
            drop.put("a.csv", things(1, 3), age=30)
        return found

    monkeypatch.setattr(Folder, "opened", touching)
    source, feed = drop.source(), drop.feed("changes")
    landed: list[Payload] = []
    with pytest.raises(EntitiesFailedError, match=r"a\.csv changed while it was being read"):
        landed.extend(source.fetch(feed, Want(start, ("things",))))
    assert codes(drop, landed) == ["2"]


def test_a_snapshot_is_the_newest_file_and_never_an_older_one(tmp_path: Path) -> None:
    drop = Drop(tmp_path, SNAPSHOT)
    assert drop.fetched() == []
    drop.put("a.csv", things(1), age=100)
    drop.put("b.csv", things(2), age=50)
    (page,) = drop.fetched()
    assert page.closes
    assert codes(drop, [page]) == ["2"]
    assert drop.fetched(cursor=page.cursor) == []
    (tmp_path / "b.csv").unlink()
    assert drop.fetched(cursor=page.cursor) == []
    drop.put("b.csv", things(3), age=120)
    assert codes(drop, drop.fetched(cursor=page.cursor)) == ["3"], "the same file with another content is news"


def test_a_snapshot_that_was_touched_is_read_for_its_digest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = Drop(tmp_path, SNAPSHOT)
    drop.put("a.csv", things(1), age=200)
    cursor = drop.fetched()[-1].cursor
    os.utime(tmp_path / "a.csv", (NOW - 100, NOW - 100))
    (touched,) = drop.fetched(cursor=cursor)
    assert touched.body is None
    monkeypatch.setattr(Folder, "opened", None)  # whoever reads a file fails
    assert drop.fetched(cursor=touched.cursor) == []
    monkeypatch.undo()
    drop.put("a.csv", things(2), age=50)
    assert codes(drop, drop.fetched(cursor=touched.cursor)) == ["2"]


def test_a_snapshot_that_is_replaced_while_it_is_read_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK", 20)
    drop = Drop(tmp_path, SNAPSHOT)
    drop.put("a.csv", things(*range(9)))
    first, *rest = drop.fetched()
    assert [each.identifier for each in drop.fetched(cursor=first.cursor)] == [each.identifier for each in rest]
    drop.put("b.csv", things(5), age=60)
    with pytest.raises(CursorExpiredError, match=r"a\.csv was replaced"):
        drop.fetched(cursor=first.cursor)
    (tmp_path / "b.csv").unlink()
    drop.put("a.csv", things(6), age=1)
    with pytest.raises(TransientError, match="read again once it has settled"):
        drop.fetched(cursor=first.cursor)


def test_a_removed_snapshot_is_empty_only_where_that_was_asked(tmp_path: Path) -> None:
    for removed, wanted in (("keep", []), ("empty", [b""])):
        drop = Drop(tmp_path, {**SNAPSHOT, "removed": removed})
        drop.put("a.csv", things(1))
        (page,) = drop.fetched()
        (tmp_path / "a.csv").unlink()
        gone = drop.fetched(cursor=page.cursor)
        assert [each.body for each in gone] == wanted
        assert all(drop.fetched(cursor=each.cursor) == [] for each in gone)


def test_scopes_and_columns_come_from_names(tmp_path: Path) -> None:
    scoped = {"files": "{company}/*.csv", "holds": "snapshot", "scopes": ["no01", "se01"], "file_as": "file"}
    drop = Drop(tmp_path, {**scoped, "key": ["Code", "file"]})
    drop.put("se01/a.csv", things(1))
    drop.put("no01/a.csv", things(2))
    rows, _ = drop.parsed(drop.fetched(name="things.no01"))
    assert [(row["company"], row["Code"], row["file"]) for row in rows] == [("no01", "2", "no01/a.csv")]
    assert drop.feed().entities[0].key == ("company", "Code", "file")


def test_other_columns_mean_that_files_are_read_again(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put("a.csv", things(1))
    cursor = drop.fetched("changes")[-1].cursor
    drop.dataset = {"columns": {"Code": "text", "Name": "text", "Rate": "text"}}
    with pytest.raises(CursorExpiredError, match="declared otherwise"):
        drop.fetched("changes", cursor)


def test_what_is_not_there_or_too_much_is_told(tmp_path: Path) -> None:
    drop = Drop(tmp_path / "nowhere")
    with pytest.raises(RemoteError, match="there is no folder"):
        drop.fetched()
    assert [step.ok for step in drop.source().check()] == [False]
    drop = Drop(tmp_path, settings={"most_files": 1})
    for name in ("a.csv", "b.csv"):
        drop.put(name, CSV)
    with pytest.raises(RemoteError, match=r"2 files match \*.csv; most_files allows 1"):
        drop.fetched()


def test_links_are_not_followed(tmp_path: Path) -> None:
    drop = Drop(tmp_path / "drop")
    (tmp_path / "secret.csv").write_bytes(things(1))
    drop.put("a.csv", things(2))
    (tmp_path / "drop" / "b.csv").symlink_to(tmp_path / "secret.csv")
    assert codes(drop, drop.fetched()) == ["2"]


def test_a_walk_tells_of_a_file_that_went_while_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 20)
    drop = Drop(tmp_path)
    drop.put("a.csv", things(*range(9)), age=90)
    drop.put("b.csv", b"Code,Name,Rate,From", age=80)
    first, *_, last_of_a, of_b = drop.fetched()
    assert (last_of_a.identifier[:5], of_b.identifier) == ("a.csv", "b.csv#1")
    (tmp_path / "a.csv").unlink()
    assert [each.identifier for each in drop.fetched(cursor=last_of_a.cursor)] == ["b.csv#1"]
    gone, rest = drop.fetched(cursor=first.cursor)
    assert rest.identifier == "b.csv#1"
    rows, (refused,) = drop.parsed([gone])
    assert (rows, refused.key, refused.cause) == ([], None, "file_vanished")
    assert "its first 1 parts are there" in refused.sentence


def test_a_file_without_anything_has_no_changes_and_is_no_snapshot(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    start = drop.fetched("changes")[-1].cursor
    drop.put("a.csv", b"")
    (moved,) = drop.fetched("changes", start)
    assert moved.body is None
    assert drop.fetched("changes", moved.cursor) == []
    drop.dataset = SNAPSHOT
    with pytest.raises(RemoteError, match="ends before line 1"):
        drop.fetched()


def test_an_open_snapshot_of_another_folder_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 20)
    drop = Drop(tmp_path / "one", SNAPSHOT)
    drop.put("a.csv", things(*range(9)))
    first, *_ = drop.fetched()
    drop.folder = tmp_path / "two"
    drop.put("a.csv", things(*range(9)))
    with pytest.raises(CursorExpiredError, match="declared otherwise"):
        drop.fetched(cursor=first.cursor)


def test_a_time_in_the_future_hides_no_file(tmp_path: Path) -> None:
    drop = Drop(tmp_path)
    drop.put("a.csv", things(1), age=-86_400)
    drop.put("b.csv", things(2), age=-5)
    assert codes(drop, drop.fetched()) == ["1"]


def test_a_file_that_goes_while_the_folder_is_listed_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = Drop(tmp_path, {"files": "**/*.csv"})
    for name in ("a.csv", "b.csv", "c.csv", "x/d.csv"):
        drop.put(name, things(name[-5]))
    found = places._found

    def gone(name: str, facts: os.stat_result) -> places.Found:
        if name == "b.csv":
            raise FileNotFoundError
        return found(name, facts)

    monkeypatch.setattr(places, "_found", gone)
    assert sorted(each.name for each in places.Folder(tmp_path).listed(deep=True)) == ["a.csv", "c.csv", "x/d.csv"]


def test_a_file_that_may_not_be_read_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = Drop(tmp_path)
    start = drop.fetched("changes")[-1].cursor
    drop.put("a.csv", things(1), age=90)
    drop.put("b.csv", things(2))
    opened = Path.open

    def refused(self: Path, *given: Any) -> Any:
        if self.name == "a.csv":
            raise PermissionError
        return opened(self, *given)

    monkeypatch.setattr(Path, "open", refused)
    landed: list[Payload] = []
    with pytest.raises(EntitiesFailedError, match="may not be read by us"):
        landed.extend(drop.source().fetch(drop.feed("changes"), Want(start, ("things",))))
    assert codes(drop, landed) == ["2"]
