"""The command line as a person uses it: a real project folder, data over a socket."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from postroad.cli import visiting
from postroad.connectors.mongodb.demo import DEMO as MONGODB_SERVER
from postroad.connectors.xledger.entities import EIGHT
from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.project import init_project
from tests.flow.earlier_app import COLUMNS, EarlierApp
from tests.inbox import inbox
from tests.shell import Shell

ROWS = 400


@pytest.fixture
def company() -> Iterator[XledgerSimulator]:
    """A small company without call limits."""
    with XledgerSimulator(seed=3, timesheets=ROWS, burst=None, concurrency=None) as simulator:
        yield simulator


@pytest.fixture
def shell(tmp_path: Path, company: XledgerSimulator, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A new example project with small pages and timesheets alone, and a shell in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XLEDGER_URL", company.url)
    monkeypatch.setenv("XLEDGER_TOKEN", company.token)
    typed = Shell(tmp_path, monkeypatch)
    typed("init", ".", "--example", "xledger")
    settings = tmp_path / "postroad.yaml"
    settings.write_text(settings.read_text() + "    page_size: 50\n")
    (tmp_path / "flows" / "hours.yaml").write_text("sync:\n  - {from: xledger, entities: [timesheets]}\n")
    return typed


def reached(company: XledgerSimulator) -> int:
    """How many timesheets the token's owner set reaches."""
    return len(company.rows(owner_set="MINE"))


def test_from_init_to_query(shell: Shell, company: XledgerSimulator) -> None:
    """Init, check, run, status, query, runs, state: each says what is true."""
    assert "FAILED" not in shell("check", "--connect")
    assert shell.json("status")["datasets"][0]["state"] == "full refresh due"
    assert shell.json("run", "--dry-run") == {"xledger.timesheets": "full refresh: first load"}
    first = shell.json("run")
    assert first["datasets"]["xledger.timesheets"]["new"] == reached(company)
    assert {run["status"] for run in first["runs"]} == {"succeeded"}
    company.mutate(5)
    company.delete(2)
    company.add(3)
    second = shell.json("run", "xledger.timesheets")["datasets"]["xledger.timesheets"]
    assert (second["changed"], second["deleted"]) == (5, 2)
    status = shell.json("status")["datasets"][0]
    assert (status["state"], status["rows"], status["rejected"]) == ("in step", reached(company), {})
    counted = shell.json("query", "select count(*) as n from xledger.timesheets")
    assert counted == [{"n": reached(company)}]
    assert "upsert" in shell("query", "select distinct _op from xledger.timesheets_changes", "--csv")
    assert {run["status"] for run in shell.json("runs")} == {"succeeded"}
    assert shell.json("state", "show")["xledger.changes"]["last_payload"] == 1
    assert shell.json("replay", "xledger.timesheets")["datasets"]["xledger.timesheets"]["changed"] == 0
    assert "litter" in shell("check")
    next((shell.folder / "lake" / "changes").rglob("sync_changes-*.parquet")).unlink()
    assert "1 are gone" in shell("check", code=2)


def test_alerts_go_to_the_people_of_an_environment(shell: Shell, company: XledgerSimulator) -> None:
    """`notify` in a file, a token that is wrong there, and a server that comes back: exit codes know nothing of it."""
    (shell.folder / "environments").mkdir()
    prod = shell.folder / "environments" / "prod.yaml"
    with inbox() as server:
        smtp = f"smtp: {{host: 127.0.0.1, port: {server.port}}}"
        prod.write_text(
            f"notify: {{to: mailto://it@acme.example, {smtp}}}\nconnections: {{xledger: {{token: wrong}}}}\n"
        )
        server.rcpt["it@acme.example"] = ["451 4.3.2 not now"]
        shell("run", "--env", "prod", code=1)
        assert "it@acme.example: 451 4.3.2 not now" in shell("status", "--env", "prod")
        assert shell.json("status")["alerts"] == []
        shell("run", "--env", "prod", code=1)
        (alert,) = server.texts
        assert "xledger.changes failed" in alert
        assert "(each with --env prod)" in alert
        assert shell.json("status", "--env", "prod")["alerts"] == []
        prod.write_text(f"notify: {{to: mailto://it@acme.example, {smtp}}}\n")
        assert "mail: connect" in shell("check", "--connect", "--env", "prod")
        shell("run", "--env", "prod")
        assert server.subjects[1:] == ["[postroad hours/prod] xledger.changes succeeds again"]


def test_a_run_waits_for_credits_and_goes_on(shell: Shell, company: XledgerSimulator) -> None:
    """Out of credits: exit code 3 and the time; `--wait` stays and finishes."""
    company.switch(credits=4, credits_seconds=600.0)
    waiting = shell.json("run", code=3)
    assert {run["status"] for run in waiting["runs"]} == {"waiting"}
    assert shell.json("runs")[0]["status"] == "waiting"
    calls = len(company.requests)
    assert "waits until" in shell("run", code=3)
    assert len(company.requests) == calls, "a run that waits asks nobody"
    status = shell.json("status")["datasets"][0]
    assert status["open_walk_pages"] is not None
    assert status["active"]
    for doing in status["active"].values():
        assert re.match(r"waiting since \d{4}-\S+ \S+ until \d{4}-\S+ \S+ UTC: ", doing)


def test_run_wait_stays_until_it_is_stopped(shell: Shell, company: XledgerSimulator) -> None:
    """`run --wait`, a process of its own, sleeps the pause out; SIGTERM ends it, and its run waits on."""
    company.switch(credits=4, credits_seconds=600.0)
    words = [sys.executable, "-m", "postroad", "run", "--wait"]
    process = subprocess.Popen(words, cwd=shell.folder, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any("waiting until" in line for line in process.stderr)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 143
    assert shell.json("runs")[0]["status"] == "waiting"


def test_a_limit_leaves_the_walk_open(shell: Shell, company: XledgerSimulator) -> None:
    """Nothing of an open first load shows; the next run goes on with it and asks no page twice."""
    shell("run", "--limit", "2")
    status = shell.json("status")["datasets"][0]
    assert (status["state"], status["rows"], status["open_walk_pages"]) == ("walk open", 0, 2)
    shell("run", "--full-refresh")
    assert shell.json("status")["datasets"][0]["rows"] == reached(company)
    asked = [request["variables"].get("after") for request in company.requests if "timesheets" in request["roots"]]
    pages = [after for after in asked if after is not None]
    assert len(pages) == len(set(pages))


def test_a_parked_close_asks_a_person(shell: Shell, company: XledgerSimulator) -> None:
    """Too many deletes park whole; retry lets them pass, after that nothing is parked."""
    shell("run")
    company.switch(expired_cursor="empty")
    company.delete(150)
    company.advance(days=4)
    assert "max_deletes" in shell("run", code=3)
    parked = shell.json("rejected", "list", "--stage", "guard")
    assert parked[0]["cause"] == "close_parked"
    assert "1 close or message waiting for you" in shell("rejected", "list")
    assert "is compared anew" in shell("rejected", "retry", "xledger.timesheets", "--stage", "guard", "--dry-run")
    assert shell.json("status")["datasets"][0]["rows"] > reached(company)
    shell("rejected", "retry", "xledger.timesheets", "--stage", "guard")
    assert "no parked close" in shell(
        "rejected", "retry", "xledger.timesheets", "--stage", "guard", "--dry-run", code=2
    )
    assert shell.json("status")["datasets"][0]["rows"] == reached(company)
    assert shell.json("rejected", "list") == []


def test_mistakes_are_told_by_place(shell: Shell) -> None:
    """Exit code 2, every mistake with file, line and column; unknown names get suggestions."""
    (shell.folder / "flows" / "hours.yaml").write_text("sync:\n  - {from: xledgr, entities: [timesheet]}\n")
    told = shell("run", code=2)
    assert "flows/hours.yaml:2:12" in told
    assert "did you mean" in told.lower()
    (shell.folder / "flows" / "hours.yaml").write_text("sync:\n  - {from: xledger, entities: [timesheets]}\n")
    assert "there are: xledger.timesheets" in shell("run", "xledger.hours", code=2)
    assert "write a SELECT" in shell("query", "", code=2)
    assert shell.json("query", "select 1 as a, 2 as a, 3 as a_1") == [{"a": 1, "a_2": 2, "a_1": 3}]
    assert ["a", "a_1"] in [each.split() for each in shell("query", "select 1 as a, 2 as a").splitlines()]
    wide = ", ".join(f"0.1::decimal(38, 9) as wide_{number}" for number in range(40))
    assert ["wide_39", "0.100000000"] in [each.split() for each in shell("query", f"select {wide}").splitlines()]
    assert "the query is wrong" in shell("query", "select nothing from nowhere", code=2)
    assert "no closed snapshot" in shell("replay", "xledger.timesheets", code=2)
    assert "not JSON" in shell("state", "set", "xledger.changes", "{", code=2)


BROKER, MONGODB = "POSTROAD_DEMO_RABBITMQ", "POSTROAD_DEMO_MONGODB"


@pytest.fixture
def offered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The servers that the demo is told of: those that this machine has."""
    found: dict[str, Any] = {}
    for fixture, variable in (("broker", BROKER), ("mongo", MONGODB)):
        monkeypatch.delenv(variable, raising=False)
        with suppress(pytest.skip.Exception):
            found[variable] = request.getfixturevalue(fixture)
            monkeypatch.setenv(variable, found[variable].url)
    return found


def test_the_demo_finds_what_was_done(tmp_path: Path, offered: Mapping[str, Any]) -> None:
    """The README's first command, small: the second sync of every dataset counts what was done in its system.

    The application refuses one delete by a rule of its own, which is told, traced, mended and sent again. Servers that
    are named are used, and left as they were.
    """
    if MONGODB in offered:
        offered[MONGODB].database.client.drop_database("postroad_demo")  # of a test that was killed
    words = [sys.executable, "-m", "postroad", "demo", str(tmp_path / "demo"), "--rows", "500"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    if MONGODB in offered:
        assert done.stdout.count("\nequal\n") == 2
        assert "mongo.suppliers has its delete: acknowledged" in done.stdout
        assert "deleted: the database postroad_demo of MongoDB" in done.stdout
        assert "postroad_demo" not in offered[MONGODB].database.client.list_database_names()
    if BROKER in offered:
        assert ": hands out the messages" in done.stdout
        with closing(sqlite3.connect(tmp_path / "demo" / "postroad.db")) as database:
            assert database.execute("select count(*) > 0, count(*) = count(published_at) from messages").fetchone() == (
                1,
                1,
            )
        assert offered[BROKER].queues() == []
    _, first, deeds, second, refused, again, _, asked = re.split(r"^\d\. ", done.stdout, flags=re.MULTILINE)
    sent = {name: row for name, row in figures(second).items() if name.startswith(("appdb.", "mongo."))}
    held = {"appdb.hours", "appdb.suppliers", "appdb.vendors", "appdb.orders"}
    assert set(sent) == held | ({"mongo.suppliers", "mongo.vendors"} if MONGODB in offered else set())
    assert sum(row[2] for row in sent.values()) == sent["appdb.suppliers"][2] == 1
    assert "it is still on an open order" in refused
    assert "does not have its delete: rejected" in refused
    assert figures(again)["appdb.suppliers"] == [1, 1, 0]
    with closing(sqlite3.connect(tmp_path / "demo" / "app.db")) as database:
        assert database.execute("select sum(_deleted) from suppliers").fetchone() == (1,)
        assert database.execute("select distinct system from orders where not _deleted").fetchall() == [("erp",)]
        assert database.execute("select min(day) >= '2024-01-01' from hours where not _deleted").fetchone() == (1,)
    entities = {name for name in figures(first) if name.startswith("xledger.")}
    assert entities == {f"xledger.{entity.name}" for entity in EIGHT}
    assert {name.partition(".")[0] for name in figures(deeds)} == {"xledger", "links", "finops"}
    told = {name: row[1:4] for name, row in figures(second).items() if name not in sent}
    assert told == {name: [0, 0, 0] for name in figures(first) if name not in sent} | figures(deeds)
    joined, history = asked.split("The history")
    assert re.search(r"^ .+ \d+\.\d\d +\d+ *$", joined, re.MULTILINE), "the join of both systems has rows"
    assert len(re.findall(r"^ +3\d{9} ", history, re.MULTILINE)) == 2
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "postroad.yaml").write_text("project: mine\n")
    refused = subprocess.run([*words[:4], str(mine)], capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode == 2
    assert "something else than an earlier demo" in refused.stderr
    assert (mine / "postroad.yaml").exists()


def test_the_demo_says_what_it_does_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Servers that nobody named, and some that do not answer; no password is told."""
    monkeypatch.setattr("postroad.connectors.mongodb.demo.PATIENCE", 50)
    offered = {"mongodb": MONGODB_SERVER}
    for address, told in (
        (None, "none is named"),
        ("mongodb://us:hush@127.0.0.1:1", "127.0.0.1:1 is left out: it does"),
    ):
        _named(monkeypatch, MONGODB, address)
        assert visiting.servers(offered) == {}
        assert told in capsys.readouterr().out
    init_project(tmp_path, "sql")
    for address, told in ((None, f"{BROKER}=amqp://"), ("amqp://us:hush@127.0.0.1:1", "127.0.0.1:1 is left out: ")):
        _named(monkeypatch, BROKER, address)
        with visiting.broker(tmp_path):
            assert "queue:" not in (tmp_path / "postroad.yaml").read_text()
        said = capsys.readouterr().out
        assert told in said
        assert "hush" not in said


def _named(monkeypatch: pytest.MonkeyPatch, variable: str, address: str | None) -> None:
    if address is None:
        monkeypatch.delenv(variable, raising=False)
    else:
        monkeypatch.setenv(variable, address)


def figures(text: str) -> dict[str, list[int]]:
    """The rows of the tables in a text whose first column is a dataset."""
    rows = (line.split() for line in text.splitlines() if re.match(r" \w+\.\w+ ", line))
    return {row[0]: [int(figure.replace(",", "")) for figure in row[1:]] for row in rows}


def test_a_discarded_close_is_not_begun_again_unasked(shell: Shell, company: XledgerSimulator) -> None:
    """The refresh stays due and says so; only --full-refresh begins another, which costs calls."""
    shell("run")
    company.switch(expired_cursor="empty")
    company.delete(150)
    company.advance(days=4)
    shell("run", code=3)
    shell("rejected", "discard", "xledger.timesheets", "--stage", "guard")
    assert "was discarded" in shell("status")
    calls = len(company.requests)
    shell("run")
    assert len(company.requests) == calls + 1
    shell("run", "--full-refresh", code=3)
    assert shell.json("status")["datasets"][0]["state"] == "parked"


def test_adopt_begins_with_the_files_of_another_program(shell: Shell, company: XledgerSimulator) -> None:
    """Mistakes in what was typed, a rehearsal, the adoption, and the next run, which walks nothing."""
    earlier = EarlierApp(company, shell.folder / "earlier", columns=[*COLUMNS, "text"])
    company.mutate(1)
    earlier.full_sync()
    cursor, taken = str(earlier.cursor), str(earlier.taken_at)
    words = ["adopt", "xledger.timesheets", "earlier"]
    assert "--cursor" in shell(*words, code=2)
    assert "names no zone" in shell(*words, "--cursor", cursor, "--cursor-taken-at", taken[:19], code=2)
    assert "is no time" in shell(*words, "--cursor", cursor, "--cursor-taken-at", "today", code=2)
    assert "yet to come" in shell(*words, "--cursor", cursor, "--cursor-taken-at", "2199-01-01T00:00Z", code=2)
    told = shell(*words, "--cursor", cursor, "--cursor-taken-at", taken, "--dry-run")
    assert "left out, as nobody declares them: text" in told
    assert "which may have lost digits or leading zeros: workingHours" in told
    assert "was not asked" in told
    done = shell.json(*words, "--cursor", cursor, "--cursor-taken-at", taken)
    assert done["datasets"]["xledger.timesheets"]["new"] == reached(company)
    assert (done["adoption"]["due"], done["adoption"]["left_out"]) == (None, ["text"])
    assert "adopted already" in shell(*words, "--cursor", cursor, "--cursor-taken-at", taken)
    company.mutate(3)
    ran = shell.json("run")
    assert [run["feed"] for run in ran["runs"]] == ["changes"]
    assert ran["datasets"]["xledger.timesheets"]["changed"] == 3
    assert shell.json("status")["datasets"][0]["state"] == "in step"
