"""No effect without a durable point, the order of fsyncs as the kernel saw it, and a token that appears nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.transaction import create_table_with_add_actions
from sqlalchemy import Engine, event

from postroad.app import App
from postroad.cli import main
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.lake import delta
from postroad.telemetry import Point
from tests.flow.harness import NAME, World
from tests.flow.lake_reader import read_table
from tests.flow.law import assert_law, settle
from tests.flow.test_alerts import POINTS as IN_MAILS
from tests.flow.test_brokered import POINTS as IN_BROKERS
from tests.flow.test_deliveries import IN_DELIVERIES
from tests.flow.test_receipts import IN_RECEIPTS


@dataclass
class Effects:
    """What became durable and which points were passed, in order, by thread."""

    seen: dict[int, list[str]] = field(default_factory=dict)

    def note(self, what: str) -> None:
        """One effect or point of this thread."""
        self.seen.setdefault(threading.get_ident(), []).append(what)

    def unpassed(self) -> list[tuple[str, str]]:
        """Effects that were followed by one of another kind, by a second transaction or by nothing, before a point."""
        found = []
        for events in self.seen.values():
            for this, following in zip(events, [*events[1:], "the end"], strict=True):
                if this == "point" or following == "point":
                    continue
                # Files are flushed in groups, and a Delta commit is one once its log is flushed.
                if following != "fsync" or this == "transaction":
                    found.append((this, following))
        return found


@pytest.fixture
def effects(monkeypatch: pytest.MonkeyPatch) -> Iterator[Effects]:
    """Notes every fsync of ours, every transaction that commits, every Delta commit."""
    noted = Effects()
    fsync, write, create = os.fsync, DeltaTable.create_write_transaction, create_table_with_add_actions

    def noted_fsync(handle: int) -> None:
        fsync(handle)
        noted.note("fsync")

    def noted_write(*arguments: Any, **named: Any) -> None:
        write(*arguments, **named)
        noted.note("delta")

    def noted_create(*arguments: Any, **named: Any) -> None:
        create(*arguments, **named)
        noted.note("delta")

    def noted_commit(_connection: Any) -> None:
        noted.note("transaction")

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(DeltaTable, "create_write_transaction", noted_write)
    monkeypatch.setattr(delta, "create_table_with_add_actions", noted_create)
    event.listen(Engine, "commit", noted_commit)
    yield noted
    event.remove(Engine, "commit", noted_commit)


def test_no_effect_without_a_point(world: World, effects: Effects, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a first load to a replay: whatever becomes durable passes a point before the next thing does."""
    monkeypatch.setattr(delta, "TIDY_EVERY", 2)
    world.sim.update(min(world.sim.rows()), delta=False, workingHours="much")

    def watched(work: Any) -> None:
        app = App(
            world.project,
            clock=lambda: world.now,
            sleep=world.sleep,
            watcher=lambda point: effects.note("point"),
        )
        effects.seen.clear()  # the migrations of a new database are no stage
        with app:
            work(app)
        assert effects.unpassed() == []
        kinds = {kind for events in effects.seen.values() for kind in events}
        assert "transaction" in kinds

    watched(lambda app: app.runs.start())
    assert {"fsync", "delta"} <= {kind for events in effects.seen.values() for kind in events}
    for _ in range(3):
        world.sim.mutate(3)
        world.sim.delete(1)
        watched(lambda app: app.runs.start())
        watched(lambda app: app.runs.start(full_refresh=True))
    watched(lambda app: app.runs.replay(NAME))
    watched(lambda app: app.datasets.reset_state(NAME))
    world.wait(hours=80)
    watched(lambda app: app.runs.start())


QUOTED = re.compile(r'"([^"]*)"|<(/[^>]*)>')


@dataclass(frozen=True)
class Call:
    """One system call: its name, the paths in its arguments, and what it said whole (bytes as `strace` shows them)."""

    name: str
    paths: tuple[str, ...]
    text: str


def _calls(trace: Path) -> list[Call]:
    """The finished calls in the order in which they returned."""
    begun: dict[str, str] = {}
    calls = []
    for line in trace.read_text(errors="replace").splitlines():
        process, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[process] = rest.removesuffix("<unfinished ...>")
            continue
        if rest.startswith("<... "):
            rest = begun.pop(process, "") + rest.partition(" resumed>")[2]
        name = rest.partition("(")[0]
        if " = -1 " not in rest and name.isidentifier():
            calls.append(Call(name, tuple(one or other for one, other in QUOTED.findall(rest)), rest))
    return calls


def _synced(calls: list[Call], path: Path, after: int = 0, before: int | None = None) -> bool:
    return any(call.name in ("fsync", "fdatasync") and str(path) in call.paths for call in calls[after:before])


def test_fsync_order(tmp_path: Path, strace: str) -> None:
    """The kernel sees it: a payload is flushed before its row, data before the log entry, the entry after it."""
    trace = tmp_path / "trace"
    with XledgerSimulator(seed=2, timesheets=300) as company:
        environment = {**os.environ, "XLEDGER_URL": company.url, "XLEDGER_TOKEN": company.token}
        here = [sys.executable, "-m", "postroad"]
        subprocess.run([*here, "init", str(tmp_path / "p"), "--example", "xledger"], check=True, env=environment,
                       capture_output=True)  # fmt: skip
        watched = "trace=fsync,fdatasync,rename,renameat,renameat2,openat,link,linkat,pwrite64"
        subprocess.run(
            [strace, "-f", "-y", "-s", "5000", "-e", watched, "-o", str(trace),
             *here, "run", "-p", str(tmp_path / "p")],
            check=True, env=environment, capture_output=True,
        )  # fmt: skip
    calls = _calls(trace)
    lake = tmp_path / "p" / "lake"
    payloads = sorted(lake.glob("landing/**/*.zst"))
    assert payloads
    for payload in payloads:
        _assert_payload_before_row(calls, lake, payload, tmp_path / "p" / "postroad.db-wal")
    for zone in ("changes", "tables"):
        folder = lake / zone / "xledger" / "timesheets"
        table = read_table(folder)
        assert table.members
        for entry in sorted((folder / "_delta_log").glob("*.json")):
            _assert_data_before_entry(calls, folder, table.members, entry)


def _assert_payload_before_row(calls: list[Call], lake: Path, payload: Path, log: Path) -> None:
    """Written, flushed, its folder flushed; only then does SQLite write the row that names it, and flush it."""
    flushed = [place for place, call in enumerate(calls) if call.name == "fsync" and str(payload) in call.paths]
    assert len(flushed) == 1
    named = next(place for place in range(flushed[0], len(calls)) if _synced([calls[place]], payload.parent))
    name = str(payload.relative_to(lake))
    writes = [place for place, call in enumerate(calls) if call.name == "pwrite64" and str(log) in call.text]
    row = next(place for place in writes if name in calls[place].text)
    assert flushed[0] < named < row
    assert _synced(calls, log, row)


def _assert_data_before_entry(calls: list[Call], folder: Path, members: list[str], entry: Path) -> None:
    """Every member is flushed before the entry appears under its name; the entry and its folder after that."""
    naming = {"rename", "renameat", "renameat2", "link", "linkat"}
    named = [place for place, call in enumerate(calls) if call.name in naming and str(entry) in call.paths]
    assert len(named) == 1, "the entry did not appear under its name in one move"
    appears = named[0]
    text = entry.read_text()
    for name in members:
        if name in text:
            # A first load's files are flushed where they are staged, those of its table too, and then moved.
            moved = entry.parents[4] / "changes" / folder.parent.name / folder.name / "_staged" / name
            assert _synced(calls, folder / name, 0, appears) or _synced(calls, moved, 0, appears), name
            assert _synced(calls, folder, 0, appears), f"the name of {name} was not flushed"
    assert _synced(calls, entry, appears)
    assert _synced(calls, entry.parent, appears)


TOKEN = "c2VjcmV0LXBsYW50ZWQtdG9rZW4tbmV2ZXItdG8tYmUtc2Vlbg"


def test_the_token_appears_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted, echoed by the server in errors, hunted in every file, every output and every `repr`."""
    said = ""
    with World(tmp_path, settings={"page_size": 20}, token=TOKEN, burst=None) as world:
        world.sim.mutate(2)
        world.sim.fault("token_echo", count=1)
        said += str(world.sync())
        world.sim.update(min(world.sim.rows()), workingHours=f"token {TOKEN}")
        world.sim.fault("status", count=2, status=500, body=f"bad token {TOKEN}")
        world.sim.fault("error", count=1, skip=2, message=f"Authorization: token {TOKEN} is odd")
        said += str(world.sync())
        settle(world)
        said += str(world.rejected()) + str(world.ask(lambda app: app.runs.list())) + repr(world.said)
        rejection = next(each["id"] for each in world.rejected() if each["id"] is not None)
        said += str(world.ask(lambda app: app.rejections.show(rejection)))
        said += repr(world.project) + repr(world.project.settings("xledger")) + str(world.status())
        said += world.project.settings("xledger").model_dump_json()
        with world.open() as app, app.bench("xledger") as bench:
            said += repr(app) + repr(bench) + repr(bench.source) + repr(vars(bench.source))
        monkeypatch.setenv("XLEDGER_URL", world.sim.url)
        monkeypatch.setenv("XLEDGER_TOKEN", TOKEN)
        cli = tmp_path / "cli"
        for words in (["init", str(cli), "--example", "xledger"], ["run", "-p", str(cli), "--json"],
                      ["runs", "-p", str(cli), "--json"], ["status", "-p", str(cli), "--json"],
                      ["check", "-p", str(cli), "--connect", "--json"]):  # fmt: skip
            world.sim.fault("token_echo", count=1)
            monkeypatch.setattr(sys, "argv", ["postroad", *words])
            with pytest.raises(SystemExit):
                main()
    captured = capsys.readouterr()
    assert "***" in said
    assert TOKEN not in said + captured.out + captured.err
    assert _files_with(tmp_path, TOKEN.encode()) == []


def _files_with(folder: Path, secret: bytes) -> list[str]:
    """The files that hold a text, as they lie there or unpacked."""
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".zst":
            with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
                data = stream.read()
        if path.suffix == ".parquet":
            data += str(pa.parquet.read_table(path).to_pylist()).encode()
        if secret in data:
            found.append(str(path))
    return found


@pytest.mark.parametrize("length", [0, 50])
@pytest.mark.parametrize("syncs", [1, 2])
def test_a_torn_log_entry(world: World, syncs: int, length: int) -> None:
    """A power cut left less than an entry: readers show the version before, and what it said is done again."""
    for _ in range(syncs):
        world.sim.mutate(3)
        world.sync()
    for folder in (world.tables, world.changes):
        last = max((folder / "_delta_log").glob("*.json"))
        last.write_text(last.read_text()[:length])
    assert world.ask(lambda app: app.datasets.status())
    settle(world)
    assert_law(world)
    assert list((world.changes / "_delta_log").glob("*.torn-*"))


def test_the_points_of_a_whole_life(world: World) -> None:
    """A first load, changes, a refresh and its successor pass these points, each at least once.

    Mails and deliveries have points of their own, which other tests pass.
    """
    world.sync()
    world.sim.mutate(2)
    world.sync()
    world.sync(full_refresh=True)
    world.sync(full_refresh=True)
    rare = {Point.REJECTED_FILE, Point.REJECTED_ROWS, Point.CLOSE_PARKED, Point.REFRESH_DUE, Point.CHECKPOINT,
            Point.TORN_ASIDE, Point.WALK_CONFIRMED, Point.COLUMNS_NOTED, Point.COLUMNS_ADDED}  # fmt: skip
    assert set(world.points) == set(Point) - rare - IN_MAILS - IN_BROKERS - IN_DELIVERIES - IN_RECEIPTS
