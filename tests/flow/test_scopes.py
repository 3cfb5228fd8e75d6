"""Parts of an entity, links, and columns that come and go (sequences 12 and 16)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from postroad.errors import ConfigError
from postroad.project import Allowance, Reload, Sync
from postroad.records import Entity
from postroad.telemetry import Point
from tests.flow.harness import Side, Trap
from tests.flow.toy import BOOKS, ToyWorld

POINTS = {Point.WALK_CONFIRMED, Point.COLUMNS_NOTED, Point.COLUMNS_ADDED}
FREE = Allowance(rows=1_000_000)


@pytest.fixture
def world(tmp_path: Path) -> ToyWorld:
    """Eight books, four of them new, and two links; synced once."""
    world = ToyWorld(tmp_path, rule=Sync("toy", ("books", "shelves"), FREE))
    for number in range(8):
        world.toy.put(number, "2026-08-15" if number < 4 else "2026-09-10", f"book {number}", "x", tell=False)
    world.toy.shelves = {"north": {1: "a", 2: "b"}, "south": {1: "c"}}
    assert world.sync().exit_code == 0
    return world


def assert_equal(world: ToyWorld) -> None:
    """The tables show what the toy has."""
    held = world.rows()
    assert {number: (str(row["day"]), row["text"], row["extra"]) for number, row in held.items()} == {
        number: (row["day"], row["text"], row["extra"]) for number, row in world.toy.books.items()
    }
    shelves = {(link, number): text for link, rows in world.toy.shelves.items() for number, text in rows.items()}
    assert {key: row["text"] for key, row in world.rows("toy.shelves").items()} == shelves


# A part from a day on


def test_sequence_12_a_row_that_left_the_part_is_asked_for_before_its_delete(world: ToyWorld) -> None:
    """One row moved out of the window, one is gone, one changed, one is new; nobody told. Older rows are not read."""
    world.toy.put(5, "2026-08-20", "moved out", tell=False)
    world.toy.drop(6, tell=False)
    world.toy.put(7, "2026-09-10", "changed", tell=False)
    world.toy.put(9, "2026-09-11", "new", tell=False)
    world.toy.put(0, "2026-08-15", "unseen", tell=False)
    assert world.sync(select="toy.books", since="2026-09-01").exit_code == 0
    assert ("books.since", [5, 6]) in world.toy.asked
    assert world.rows()[0]["text"] == "book 0"
    world.toy.put(0, "2026-08-15", "book 0", "x", tell=False)
    assert_equal(world)
    assert world.history()[8:] == [("upsert", 5), ("delete", 6), ("upsert", 7), ("upsert", 9)]


def test_a_part_is_never_begun_before_the_whole(tmp_path: Path) -> None:
    """A first load comes first; and what has no column to cut by says so."""
    world = ToyWorld(tmp_path)
    world.toy.put(1, tell=False)
    world.sync(select="toy.books", since="2026-09-01")
    assert [name for name, _ in world.toy.asked] == ["changes", "books", "changes"]
    with pytest.raises(ConfigError, match=r"toy\.shelves cannot be reloaded.*these can: books"):
        world.sync(select="toy.shelves", since="2026-09-01")
    with pytest.raises(ConfigError, match="last_month"):
        world.sync(select="toy.books", since="yesterday")


def test_a_sweep_of_what_has_no_keys_to_read_is_refused(world: ToyWorld) -> None:
    world.rule = replace(world.rule, entities=("books",), sweep_deletes=86_400.0)
    with pytest.raises(ConfigError, match=r"toy\.books cannot be swept"):
        world.sync()


def test_a_flow_reloads_a_part_now_and_then(world: ToyWorld) -> None:
    """From the first of last month, once a day."""
    world.rule = replace(world.rule, entities=("books",), reload=Reload("last_month", 86_400.0))
    for hours, times in ((0, 1), (1, 1), (25, 2)):
        world.now += hours * 3600
        world.sync()
        assert [at for name, at in world.toy.asked if name == "books.since"] == ["2026-08-01"] * times


def test_changes_win_over_the_pages_of_a_part(world: ToyWorld) -> None:
    """A row that changes and one that goes while the part is read: the change feed's word is the last."""
    world.sync(Trap(Point.WALK_CONFIRMED), since="2026-09-01", select="toy.books")
    world.toy.put(4, "2026-09-10", "later")
    world.toy.drop(5)
    assert world.sync(select="toy.books").exit_code == 0
    assert_equal(world)


def test_a_guard_counts_the_part_alone(world: ToyWorld) -> None:
    """Three of four rows of the part: too many, though few of all. A person lets it pass."""
    world.rule = replace(world.rule, max_deletes=Allowance(rows=0, percent=50))
    for number in (4, 5, 6):
        world.toy.drop(number, tell=False)
    report = world.sync(select="toy.books", since="2026-09-01")
    assert report.exit_code == 3
    status = world.do(lambda app: app.datasets.status("toy.books"))[0]
    assert status.parked == "since: it would delete 3 of 4 rows; max_deletes allows 2"
    world.do(lambda app: app.rejections.retry("toy.books", "guard"))
    assert_equal(world)


def test_max_changes_parks_a_close(world: ToyWorld) -> None:
    """More rows than allowed are touched: nothing of it is committed; explicit changes always pass."""
    world.rule = replace(world.rule, max_changes=Allowance(rows=3, percent=0))
    for number in range(4):
        world.toy.put(number, "2026-08-15", "rewritten", "x", tell=False)
    world.sync(select="toy.books", full_refresh=True)
    assert world.do(lambda app: app.datasets.status("toy.books"))[0].parked == (
        "it would change 4 rows, of 8; max_changes allows 3"
    )
    for number in range(4, 8):
        world.toy.put(number, "2026-09-10", "told", "x")
    world.sync(select="toy.books")
    assert {row["text"] for row in world.rows().values()} == {"book 0", "book 1", "book 2", "book 3", "told"}


def test_a_replay_of_the_whole_leaves_a_later_part_alone(world: ToyWorld) -> None:
    """The part was read later than the whole: replaying both changes nothing, in one commit or in two."""
    world.toy.put(5, "2026-08-20", "moved out", tell=False)
    world.toy.drop(6, tell=False)
    world.toy.put(7, "2026-09-10", "changed", tell=False)
    world.sync(select="toy.books", since="2026-09-01")
    before = world.history()
    report = world.do(lambda app: app.runs.replay("toy.books"))
    assert report.exit_code == 0
    assert world.history() == before
    assert_equal(world)


def test_an_older_whole_does_not_take_back_a_newer_part(world: ToyWorld) -> None:
    """A full refresh is cut short, a part is read and closed, then the full one goes on and closes."""
    world.toy.page = 2
    world.sync(select="toy.books", full_refresh=True, limit=3)
    world.toy.put(4, "2026-09-10", "newer", tell=False)
    world.sync(select="toy.books", since="2026-09-01", limit=1)
    assert world.sync(select="toy.books", since="2026-09-01").exit_code == 0
    assert_equal(world)


# Links


def test_sequence_12_a_key_that_leaves_one_link_stays_in_the_other(world: ToyWorld) -> None:
    """The link is part of the key; an unchanged link costs nothing and loses nothing."""
    world.toy.shelves["north"].pop(1)
    report = world.sync(select="toy.shelves")
    assert report.exit_code == 0
    assert "toy.shelves.south: unchanged" in world.said
    assert_equal(world)
    assert world.history("toy.shelves")[3:] == [("delete", 1)]


def test_a_run_looks_again_after_it_closed_what_a_killed_one_fetched(world: ToyWorld) -> None:
    """The link changed between the two: one run closes both versions, the older first."""
    world.toy.shelves["north"] = {1: "a", 2: "killed"}
    world.sync(Trap(Point.PAYLOAD_ROW), select="toy.shelves")
    world.toy.shelves["north"] = {1: "later"}
    assert world.sync(select="toy.shelves").exit_code == 0
    assert_equal(world)
    assert world.history("toy.shelves")[3:] == [("upsert", 2), ("upsert", 1), ("delete", 2)]


def test_an_empty_link_is_parked_and_the_others_go_on(world: ToyWorld) -> None:
    """A link that suddenly has no rows asks a person."""
    world.toy.shelves["north"] = {}
    world.toy.shelves["south"][2] = "d"
    assert world.sync(select="toy.shelves").exit_code == 3
    status = world.do(lambda app: app.datasets.status("toy.shelves"))[0]
    assert status.parked == "north: the snapshot is empty while the table has 2 rows"
    assert len(world.rows("toy.shelves")) == 4
    world.do(lambda app: app.rejections.retry("toy.shelves", "guard"))
    assert_equal(world)


def test_a_reset_reads_every_link_again_and_pays_its_debt(world: ToyWorld) -> None:
    """Due until all links have closed; nothing changes."""
    before = world.history("toy.shelves")
    world.do(lambda app: app.datasets.reset_state("toy.shelves"))
    assert world.sync(select="toy.shelves").exit_code == 0
    assert world.do(lambda app: app.datasets.status("toy.shelves"))[0].state == "in step"
    assert world.history("toy.shelves") == before


# Columns


def test_sequence_16_what_is_not_sent_overwrites_nothing(world: ToyWorld) -> None:
    """By changes and by a full refresh; when it is sent again everything is read anew."""
    world.toy.absent = ("extra",)
    world.toy.put(3, "2026-08-15", "told", "y")
    world.toy.put(11, "2026-08-15", "new", "y")
    assert world.sync(select="toy.books").exit_code == 0
    assert (world.rows()[3]["text"], world.rows()[3]["extra"]) == ("told", "x")
    assert world.rows()[11]["extra"] is None
    assert world.do(lambda app: app.datasets.status("toy.books"))[0].absent == ["extra"]
    world.toy.put(4, "2026-09-10", "untold", "y", tell=False)
    world.sync(select="toy.books", full_refresh=True)
    assert (world.rows()[4]["text"], world.rows()[4]["extra"]) == ("untold", "x")
    assert [row for row in world.history() if row[1] == 5] == [("upsert", 5)]
    world.toy.absent = ()
    world.toy.put(0, "2026-08-15", "back", "z")
    world.sync(select="toy.books")
    assert_equal(world)
    assert world.do(lambda app: app.datasets.status("toy.books"))[0].absent == []


def test_a_new_column_is_filled_by_a_full_refresh(world: ToyWorld) -> None:
    """The lake is widened; every row gets its value; a column that is declared no more keeps its values."""
    wider = Entity("books", ("id",), BOOKS.schema.append(pa.field("isbn", pa.string())))
    for number, row in world.toy.books.items():
        row["isbn"] = f"978-{number}"
    world.toy.declared = wider
    assert world.sync(select="toy.books").exit_code == 0
    assert {number: row["isbn"] for number, row in world.rows().items()} == {
        number: f"978-{number}" for number in world.toy.books
    }
    world.toy.declared = BOOKS
    world.toy.put(2, "2026-08-15", "no isbn", "x")
    world.sync(select="toy.books")
    assert (world.rows()[2]["text"], world.rows()[2]["isbn"]) == ("no isbn", "978-2")


def test_a_column_of_another_type_is_refused(world: ToyWorld) -> None:
    """The lake's type does not change under its readers."""
    columns = [each if each.name != "text" else pa.field("text", pa.int64()) for each in BOOKS.schema]
    world.toy.declared = Entity("books", ("id",), pa.schema(columns))
    report = world.sync(select="toy.books")
    assert report.exit_code == 2
    assert "column text is string in the lake and int64" in report.outcomes[-1].reason


# Deaths

Act = Callable[[ToyWorld, Trap | None], object]


def _reload(world: ToyWorld, trap: Trap | None) -> None:
    world.toy.put(5, "2026-08-20", "moved out", "x", tell=False)
    world.toy.drop(6, tell=False)
    world.sync(trap, select="toy.books", since="2026-09-01")


def _vanish(world: ToyWorld, trap: Trap | None) -> None:
    world.toy.absent = ("extra",)
    world.toy.put(3, "2026-08-15", "told", "x")
    world.sync(trap, select="toy.books")


def _widen(world: ToyWorld, trap: Trap | None) -> None:
    world.toy.declared = Entity("books", ("id",), BOOKS.schema.append(pa.field("isbn", pa.string())))
    world.sync(trap, select="toy.books")


def _links(world: ToyWorld, trap: Trap | None) -> None:
    world.toy.shelves["north"] = {2: "b", 3: "new"}
    world.sync(trap, select="toy.shelves")


P = Point
DEADLY: dict[str, list[Point]] = {
    "reload": [P.WALK_BEGUN, P.PAYLOAD_ROW, P.WALK_CONFIRMED, P.STAGED_ROW, P.CHANGES_COMMIT, P.CLOSE_DONE],
    "vanish": [P.COLUMNS_NOTED, P.CHANGES_COMMIT, P.TABLE_COMMIT],
    "widen": [P.REFRESH_DUE, P.COLUMNS_ADDED, P.WALK_BEGUN, P.CHANGES_COMMIT],
    "links": [P.WALK_BEGUN, P.PAYLOAD_ROW, P.STAGED_ROW, P.CHANGES_COMMIT, P.CLOSE_DONE],
}
ACTS: dict[str, Act] = {"reload": _reload, "vanish": _vanish, "widen": _widen, "links": _links}


@pytest.mark.parametrize("act", ACTS)
def test_death_at_every_point(act: str, tmp_path: Path) -> None:
    """Wherever a run dies, the next ones bring everything."""
    for number, point in enumerate(DEADLY[act]):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = ToyWorld(folder, rule=Sync("toy", ("books", "shelves"), FREE))
        for book in range(8):
            world.toy.put(book, "2026-08-15" if book < 4 else "2026-09-10", f"book {book}", "x", tell=False)
        world.toy.shelves = {"north": {1: "a", 2: "b"}, "south": {1: "c"}}
        world.sync()
        trap = Trap(point, 1, Side.AFTER)
        ACTS[act](world, trap)
        assert trap.fired, point
        for _ in range(2):
            world.sync(since="2026-09-01" if act == "reload" else None, select="toy.books")
            world.sync(select="toy.shelves")
        assert_equal(world)
        assert {each.state for each in world.do(lambda app: app.datasets.status())} == {"in step"}


def test_one_links_rejections_are_not_anothers(world: ToyWorld) -> None:
    """A parked link makes its own run partly succeed, and no other."""
    world.toy.shelves["north"] = {}
    world.toy.shelves["south"][2] = "d"
    report = world.sync(select="toy.shelves")
    assert {each.feed: each.status for each in report.outcomes} == {
        "shelves.north": "partly_succeeded",
        "shelves.south": "succeeded",
    }
