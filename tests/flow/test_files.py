"""A drop folder to the lake: new and changed files once, killed anywhere, half-written ones left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from postroad.connectors.files import places, reading
from postroad.engine import close, normalise
from postroad.lake import Dataset, parquet, sorting, tables
from postroad.lake import changes as history
from postroad.lake.changes import Version
from postroad.lake.sorting import Sorter
from postroad.lake.streams import Stream
from postroad.telemetry import Point
from tests.flow.doomed import Side, Trap
from tests.flow.drop_world import DATASETS, DropWorld, outcomes
from tests.flow.lake_reader import read_table

P = Point
Act = Callable[[DropWorld, Trap], object]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DropWorld:
    """Files of several pages each, that nobody synced yet."""
    monkeypatch.setattr(reading, "BLOCK", 60)
    return filled(tmp_path)


def filled(folder: Path) -> DropWorld:
    world = DropWorld(folder)
    world.put("vendors_1.csv", {number: f"vendor {number}" for number in range(12)})
    world.put("vendors_2.csv", {number: f"better {number}" for number in range(8, 14)})
    world.put("prices/a/prices_se01.csv", {number: f"price {number}" for number in range(9)})
    world.put("prices/a/prices_no01.csv", {number: f"pris {number}" for number in range(5)})
    world.put("rates_1.csv", {1: "old"})
    world.put("rates_2.csv", {number: f"rate {number}" for number in range(7)})
    return world


def changed(world: DropWorld) -> None:
    """A new file, a changed one, newer snapshots, and rows that cannot be read."""
    world.put("vendors_3.csv", {number: f"best {number}" for number in range(10, 20)}, 'x,"no number"', "21")
    world.put("vendors_1.csv", {number: f"vendor {number}, again" for number in range(6)})
    world.put("prices/b/prices_se01.csv", {number: f"price of b {number}" for number in range(3, 12)})
    world.put("rates_2.csv", {number: f"rate {number}" for number in range(2, 11)})


def test_files_become_tables_and_unchanged_ones_cost_a_listing(
    world: DropWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(outcomes(world.sync()).values()) == {"succeeded"}
    world.assert_law()
    landed = sorted((world.folder / "lake" / "landing").rglob("*.*"))
    assert len(landed) > 10, "files land in several parts each"
    monkeypatch.setattr(places.Folder, "pieces", None)  # whoever reads a file fails
    assert set(outcomes(world.sync()).values()) == {"succeeded"}
    assert sorted((world.folder / "lake" / "landing").rglob("*.*")) == landed


def test_only_what_changed_is_read_and_bad_rows_are_kept_aside(
    world: DropWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sync()
    changed(world)
    read = []
    pieces = places.Folder.pieces

    def noted(self: places.Folder, file: places.Found) -> object:
        read.append(file.name)
        return pieces(self, file)

    monkeypatch.setattr(places.Folder, "pieces", noted)
    found = outcomes(world.sync())
    assert read == ["vendors_3.csv", "vendors_1.csv", "prices/b/prices_se01.csv", "rates_2.csv"]
    assert found.pop("changes") == "partly_succeeded"
    assert set(found.values()) == {"succeeded"}
    world.assert_law()
    told = {(row["cause"], row["row"], row["sentence"].partition(",")[0]) for row in world.rejected()}
    assert told == {("bad_number", 12, "vendors_3.csv"), ("wrong_columns", 13, "vendors_3.csv")}


def test_a_file_that_was_touched_or_removed_changes_nothing(world: DropWorld) -> None:
    world.sync()
    changed(world)
    world.sync()
    history = world.rows("vendors", "changes")
    world.now += 5
    for name in ("vendors_1.csv", "rates_2.csv"):
        world.write(name, (world.drop / name).read_bytes())
    for name in ("vendors_2.csv", "prices/a/prices_no01.csv", "rates_1.csv"):
        (world.drop / name).unlink()
    world.sync()
    world.assert_law()
    assert world.rows("vendors", "changes") == history
    for path in world.drop.rglob("*.csv"):
        path.unlink()
    world.sync(full_refresh=True)
    world.assert_law()


def test_a_full_refresh_reads_what_is_there_and_deletes_nothing_of_others(world: DropWorld) -> None:
    world.sync()
    (world.drop / "vendors_2.csv").unlink()
    world.put("vendors_9.csv", {99: "new"})
    world.sync(full_refresh=True)
    assert {row["Id"] for row in world.rows("vendors")} == {*range(14), 99}


def test_replays_and_lost_books_end_in_the_same_tables(world: DropWorld) -> None:
    world.sync()
    changed(world)
    world.sync()
    for path in world.drop.rglob("*.csv"):
        path.rename(path.with_suffix(".moved"))
    for name in DATASETS:
        assert world.do(lambda app, name=name: app.runs.replay(f"drop.{name}")).exit_code in (0, 3)
    world.assert_law()
    for path in world.drop.rglob("*.moved"):
        path.rename(path.with_suffix(".csv"))
    for path in world.folder.glob("postroad.db*"):
        path.unlink()
    world.sync()
    world.assert_law()
    world.put("vendors_9.csv", {3: "after all"})
    world.sync()
    world.assert_law()


def test_keys_in_any_order_are_merged_a_few_at_a_time(world: DropWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the parts of a walk nor the versions of many changes are all open at once."""
    opened: list[int] = []
    resolved = history.resolved

    class Noted(Sorter):
        def rows(self) -> Stream:
            opened.append(len(self._runs))
            return super().rows()

    def noted(dataset: Dataset, versions: Sequence[Version]) -> Stream:
        opened.append(len(versions))
        return resolved(dataset, versions)

    small = [(parquet, "ROW_GROUP", 3), (sorting, "ROW_GROUP", 3), (tables, "ROWS_AT_ONCE", 9)]
    for where, name, value in [*small, (normalise, "BYTES_AT_ONCE", 1), (close, "Sorter", Noted)]:
        monkeypatch.setattr(where, name, value)
    monkeypatch.setattr(tables, "resolved", noted)
    for name in ("vendors_3.csv", "vendors_4.csv"):
        world.put(name, {number * 7 % 23: f"{number} of {name}" for number in range(20)})
        world.sync()
        world.assert_law()
    assert opened[0] > 4, "a first load sorts its parts"
    assert 1 < max(opened[1:]) <= 9
    world.sync(full_refresh=True)
    world.assert_law()


def test_half_written_files_are_left_alone_until_they_are_whole(world: DropWorld) -> None:
    world.datasets["vendors"] = {**DATASETS["vendors"], "marker": "{stem}.ok"}
    world.put("vendors_1.csv.part", {1: "no"})
    world.put(".vendors_4.csv", {1: "no"})
    world.put("vendors_5.csv.tmp", {1: "no"})
    world.put_in = world.put_in[:-3]
    whole = list(world.put_in)
    world.put_in = [each for each in whole if not each[1].startswith("vendors_")]
    world.sync()
    world.assert_law()
    for name in ("vendors_1.ok", "vendors_2.ok"):
        world.write(name, b"")
    world.put_in = whole
    world.sync()
    world.assert_law()
    world.put("vendors_1.csv", {1: "written anew, its marker is older"})
    done = world.put_in.pop()
    world.sync()
    world.assert_law()
    world.write("vendors_1.ok", b"")
    world.put_in.append(done)
    world.sync()
    world.assert_law()


def test_a_file_that_just_changed_settles_first(world: DropWorld) -> None:
    world.sync()
    world.now += 55
    world.put("vendors_7.csv", {7: "just now"})
    world.now -= 51
    young = world.put_in.pop()
    world.sync()
    world.assert_law()
    world.put_in.append(young)
    world.sync()
    world.assert_law()


def test_one_bad_file_stops_no_other_and_is_told_until_it_is_mended(world: DropWorld) -> None:
    world.sync()
    world.put("vendors_3.csv", {50: "good"})
    world.write("vendors_4.csv", b"Nr,Navn\n1,x\n")
    world.put("vendors_5.csv", {51: "good too"})
    for _ in range(2):
        report = world.sync()
        assert outcomes(report)["changes"] == "failed"
        assert "vendors_4.csv line 1 has no column 'Id' and 'Name'" in str(report.outcomes[0].reason)
        world.assert_law()
    world.put("vendors_4.csv", {52: "mended"})
    assert outcomes(world.sync())["changes"] == "succeeded"
    world.assert_law()


def test_a_scope_that_nobody_declared_is_told(world: DropWorld) -> None:
    world.sync()
    world.write("prices/b/prices_dk01.csv", b"Id,Name\n1,x\n")
    report = world.sync()
    reasons = {each.feed: str(each.reason) for each in report.outcomes if each.status == "failed"}
    assert set(reasons) == {"prices.no01", "prices.se01"}
    assert "'dk01', which is none of the scopes of prices: add it there" in reasons["prices.se01"]


def test_a_file_that_goes_while_it_is_read_is_told(world: DropWorld) -> None:
    world.sync()
    world.put("vendors_8.csv", dict.fromkeys(range(100, 110), "x" * 30))
    world.sync(limit=2)
    (world.drop / "vendors_8.csv").unlink()
    assert outcomes(world.sync())["changes"] == "partly_succeeded"
    assert [row["cause"] for row in world.rejected()] == ["file_vanished"]
    assert outcomes(world.sync())["changes"] == "succeeded"


def _news(world: DropWorld, trap: Trap) -> None:
    """New, changed and newer files, of several pages each, and two rows that cannot be read."""
    _files(world)
    world.sync(trap)


def _full_refresh(world: DropWorld, trap: Trap) -> None:
    _files(world)
    world.sync(trap, full_refresh=True)


def _replaced(world: DropWorld, trap: Trap) -> None:
    """What was being read is another file when the next run comes."""
    _news(world, trap)
    world.put("vendors_3.csv", {number: f"best of all {number}" for number in range(10, 20)})
    world.put("rates_3.csv", {number: f"last rate {number}" for number in range(4, 9)})


def _files(world: DropWorld) -> None:
    now = int(world.now)
    world.put("vendors_3.csv", {number: f"best {number} at {now}" for number in range(10, 18)}, 'x,"no number"', "21")
    world.put("vendors_1.csv", dict.fromkeys(range(now % 3, 4), f"again {now}"))
    world.put("rates_2.csv", {number: f"rate {number} at {now}" for number in range(now % 5, 9)})


ACTS: dict[str, Act] = {"first load": _news, "news": _news, "full refresh": _full_refresh, "replaced": _replaced}
POINTS: dict[str, list[tuple[Point, int]]] = {
    "first load": [(P.WALK_BEGUN, 1), (P.PAYLOAD_ROW, 4), (P.STAGED_ROW, 1), (P.CLOSE_DONE, 1)],
    "news": [(P.RUN_CLAIMED, 1), (P.PAYLOAD_FILE, 2), (P.PAYLOAD_ROW, 1), (P.PAYLOAD_ROW, 3), (P.PAYLOAD_ROW, 6),
             (P.HEAD_REACHED, 1), (P.REJECTED_FILE, 1), (P.REJECTED_ROWS, 1), (P.CHANGES_FILE, 1),
             (P.CHANGES_COMMIT, 1), (P.TABLE_FILE, 1), (P.TABLE_COMMIT, 1), (P.CLOSE_MOVED, 1), (P.CLOSE_DONE, 1)],
    "full refresh": [(P.PAYLOAD_ROW, 9), (P.STAGED_ROW, 1), (P.CHANGES_COMMIT, 2)],
    "replaced": [(P.PAYLOAD_ROW, 2), (P.PAYLOAD_ROW, 5)],
}  # fmt: skip


@pytest.mark.parametrize("act", ACTS)
def test_every_point_is_crashed(act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die just before or just after each point; called again, nothing is lost or doubled."""
    monkeypatch.setattr(reading, "BLOCK", 90)
    world: DropWorld | None = None
    for number, (point, nth) in enumerate(POINTS[act]):
        if world is None or act == "first load":
            (tmp_path / str(number)).mkdir()
            world = DropWorld(tmp_path / str(number), {name: DATASETS[name] for name in ("vendors", "rates")})
            if act != "first load":
                _files(world)
                world.sync()
        trap = Trap(point, nth, list(Side)[number % 2])
        ACTS[act](world, trap)
        assert trap.fired, (point, nth)
        world.sync()
        world.assert_law()


KILLED = """\
import os, signal, sys
from pathlib import Path
from postroad.app import App
from postroad.connectors.files import reading
from postroad.project import load_project
from postroad.telemetry import Point

reading.BLOCK = 4096
left = [int(sys.argv[2])]

def watcher(point):
    left[0] -= point is Point.PAYLOAD_ROW
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

with App(load_project(Path(sys.argv[1])), watcher=watcher) as app:
    print(app.runs.start().exit_code)
"""
YAML = """\
project: drops
connections:
  drop:
    connector: files
    folder: ./drop
    settle: 0s
    datasets:
      things: {files: "*.csv", key: [Id], columns: {Id: int, Name: text}}
"""


def test_a_process_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """By kill -9, in the midst of a file."""
    (tmp_path / "postroad.yaml").write_text(YAML)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "drop.yaml").write_text("sync:\n  - {from: drop, entities: [things]}\n")
    (tmp_path / "drop").mkdir()

    def run(points: int) -> tuple[int, str]:
        words = [sys.executable, "-c", KILLED, str(tmp_path), str(points)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr

    body = "".join(f"{number},name of {number}\n" for number in range(2_000))
    (tmp_path / "drop" / "a.csv").write_text("Id,Name\n" + body)
    assert run(5)[0] == -signal.SIGKILL
    assert run(-1) == (0, "0\n")
    rows = read_table(tmp_path / "lake" / "tables" / "drop" / "things").rows()
    assert sorted((row["Id"], row["Name"]) for row in rows) == [(each, f"name of {each}") for each in range(2_000)]
    landed = [path for path in (tmp_path / "lake" / "landing").rglob("*") if path.is_file()]
    assert len(landed) <= len(body) // 4096 + 3, "pages that landed are not landed again"
