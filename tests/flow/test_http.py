"""From files to an in-house API: what a person types, faults on the way, a worker that is killed."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from postroad.app import App
from postroad.connectors.http.simulator import ApiSimulator
from postroad.project import load_project
from tests.flow.post import memory_folder
from tests.flow.test_delivery_commands import worker
from tests.shell import Shell

SHOP = "shop.items"


@pytest.fixture
def api() -> Iterator[ApiSimulator]:
    """An API that knows its records by `id`."""
    with ApiSimulator(["id"]) as api:
        yield api


@pytest.fixture
def shell(api: ApiSimulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """The shipped example, and a shell in it."""
    with memory_folder() as folder:
        monkeypatch.setenv("SHOP_URL", api.base_url)
        typed = Shell(folder, monkeypatch)
        typed("init", ".", "--example", "http")
        yield typed


def drop(folder: Path, number: int, rows: dict[str, str]) -> None:
    """A further file with these names of items."""
    lines = [f'{item},"{name}",1.50,2026-03-01' for item, name in rows.items()]
    (folder / "stock" / f"items_{number}.csv").write_text("\n".join(["id,name,price,since", *lines, ""]))


def assert_equal(folder: Path, api: ApiSimulator) -> None:
    """The receiver holds what the table holds."""
    with App.open(folder) as app:
        wanted = app.datasets.query("select id, name, price, since from stock.items").to_pylist()
    texts = {row["id"]: (row["name"], f"{row['price']:.9f}", str(row["since"])) for row in wanted}
    assert {row["id"]: (row["name"], row["price"], row["since"]) for row in api.rows("items")} == texts
    assert texts


def test_what_a_person_types(shell: Shell, api: ApiSimulator) -> None:
    """As the example's page says: check, run, a refusal, its retry."""
    assert "ask /targets" in shell("check", "--connect")
    assert shell.json("run")["deliveries"][SHOP]["records"] == 3
    assert_equal(shell.folder, api)
    api.refuse(["A-1002"], "no such shelf")
    drop(shell.folder, 2, {"A-1002": "Envelopes, C4", "A-1004": "String"})
    assert shell.json("run", code=3)["deliveries"][SHOP]["rejected"] == 1
    assert "no such shelf" in shell("rejected", "list", "--stage", "deliver")
    api.mend()
    shell("rejected", "retry", SHOP, "--stage", "deliver")
    assert_equal(shell.folder, api)
    assert shell.json("status")["deliveries"][0]["lag"] == 0


@pytest.mark.parametrize("versions", ["compared", "ignored"])
def test_whatever_goes_wrong_on_the_way_every_row_arrives(shell: Shell, api: ApiSimulator, versions: str) -> None:
    """Faults again and again, between changes; also where the receiver keeps what came last."""
    api.store.compares = versions == "compared"
    settings = shell.folder / "postroad.yaml"
    settings.write_text(settings.read_text().replace("versions: compared", f"versions: {versions}"))
    draw = random.Random(7)
    kinds = ["refuse", "drop_before", "status", "drop_after", "cut", "malformed", "deep", "empty", "half", "swapped"]
    for number in range(2, 8):
        drop(shell.folder, number, {f"A-{draw.randrange(1000, 1040)}": f"{number} {each}" for each in range(25)})
        for kind in draw.sample(kinds, 5):
            api.fault(kind, status=draw.choice([500, 502, 409, 503]))
        with _hasty(shell.folder) as app:
            app.runs.start()
            _go_on(app)
    assert_equal(shell.folder, api)
    assert {each["answered"] for each in api.log()} == {True, False}
    assert max(each["status"] for each in api.log()) >= 500


def _hasty(folder: Path) -> App:
    """An App whose sleeps take no time."""
    return App(load_project(folder), sleep=lambda _: None)


def _go_on(app: App) -> None:
    """Try what waits at once, until nothing does."""
    for _ in range(12):
        app.deliveries.resume(SHOP)
        with closing(sqlite3.connect(app.project.folder / "postroad.db")) as database, database:
            database.execute("update messages set due_at = 0 where status = 'queued'")
        app.deliveries.deliver()
        if not app.tracking.messages.counts():
            return


def test_a_worker_that_is_killed_loses_nothing_and_repeats_nothing(shell: Shell, api: ApiSimulator) -> None:
    """By kill -9 while answers are slow: what was taken is recognised by its key, and nothing is applied twice."""
    drop(shell.folder, 2, {f"B-{number}": f"item {number}" for number in range(4000)})
    settings = shell.folder / "postroad.yaml"
    settings.write_text(settings.read_text().replace("    versions:", "    most_records: 100\n    versions:"))
    shell("run", "--no-deliver")
    api.fault("slow", count=None, seconds=0.01)
    with worker(shell.folder) as victim:
        _wait_for(api, 15)
        victim.kill()
    api.clear_faults()
    with _hasty(shell.folder) as app:
        app.deliveries.deliver()
    assert_equal(shell.folder, api)
    assert any(each.get("repeated") for each in api.log())
    assert {each.times for each in api.store.targets["items"].values()} == {1}


def _wait_for(api: ApiSimulator, posts: int) -> None:
    while sum(each["method"] == "POST" for each in api.log()) < posts:
        api.stopping.wait(0.002)


def test_workers_take_turns_where_the_receiver_compares_nothing(shell: Shell, api: ApiSimulator) -> None:
    """Two real ones, one of them killed: no batch comes after a newer one, and the end is right."""
    api.store.compares = False
    api.switch(keeps_answers=False)
    settings = shell.folder / "postroad.yaml"
    text = settings.read_text().replace("versions: compared", "most_records: 20\n    versions: ignored")
    settings.write_text(text)
    for number in range(2, 6):
        drop(shell.folder, number, {f"B-{each}": f"{number} {each}" for each in range(number % 3, 200, 2)})
        shell("run", "--no-deliver")
        with App.open(shell.folder) as app:
            app.deliveries.dispatch()
    api.fault("slow", count=None, seconds=0.01)
    with worker(shell.folder) as victim, worker(shell.folder) as other:
        _wait_for(api, 8)
        victim.kill()
        _wait_for(api, 14)
        other.kill()
    api.clear_faults()
    with _hasty(shell.folder) as app:
        _go_on(app)
    assert_equal(shell.folder, api)
    versions = [version for each in api.log() if each["method"] == "POST" for version in each["versions"]]
    assert versions == sorted(versions)
    assert len({*versions}) >= 4
