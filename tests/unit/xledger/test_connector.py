from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from postroad.connectors.xledger import connector
from postroad.connectors.xledger.check import checks
from postroad.connectors.xledger.declaration import Declaration, find, parse_fields
from postroad.connectors.xledger.documents import selection
from postroad.connectors.xledger.entities import EIGHT, TIMESHEETS
from postroad.connectors.xledger.example import SIMULATOR_TOKEN
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.connectors.xledger.simulator import DEMO_TOKEN
from postroad.errors import ConfigError
from postroad.sdk.registry import load_connector
from tests.unit.xledger.remote import SMALL, TOKEN, Remote, feeds, sheet

URL = "https://demo.xledger.net/graphql"


def test_the_connector_is_found_and_names_its_entities() -> None:
    assert load_connector(connector.name) is connector
    known = connector.entities(XledgerSettings.model_validate({"url": URL, "token": TOKEN}))
    assert known == tuple(each.name for each in EIGHT)
    assert callable(connector.simulator)


def test_the_example_starts_with_the_simulators_token() -> None:
    assert SIMULATOR_TOKEN == DEMO_TOKEN
    assert f"XLEDGER_TOKEN={DEMO_TOKEN}" in connector.example[".env"]
    assert "postroad simulate xledger" in connector.example["README.md"]


def test_registering_loads_nothing_heavy() -> None:
    code = (
        "import sys, postroad.connectors.xledger; "
        "print([name for name in ('httpx', 'graphql', 'duckdb', 'sqlalchemy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    "wrong",
    [{"url": "demo"}, {"time_zone": "Europe/Olso"}, {"page_size": 10_001}, {"owner_set": "mine"}, {"extra": 1}],
)
def test_wrong_settings_are_refused_without_the_token(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        XledgerSettings(**{"url": URL, "token": TOKEN, **wrong})
    assert TOKEN not in str(raised.value)


def test_settings_have_the_documented_defaults() -> None:
    made = XledgerSettings(url=URL, token=TOKEN)  # type: ignore[arg-type]
    assert (made.owner_set, made.object_status, made.page_size, made.burst) == ("MINE", "ALL", 10_000, 18)
    assert TOKEN not in f"{made!r}{made.model_dump_json()}"


def test_declarations_refuse_what_cannot_be_a_table() -> None:
    with pytest.raises(ConfigError, match="kind"):
        parse_fields("dbId numeral")
    doubled = Declaration("x", "x", "x", parse_fields("dbId int\na.b int\na_b int"), "int", "Int", False)
    with pytest.raises(ConfigError, match="a_b"):
        _ = doubled.schema
    with pytest.raises(ConfigError, match="timesheets"):
        find([SMALL], "timesheet")


def test_a_selection_groups_references() -> None:
    assert selection(parse_fields("dbId int\na.b int\nc text\na.d text")) == "dbId a { b d } c"
    assert "owner { dbId description ownerCode }" in selection(TIMESHEETS.fields)


def remote_on_a_socket(remote: Remote) -> tuple[socket.socket, str]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"


def test_a_check_names_each_step() -> None:
    remote = Remote()
    remote.rows["timesheets"] = [sheet(1), sheet(9)]
    remote.scripted = [remote.respond({"data": {"__typename": "Query"}})]
    listener, url = remote_on_a_socket(remote)
    with listener:
        found = list(remote.source(url=url).check())
    assert [check.step for check in found] == [
        "resolve the host",
        "connect",
        "sign in",
        "read the tenant",
        "read the timesheets",
        "read the projects",
    ]
    assert all(check.ok for check in found)
    assert "77" in found[3].sentence
    assert "9" in found[4].sentence


def test_a_check_stops_at_the_first_failure() -> None:
    remote = Remote()
    listener, url = remote_on_a_socket(remote)
    listener.close()
    found = list(remote.source(url=url).check())
    assert [check.ok for check in found] == [True, False]
    with socket.create_server(("127.0.0.1", 0)) as again:
        remote.scripted = [remote.error({"message": "The API token is not valid."})]
        found = list(remote.source(url=f"http://127.0.0.1:{again.getsockname()[1]}/").check())
    assert [check.ok for check in found] == [True, True, False]
    assert "token" in found[-1].sentence


def test_a_check_of_an_unknown_host_says_so() -> None:
    remote = Remote()
    found = list(remote.source(url="http://no-such-host.invalid/graphql").check())
    assert [check.ok for check in found] == [False]
    assert "no-such-host.invalid" in found[0].sentence
    assert checks.__doc__


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([1, 25_000], "at most 25,000 rows by the range of their ids, so at most 3 calls"),
        ([], "one call"),
        ([1, 10**15], "do not tell"),
    ],
)
def test_a_forecast_is_an_estimate_from_one_call(keys: list[int], words: str) -> None:
    remote = Remote()
    remote.rows["timesheets"] = [sheet(key) for key in keys]
    source = remote.source()
    assert words in (source.forecast(feeds(source)["timesheets"]) or "")
    assert source.forecast(feeds(source)["changes"]) is None
    assert len(remote.asked) == 1
