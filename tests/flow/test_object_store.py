"""The whole way with the lake in a container of Azurite, its store misbehaving included."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.lake import objects
from postroad.telemetry import Point
from tests import azurite, oracle
from tests.azurite import Container
from tests.flow.harness import Side, Trap, World, outcomes
from tests.flow.law import assert_law, settle
from tests.flow.shown import entity_shown
from tests.flow.test_readers import plain, simple
from tests.shell import Shell
from tests.store_proxy import Call, Fault, StoreProxy

PROJECT = """\
project: hours
lake: {{url: {url}/lake, account: {account}, {credentials}, endpoint: '{endpoint}'}}
connections:
  xledger: {{connector: xledger, url: $XLEDGER_URL, token: secret://XLEDGER_TOKEN, page_size: 50}}
"""
OTHER = "lake: {url}\ndatabase: sqlite:///other.db\n"
FLOW = "sync:\n  - {from: xledger, entities: [timesheets]}\n"
BEFORE, AFTER = Side
P = Point


@pytest.fixture
def company() -> Iterator[XledgerSimulator]:
    """A small company without call limits."""
    with XledgerSimulator(seed=3, timesheets=400, burst=None, concurrency=None) as simulator:
        yield simulator


@pytest.fixture
def shell(
    tmp_path: Path, container: Container, company: XledgerSimulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    """A project whose lake is in the container, and a shell in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XLEDGER_URL", company.url)
    monkeypatch.setenv("XLEDGER_TOKEN", company.token)
    monkeypatch.setenv("STORAGE_KEY", azurite.KEY)
    write_project(tmp_path, container)
    handler = signal.getsignal(signal.SIGTERM)
    yield Shell(tmp_path, monkeypatch)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def proxy(container: Container) -> Iterator[StoreProxy]:
    """What the world goes through to the container."""
    with StoreProxy(container.endpoint) as proxy:
        yield proxy


@pytest.fixture
def world(tmp_path: Path, container: Container) -> Iterator[World]:
    """A company of 60 timesheets whose lake is in the container."""
    with World(tmp_path, container=container) as world:
        yield world


@pytest.fixture
def watched(tmp_path: Path, container: Container, proxy: StoreProxy) -> Iterator[World]:
    """The same through the proxy."""
    with World(tmp_path, container=replace(container, endpoint=proxy.endpoint)) as world:
        yield world


def write_project(folder: Path, container: Container, credentials: str = "key: secret://STORAGE_KEY") -> None:
    """A project's files."""
    names = {"url": container.url, "account": azurite.ACCOUNT, "endpoint": container.endpoint}
    (folder / "postroad.yaml").write_text(PROJECT.format(credentials=credentials, **names))
    (folder / "flows").mkdir(exist_ok=True)
    (folder / "flows" / "hours.yaml").write_text(FLOW)


def test_two_environments_on_the_command_line(shell: Shell, company: XledgerSimulator, container: Container) -> None:
    """Each command says what is true, each environment has its container, and nothing shows the account's key."""
    with azurite.container(container.endpoint) as other:
        (shell.folder / "environments").mkdir()
        (shell.folder / "environments" / "other.yaml").write_text(OTHER.format(url=other.url))
        said = [shell("check", "--connect"), shell("run", "--verbose")]
        assert other.blobs() == {}
        company.mutate(5)
        company.delete(2)
        company.add(3)
        second = shell.json("run")["datasets"]["xledger.timesheets"]
        assert (second["changed"], second["deleted"]) == (5, 2)
        oracle.assert_law(mirrored(container, shell.folder), [entity_shown(company, "timesheets")])
        said += [shell("replay", "xledger.timesheets"), shell("status"), shell("check")]
        before = container.blobs()
        said.append(shell("run", "--env", "other"))
        assert container.blobs() == before
        rows = len(company.rows(owner_set="MINE"))
        asked = "select _op, count(distinct dbId) as n from xledger.timesheets_changes group by 1 order by 1"
        assert shell.json("query", asked)[0] == {"_op": "delete", "n": 2}
        assert shell.json("query", asked, "--env", "other") == [{"_op": "upsert", "n": rows}]
        assert shell.json("query", "select count(*) as n from xledger.timesheets") == [{"n": rows}]
    hunt(azurite.KEY, shell, container, said)


def test_check_finds_litter_and_what_is_gone(world: World, container: Container) -> None:
    """What the container holds beside what is listed, and the other way round."""
    world.sync()
    assert world.ask(lambda app: (app.datasets.litter(), app.datasets.missing())) == ([], [])
    container.write("lake/landing/xledger/timesheets/dead/1.zst", b"left behind")
    gone = next(name for name in container.blobs() if "/full_sync-" in name)
    container.delete(gone)
    litter, missing = world.ask(lambda app: (app.datasets.litter(), app.datasets.missing()))
    assert litter == ["landing/xledger/timesheets/dead/1.zst"]
    assert set(missing) == {gone.removeprefix("lake/")}


def test_audit_facts_lie_there_too(shell: Shell, company: XledgerSimulator) -> None:
    """Written, read and listed, when tracking has forgotten a message."""
    settings, flow = shell.folder / "postroad.yaml", shell.folder / "flows" / "hours.yaml"
    settings.write_text(settings.read_text() + '  appdb: {connector: sql, url: "sqlite:///app.db"}\n')
    flow.write_text(flow.read_text() + "deliver:\n  - {dataset: xledger.timesheets, to: appdb.hours}\n")
    shell("run")
    key = str(min(company.rows()))
    (before,) = shell.json("trace", "xledger.timesheets", key)["versions"][0]["deliveries"]
    with closing(sqlite3.connect(shell.folder / "postroad.db")) as database, database:
        database.execute("update messages set settled_at = settled_at - 40 * 86400000000")
    shell("run")
    with closing(sqlite3.connect(shell.folder / "postroad.db")) as database:
        ((path,),) = database.execute("select path from exports").fetchall()
    (after,) = shell.json("trace", "xledger.timesheets", key)["versions"][0]["deliveries"]
    assert {**after, "at": None} == {**before, "at": None}
    assert path.startswith("audit/messages/")
    assert "listed files all there ok litter none" in " ".join(shell("check").split())


def test_a_wrong_key_is_refused_and_shown_nowhere(shell: Shell, container: Container) -> None:
    """The sentence says where to look; so do those for what is no key at all and for an absent container."""
    for planted in ("cGxhbnRlZCBwbGFudGVkIHBsYW50ZWQ=", "planted planted planted"):
        shell._monkeypatch.setenv("STORAGE_KEY", planted)
        said = [shell("run", "--verbose", code=2), shell("check", code=2), shell("status", code=2), shell("runs")]
        assert "a key may have been changed" in said[0]
        assert "refuses us" in said[1]
        hunt(planted, shell, container, said)
    shell._monkeypatch.setenv("STORAGE_KEY", azurite.KEY)
    write_project(shell.folder, replace(container, name="absent"))
    assert "there is no such container" in shell("run", code=2)


def test_rights_on_one_container_are_enough(shell: Shell, company: XledgerSimulator, container: Container) -> None:
    """A SAS token that may read, create, write, delete and list in this container; without writing it is refused."""
    for rights, code in (("rl", 2), ("rcwdl", 0)):
        token = azurite.signed(container.name, rights, 1)
        shell._monkeypatch.setenv("STORAGE_SAS", token)
        write_project(shell.folder, container, "sas: secret://STORAGE_SAS")
        said = [shell("check", code=code), shell("run", "--verbose", code=code)]
        hunt(token.rpartition("sig=")[2], shell, container, said)
    oracle.assert_law(mirrored(container, shell.folder), [entity_shown(company, "timesheets")])


def test_a_killed_process_is_gone_on_with(shell: Shell, company: XledgerSimulator, container: Container) -> None:
    """kill -9 in the middle of a first load: the next run fetches the rest, and no page twice."""
    company.switch(latency_ms=100)
    process = subprocess.Popen([sys.executable, "-m", "postroad", "run"], cwd=shell.folder, stderr=subprocess.DEVNULL)
    while not any("/00000003-" in name for name in container.blobs()):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert shell.json("status")["datasets"][0]["open_walk_pages"] >= 2
    company.switch(latency_ms=0)
    shell("run")
    asked = [request["variables"].get("after") for request in company.requests if "timesheets" in request["roots"]]
    pages = [after for after in asked if after is not None]
    assert len(pages) <= len(set(pages)) + 1
    oracle.assert_law(mirrored(container, shell.folder), [entity_shown(company, "timesheets")], dead=[process.pid])


ACTS: dict[str, list[tuple[Point, Side]]] = {
    "first load": [
        (P.PAYLOAD_FILE, AFTER),
        (P.CLOSE_MOVED, BEFORE),
        (P.CHANGES_COMMIT, AFTER),
        (P.TABLE_COMMIT, BEFORE),
    ],
    "changes": [(P.PAYLOAD_FILE, BEFORE), (P.CHANGES_FILE, AFTER), (P.CHANGES_COMMIT, BEFORE), (P.TABLE_COMMIT, AFTER)],
    "full refresh": [(P.STAGED_FILE, BEFORE), (P.CLOSE_MOVED, AFTER), (P.CHANGES_COMMIT, AFTER)],
}


@pytest.mark.parametrize("act", ACTS)
def test_the_law_after_crashes(world: World, act: str) -> None:
    """One run after the other dies at the next point; the last one puts everything right."""
    if act != "first load":
        world.sync()
    for point, side in ACTS[act]:
        world.sim.mutate(4)
        world.sim.delete(1)
        (new, *_) = world.sim.add(2)
        world.sim.update(new, workingHours="much")
        trap = Trap(point, 1, side)
        world.sync(trap, full_refresh=act == "full refresh")
        assert trap.fired, point
    settle(world)
    assert_law(world)


def test_entities_and_links_beside_each_other(tmp_path: Path, container: Container) -> None:
    """Several feeds at a time, two links into one dataset among them, write to one container."""
    tables = {"employee_groups": [], "part_time_employees": ["north", "south"]}
    with World(tmp_path, container=container, entities=("timesheets", "projects"), tables=tables) as world:
        world.sync(parallel=3)
        world.sim.mutate(5)
        world.sync(parallel=3)
        assert_law(world)


def test_what_must_be_new_is_created_on_condition(watched: World, proxy: StoreProxy) -> None:
    """Payloads, refused rows and commits: the store itself refuses a name that is taken."""
    watched.sim.update(min(watched.sim.rows()), workingHours="many")
    watched.sync()
    watched.sim.mutate(3)
    watched.sync()
    written = [call for call in proxy.calls if call.method == "PUT"]
    guarded = [call for call in written if not call.name.endswith(".parquet")]
    assert {call.name.split("/")[1] for call in guarded} == {"landing", "rejected", "changes", "tables"}
    assert all(call.only_new for call in guarded)
    names = [call.name for call in written if "comp=block" not in call.query]
    assert len(names) == len(set(names)), "nothing is written twice"


LOST: dict[str, Callable[[Call], bool]] = {
    "payload": lambda call: call.method == "PUT" and "/landing/" in call.name,
    "copy": lambda call: call.method == "PUT" and call.name.endswith(".parquet") and call.length == 0,
    "file": lambda call: call.method == "PUT" and call.name.endswith(".parquet") and call.length > 0,
    "first commit": lambda call: call.method == "PUT" and call.name.endswith("/00000000000000000000.json"),
    "commit": lambda call: call.method == "PUT" and call.name.endswith("/00000000000000000001.json"),
}


def test_a_call_that_is_put_off_and_whose_answer_is_lost(watched: World, proxy: StoreProxy) -> None:
    """It is made again and finds its own work done: the run sees nothing of it."""
    for fault in (Fault.BUSY, Fault.LOSE_ANSWER):
        for which in LOST.values():
            proxy.order(fault, which)
    for _ in range(2):
        report = watched.sync()
        assert {status for _, status in outcomes(report)} == {"succeeded"}, report
        watched.sim.mutate(3)
    assert len(proxy.struck) == 2 * len(LOST)
    settle(watched)
    assert_law(watched)


def test_a_store_that_is_gone_fails_the_run_and_loses_nothing(
    watched: World, proxy: StoreProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason says what to do, and when the store is back the same command goes on."""
    monkeypatch.setattr(objects, "PATIENCE", 0.2)
    for which in ("payload", "commit"):
        proxy.order(Fault.DROP, LOST[which], 1000)
        watched.sim.mutate(2)
        report = watched.sync()
        watched.kills += 1  # what could not be landed is fetched again, as after a kill
        failed = [outcome for outcome in (report.outcomes if report else []) if outcome.status == "failed"]
        assert failed, which
        assert all("the same command goes on from here" in str(outcome.reason) for outcome in failed)
        proxy.lift()
    settle(watched)
    assert_law(watched)


def test_nothing_large_is_held_in_memory(container: Container, proxy: StoreProxy) -> None:
    """A file goes up in blocks and comes down in ranges."""
    disk = objects.ObjectStore(f"{container.url}/lake", replace(container, endpoint=proxy.endpoint).options)
    file = disk.create("tables/a/b/1.parquet")
    for _ in range(40):
        file.write(bytes(1_000_000))
    disk.seal("tables/a/b/1.parquet", file, P.TABLE_FILE)
    sent = [call.length for call in proxy.calls if "comp=block&" in call.query + "&"]
    assert len(sent) >= 9
    assert max(sent) <= objects.BLOCK
    proxy.calls.clear()
    with disk.open("tables/a/b/1.parquet") as source:
        assert sum(len(source.read(100_000)) for _ in range(400)) == 40_000_000
    asked = [call.range for call in proxy.calls if call.method == "GET"]
    assert None not in asked
    lengths = [int(end) - int(start) + 1 for start, end in (str(each)[6:].split("-") for each in asked)]
    assert max(lengths) <= objects.WINDOW


def test_polars_reads_the_tables_from_the_store(world: World, container: Container) -> None:
    """A reader of others, from where they lie."""
    world.sync()
    world.sim.mutate(5)
    world.sim.delete(3)
    world.sync()
    read = pl.read_delta(f"{container.url}/lake/tables/xledger/timesheets", storage_options=container.options())
    (shown,) = world.datasets
    assert plain(read.to_arrow()) == {key: simple(row) for (key,), row in shown.readable().items()}


def test_a_lake_is_moved_there(tmp_path: Path, container: Container) -> None:
    """Its files are copied as they are, and the next run goes on from their positions: no full refresh."""
    with World(tmp_path) as world:
        world.sync()
        for path in sorted(path for path in world.lake.rglob("*") if path.is_file()):
            container.write(path.relative_to(tmp_path).as_posix(), path.read_bytes())
        world.container = container
        world.configure()
        world.sim.mutate(4)
        assert outcomes(world.sync()) == [("changes", "succeeded")]
        settle(world)
        assert_law(world)


def mirrored(container: Container, folder: Path) -> Path:
    """The folder with a copy of the container's blobs in it."""
    container.mirror(folder)
    return folder


def hunt(secret: str, shell: Shell, container: Container, said: list[str]) -> None:
    """Nothing that anybody sees or that is kept holds the secret."""
    assert not [each for each in said if secret in each]
    kept = [path for path in shell.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if secret.encode() in path.read_bytes()]
    assert not [name for name in container.blobs() if secret in name or secret.encode() in container.read(name)]
