"""Bad input from Xledger: what a whole answer is refused with; the cause, row and raw text of each refused row.

Each case is parsed alone; then all bad rows come in one page over a socket, and the command line tells of each.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from postroad.connectors.xledger.entities import TIMESHEETS
from postroad.connectors.xledger.parse import parse
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.source import XledgerSource
from postroad.engine.stop import Stop
from postroad.errors import ConfigError, RemoteError
from postroad.project import load_project
from postroad.records import Payload, Want
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools
from postroad.sdk.secrets import Secret
from tests.shell import Shell

HALF = b"\\ud83d"  # half of a character, escaped
DEEP = b"[" * 900 + b"]" * 900
ROOT = re.compile(r"(\w+): (\w+)\(([^)]*)\)")
TENANT = b'{"edges":[{"node":{"dbId":77}}]}'
NOTHING = b'{"pageInfo":{"hasNextPage":false},"edges":null}'


def field(text: str | bytes) -> bytes:
    """An edge of the row 2 with one field more; `#` stands for the row's number."""
    return b'{"cursor":"#","node":{"dbId":"#",' + (text.encode() if isinstance(text, str) else text) + b"}}"


def keyed(key: str | bytes) -> bytes:
    """An edge whose dbId is that JSON text."""
    return b'{"cursor":"#","node":{"dbId":' + (key.encode() if isinstance(key, str) else key) + b"}}"


# An edge, whether its key can be read, and the cause.
ROWS: list[tuple[bytes, bool, str]] = [
    # other types than declared
    (field('"workingHours":7.5'), True, "wrong_type"),
    (field('"workingHours":[]'), True, "wrong_type"),
    (field(b'"workingHours":' + DEEP), True, "wrong_type"),
    (field('"workingHours":' + "9" * 5_000), True, "wrong_type"),
    (field('"isHeaderApproved":"yes"'), True, "wrong_type"),
    (field('"isHeaderApproved":1'), True, "wrong_type"),
    (field('"assignmentDate":20260101'), True, "wrong_type"),
    (field('"createdAt":1767225600'), True, "wrong_type"),
    (field('"owner":"Bolag"'), True, "wrong_type"),
    (field('"owner":[{"dbId":1}]'), True, "wrong_type"),
    (field('"owner":{"dbId":"12"}'), True, "wrong_type"),
    (field('"owner":{"dbId":1.5}'), True, "wrong_type"),
    (field('"owner":{"dbId":1e400}'), True, "wrong_type"),
    # numbers
    (field('"workingHours":"7,5"'), True, "bad_decimal"),
    (field('"workingHours":""'), True, "bad_decimal"),
    (field('"workingHours":" 1"'), True, "bad_decimal"),
    (field('"workingHours":"1E5"'), True, "bad_decimal"),
    (field('"workingHours":"0x10"'), True, "bad_decimal"),
    (field('"workingHours":"NaN"'), True, "bad_decimal"),
    (field('"workingHours":"Infinity"'), True, "bad_decimal"),
    (field('"workingHours":"0.0000000001"'), True, "bad_decimal"),
    (field('"workingHours":"' + "9" * 30 + '"'), True, "bad_decimal"),
    (field('"workingHours":"1\\u0000"'), True, "bad_decimal"),
    (field('"workingHours":"' + "1" * 100_000 + '"'), True, "bad_decimal"),
    (field('"owner":{"dbId":-9223372036854775809}'), True, "bad_json"),
    (field('"owner":{"dbId":' + "9" * 30 + "}"), True, "bad_json"),
    # days and times that do not exist
    (field('"assignmentDate":"2026-02-30"'), True, "bad_date"),
    (field('"assignmentDate":"0000-01-01"'), True, "bad_date"),
    (field('"assignmentDate":"10000-01-01"'), True, "bad_date"),
    (field('"assignmentDate":"31.12.2026"'), True, "bad_date"),
    (field('"createdAt":"2026-01-01T25:00:00"'), True, "bad_time"),
    (field('"createdAt":"2026-01-01T10:00:00Z"'), True, "bad_time"),
    (field('"createdAt":"soon"'), True, "bad_time"),
    (field('"createdAt":"2026-03-29T02:30:00"'), True, "nonexistent_time"),
    # text that is none, and fields given twice
    (field(b'"project":{"code":"' + HALF + b'"}'), True, "bad_json"),
    (field(b'"project":{"code":"\xff\xfe"}'), True, "bad_json"),
    (field(b'"project":{"code":"\xc0\x80"}'), True, "bad_json"),
    (field(b'"' + HALF + b'":1'), True, "bad_json"),
    (field('"workingHours":"1","workingHours":"2"'), True, "bad_json"),
    # ids
    (keyed("null"), False, "unreadable_key"),
    (keyed('""'), False, "unreadable_key"),
    (keyed('"abc"'), False, "unreadable_key"),
    (keyed('"0x1f"'), False, "unreadable_key"),
    (keyed('" 5"'), False, "unreadable_key"),
    (keyed('"٢"'), False, "unreadable_key"),
    (keyed('"' + "9" * 30 + '"'), False, "unreadable_key"),
    (keyed(b'"' + HALF + b'"'), False, "bad_json"),
    (keyed("true"), False, "wrong_type"),
    (keyed('["2"]'), False, "wrong_type"),
    (b'{"cursor":"#","node":{}}', False, "unreadable_key"),
    (b'{"cursor":"#","node":null}', False, "unreadable_key"),
    (b'{"cursor":"#"}', False, "unreadable_key"),
    (b'{"cursor":"#","node":"2"}', False, "wrong_type"),
    (b'{"cursor":"#","node":[]}', False, "wrong_type"),
]

# Odd, and taken: the row's workingHours are then 2.
TAKEN: list[bytes] = [
    field('"workingHours":"2","surprise":{"deep":[1,2]}'),
    field(b'"workingHours":"2","surprise":' + DEEP),
    field('"workingHours":"+2."'),
    field('"workingHours":"2.0","project":{"code":"\\u0000"}'),
    field('"workingHours":"2.0","project":{"code":"' + "x" * 1_000_000 + '"}'),
    field('"workingHours":"2.0","owner":{"dbId":0,"description":"none"},"employee":null'),
]


def good(key: int, hours: str = "2.00") -> bytes:
    return field(f'"workingHours":"{hours}"').replace(b"#", str(key).encode())


def page(*edges: bytes) -> bytes:
    return b'{"pageInfo":{"hasNextPage":false},"edges":[' + b",".join(edges) + b"]}"


@pytest.mark.parametrize(("edge", "readable", "cause"), ROWS)
def test_a_bad_row_is_refused_and_the_others_are_kept(edge: bytes, readable: bool, cause: str) -> None:
    edge = edge.replace(b"#", b"2")
    body = b'{"data":{"timesheets":' + page(good(1), edge, good(3)) + b"}}"
    (found,) = parse(Payload(body, None, entities=("timesheets",), meta={"kind": "walk"}), [TIMESHEETS], "Europe/Oslo")
    found.records.validate(full=True)
    (refusal,) = found.refusals
    assert (refusal.row, refusal.key, refusal.cause) == (1, "[2]" if readable else None, cause)
    assert refusal.raw == edge.decode(errors="replace")
    assert refusal.sentence
    assert found.records["dbId"].to_pylist() == [1, 3]


# A whole answer to the question for a page, and the words that it is refused with.
WHOLE: list[tuple[bytes, str]] = [
    (b"", "the answer is no GraphQL"),
    (b'{"data":{"timesheets"', "the answer is no GraphQL"),
    (b"<!DOCTYPE html><html>Maintenance</html>", "the answer is no GraphQL"),
    (b"[]", "the answer is no GraphQL"),
    (b'\xef\xbb\xbf{"data":{}}', "the answer is no GraphQL"),
    (b"[" * 100_000, "the answer is no GraphQL"),
    (b'{"errors":"all of it"}', "the answer is no GraphQL"),
    (b'{"data":{}}{}', "the answer is no GraphQL"),
    (page(field('"workingHours":NaN')), "the answer is no GraphQL"),
    (page(field('"project":{"code":"\\u12"}')), "the answer is no GraphQL"),
    (page(field(b'"project":{"code":"a\x00b"}')), "the answer is no GraphQL"),
    (page(field(b'"surprise":' + b"[" * 100_000 + b"]" * 100_000)), "the answer is no GraphQL"),
    (page(b'{"cursor":"' + HALF + b'","node":{"dbId":"2"}}'), "the answer is no GraphQL"),
    (b'{"data":null}', "neither data nor errors"),
    (b'{"data":7}', "the answer has an unknown shape"),
    (b'{"data":{}}', "the answer holds nothing for 'tenant'"),
    (b'{"edges":{}}', "the answer has an unknown shape"),
    (page(b"7"), "the answer has an unknown shape"),
    (page(b'{"cursor":2,"node":{"dbId":"2"}}'), "the answer has an unknown shape"),
    (page(b'{"cursor":null,"node":{"dbId":"2"}}'), "without cursors"),
    (b'{"pageInfo":{"hasNextPage":true},"edges":null}', "announced more timesheets and sent an empty page"),
]


PARTS = (b"pa", b"ed")  # a page, to be put into an answer


class Remote:
    """Answers documents: the page of timesheets as it is told, every other question truly."""

    def __init__(self) -> None:
        self.page = page()
        self.whole: bytes | None = None

    def break_with(self, text: bytes) -> None:
        """What it says from now on when it is asked for a page."""
        text = text.replace(b"#", b"2")
        self.whole = b'{"data":{"tenant":%b,"timesheets":%b}}' % (TENANT, text) if text[2:4] in PARTS else text

    def answer(self, query: str) -> bytes:
        roots = ROOT.findall(query)
        walked = any(alias == root == "timesheets" and "dbId_in" not in rest for alias, root, rest in roots)
        if walked and self.whole is not None:
            return self.whole
        found = {alias: self._connection(alias, root, rest) for alias, root, rest in roots}
        return b'{"data":{' + b",".join(b'"%b":%b' % (alias.encode(), text) for alias, text in found.items()) + b"}}"

    def _connection(self, alias: str, root: str, rest: str) -> bytes:
        if root == "entities":
            return TENANT
        if root == "timesheets" and "dbId_in" not in rest:
            return self.page if alias == root else page(good(1))
        return NOTHING


class Server(Remote):
    """The same over a socket."""

    def __init__(self) -> None:
        super().__init__()
        handler = type("Handler", (_Handler,), {"server_of": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/graphql"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = self.server_of.answer(asked["query"])
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as made:
        yield made


@pytest.fixture
def shell(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A project of timesheets on that server; nobody waits between two tries."""
    monkeypatch.setattr(Stop, "sleep", lambda *_: None)
    settings = f"{{connector: xledger, url: '{server.url}', token: secret://TOKEN, burst: 1000000}}"
    (tmp_path / "postroad.yaml").write_text(f"project: corpus\nconnections:\n  xledger: {settings}\n")
    (tmp_path / ".env").write_text(f"TOKEN={'t' * 30}\n")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "hours.yaml").write_text("sync:\n  - {from: xledger, entities: [timesheets]}\n")
    return Shell(tmp_path, monkeypatch)


def held(shell: Shell) -> dict[int, str]:
    """The hours of every row of the table."""
    rows = shell.json("query", 'select "dbId", "workingHours" from xledger.timesheets')
    return {row["dbId"]: row["workingHours"].rstrip("0").rstrip(".") for row in rows}


def test_all_bad_rows_of_a_page_are_told_by_the_command_line_and_no_row_is_lost(shell: Shell, server: Server) -> None:
    """Every bad row's key keeps its last row; rows without a readable key let nothing be deleted."""
    size = len(ROWS) + len(TAKEN)
    server.page = page(*(good(key, "1.00") for key in range(1, 2 * size + 2)))
    shell("run")
    bad = {2 * at: edge.replace(b"#", str(2 * at).encode()) for at, (edge, *_) in enumerate(ROWS, 1)}
    odd = {2 * at: edge.replace(b"#", str(2 * at).encode()) for at, edge in enumerate(TAKEN, len(ROWS) + 1)}
    edges = [(bad | odd).get(key) or good(key) for key in range(1, 2 * size + 2)]
    server.page = page(*edges)
    ran = shell.json("run", "--full-refresh", code=3)
    counts = ran["datasets"]["xledger.timesheets"]
    unreadable = [key for key, (_, readable, _) in zip(bad, ROWS, strict=True) if not readable]
    assert (counts["rejected"], counts["deleted"], counts["parked"]) == (len(ROWS), 0, len(unreadable))
    assert held(shell) == {key: "1" if key in bad else "2" for key in range(1, 2 * size + 2)}
    listed = {each["row"]: each for each in shell.json("rejected", "list", "--stage", "normalise")}
    assert len(listed) == len(ROWS)
    for (key, edge), (_, readable, cause) in zip(bad.items(), ROWS, strict=True):
        found = listed[key - 1]
        assert (found["cause"], found["key"]) == (cause, f"[{key}]" if readable else None)
        if key % 8 == 0:
            assert shell.json("rejected", "show", str(found["id"]))["raw"] == edge.decode(errors="replace")
    parked = {each["key"] for each in shell.json("rejected", "list", "--stage", "guard")}
    assert parked == {f"[{key}]" for key in unreadable}
    told = shell("rejected", "list", "--stage", "normalise")
    assert f"{len(ROWS)} records, {len({cause for *_, cause in ROWS})} causes" in told
    again = shell.json("rejected", "retry", "xledger.timesheets", "--dry-run")
    assert [each["happens"].partition(":")[0] for each in again] == ["it is refused again"] * len(ROWS)
    server.page = page(*(good(key, "3.00") for key in range(1, 2 * size + 2)))
    shell("run", "--full-refresh")
    assert shell.json("rejected", "list") == []
    assert set(held(shell).values()) == {"3"}


@pytest.mark.parametrize(("answer", "words"), WHOLE)
def test_an_answer_that_cannot_be_used_is_refused_whole(answer: bytes, words: str) -> None:
    remote = Remote()
    remote.break_with(answer)

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=remote.answer(json.loads(request.content)["query"]))

    settings = XledgerSettings(url="https://remote.test/graphql", token=Secret.literal("t" * 30))
    tools = Tools(MemoryBudget(), time.time, lambda _: None)
    source = XledgerSource(settings, tools, transport=httpx.MockTransport(handle))
    feed = next(each for each in source.discover() if each.name == "timesheets")
    with pytest.raises(RemoteError) as raised:
        next(source.fetch(feed, Want(None, ("timesheets",))))
    assert words in str(raised.value)


def test_an_answer_that_cannot_be_used_leaves_lake_and_books_as_they_are(shell: Shell, server: Server) -> None:
    server.page = page(good(1), good(2), good(3))
    shell("run")
    landed = sorted((shell.folder / "lake" / "landing").rglob("*.*"))
    for answer, words in (WHOLE[1], WHOLE[-9], WHOLE[-2]):
        server.break_with(answer)
        told = shell.json("run", "--full-refresh", code=3)
        assert [words in run["reason"] for run in told["runs"] if run["status"] == "failed"] == [True]
        assert sorted((shell.folder / "lake" / "landing").rglob("*.*")) == landed
    assert shell.json("rejected", "list") == []
    assert held(shell) == {1: "2", 2: "2", 3: "2"}


def test_of_an_id_that_comes_twice_the_later_row_is_taken(shell: Shell, server: Server) -> None:
    server.page = page(good(1), good(2, "5.00"), good(2, "7.00"), good(3))
    shell("run")
    assert held(shell) == {1: "2", 2: "7", 3: "2"}
    server.page = page(good(2, "8.00"), good(1), good(3), good(2, "9.00"))
    shell("run", "--full-refresh")
    assert held(shell) == {1: "2", 2: "9", 3: "2"}


HEAD = "project: acme\nconnections:\n  erp:\n    connector: xledger\n"
URL = "    url: https://demo.xledger.net/graphql\n"
TOKEN = "    token: secret://T\n"
SETTINGS = HEAD + URL + TOKEN

# postroad.yaml, then of its one mistake: the place, the code, and words.
YAML: list[tuple[str, str, str, str]] = [
    (HEAD + URL, "3:3", "missing-key", "erp.token is missing"),
    (HEAD + TOKEN, "3:3", "missing-key", "erp.url is missing"),
    (HEAD + "    url: xledger.net\n" + TOKEN, "5:10", "bad-value", "must match pattern"),
    (HEAD.replace("xledger", "xledgr") + URL + TOKEN, "4:16", "unknown-connector", "did you mean 'xledger'?"),
    (SETTINGS + "    owner_sett: MINE\n", "7:5", "unknown-key", "did you mean 'owner_set'?"),
    (SETTINGS + "    owner_set: OURS\n", "7:16", "bad-value", "'CURRENT', 'UPPER', 'LOWER', 'MINE' or 'ALL'"),
    (SETTINGS + "    page_size: 10001\n", "7:16", "bad-value", "less than or equal to 10000"),
    (SETTINGS + "    page_size: all\n", "7:16", "wrong-type", "valid integer"),
    (SETTINGS + "    time_zone: Oslo\n", "7:16", "bad-value", "write one such as Europe/Oslo"),
    (SETTINGS + "    tenant_check: perhaps\n", "7:19", "wrong-type", "valid boolean"),
    (SETTINGS + "    timeout: 0\n", "7:14", "bad-value", "greater than 0"),
    (SETTINGS + URL, "7:5", "duplicate-key", "'url' is given again; it stands on line 5 already"),
    (SETTINGS + "    burst: [18\n", "8:1", "bad-yaml", ""),
    (SETTINGS + "\tburst: 18\n", "7:1", "bad-yaml", ""),
]


@pytest.mark.parametrize(("text", "place", "code", "words"), YAML)
def test_a_mistake_in_the_settings_is_told_by_its_place(
    tmp_path: Path, text: str, place: str, code: str, words: str
) -> None:
    (tmp_path / "postroad.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_project(tmp_path)
    (mistake,) = raised.value.mistakes
    assert str(mistake).startswith(f"postroad.yaml:{place} {code} ")
    assert words in str(mistake)
