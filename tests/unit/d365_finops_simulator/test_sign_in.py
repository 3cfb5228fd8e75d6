from __future__ import annotations

from typing import Any

import httpx
import pytest

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from tests.unit.d365_finops_simulator.conftest import get, send, token


def sign_in(simulator: FinopsSimulator, version: int = 2, tenant: str | None = None, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
    }
    form |= {"scope": f"{simulator.url}/.default"} if version == 2 else {"resource": simulator.url}
    path = "oauth2/v2.0/token" if version == 2 else "oauth2/token"
    return send(f"{simulator.url}/{tenant or simulator.tenant}/{path}", data=form | changes)


def read(simulator: FinopsSimulator, header: str | None) -> httpx.Response:
    headers = {} if header is None else {"Authorization": header}
    return get(f"{simulator.url}/data/VendorsV2?$top=1", headers=headers)


def test_version_1_says_seconds_as_text_and_the_resource(simulator: FinopsSimulator) -> None:
    answer = sign_in(simulator, version=1).json()
    assert (answer["expires_in"], answer["resource"], answer["token_type"]) == ("3600", simulator.url, "Bearer")
    assert int(answer["expires_on"]) == pytest.approx(simulator.clock.now() + 3600, abs=3)
    assert read(simulator, f"Bearer {answer['access_token']}").status_code == 200


def test_version_2_says_seconds_as_a_number(simulator: FinopsSimulator) -> None:
    answer = sign_in(simulator).json()
    assert answer["expires_in"] == 3600
    assert "resource" not in answer
    assert read(simulator, f"Bearer {answer['access_token']}").status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_id": "nobody"}, 400, "unauthorized_client", 700016),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"client_secret": ""}, 400, "invalid_request", 900144),
        ({"scope": "https://other.operations.dynamics.com/.default"}, 400, "invalid_resource", 500011),
        ({"scope": "openid"}, 400, "invalid_scope", 1002012),
        ({"tenant": "organizations"}, 400, "invalid_request", 90002),
    ],
)
def test_what_the_directory_refuses(
    simulator: FinopsSimulator, changes: dict[str, Any], status: int, error: str, number: int
) -> None:
    answer = sign_in(simulator, **changes)
    body = answer.json()
    assert (answer.status_code, body["error"], body["error_codes"]) == (status, error, [number])
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert simulator.client_secret not in answer.text


@pytest.mark.parametrize("spoilt", ["{}/", "{}//", "upper"])
def test_a_slash_or_a_capital_in_the_resource_is_refused(simulator: FinopsSimulator, spoilt: str) -> None:
    url = f"http://LOCALHOST:{simulator.url.rpartition(':')[2]}" if spoilt == "upper" else spoilt.format(simulator.url)
    for version, changes in ((1, {"resource": url}), (2, {"scope": f"{url}/.default"})):
        assert sign_in(simulator, version, **changes).json()["error_codes"] == [65001]
        simulator.switch(bad_audience="call")
        token = sign_in(simulator, version, **changes).json()["access_token"]
        assert read(simulator, f"Bearer {token}").status_code == 401
        simulator.switch(bad_audience="sign_in")


def test_a_token_ends_by_the_simulators_clock(simulator: FinopsSimulator) -> None:
    header = f"Bearer {token(simulator)}"
    simulator.advance(seconds=3590)
    assert read(simulator, header).status_code == 200
    simulator.advance(seconds=20)
    refused = read(simulator, header)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_who_is_not_let_in(simulator: FinopsSimulator) -> None:
    good = token(simulator)
    for header in (None, good, "Bearer", "Bearer nonsense", f"Basic {good}"):
        assert read(simulator, header).status_code == 401
    simulator.switch(registered=False)
    assert read(simulator, f"Bearer {good}").status_code == 401
    simulator.switch(registered=True)
    assert simulator.revoke_tokens() == 1
    assert read(simulator, f"Bearer {good}").status_code == 401


def test_secrets_rotate(simulator: FinopsSimulator) -> None:
    header = f"Bearer {token(simulator)}"
    simulator.client(simulator.client_id, "another")
    assert sign_in(simulator).status_code == 401
    assert sign_in(simulator, client_secret="another").status_code == 200
    simulator.client(simulator.client_id)
    assert sign_in(simulator, client_secret="another").status_code == 400
    assert read(simulator, header).status_code == 401


def test_the_log_holds_neither_token_nor_secret(simulator: FinopsSimulator) -> None:
    good = token(simulator)
    read(simulator, f"Bearer {good}")
    assert [entry["roots"] for entry in simulator.log] == [["sign_in"], ["data", "VendorsV2"]]
    assert good not in str(simulator.log)
    assert simulator.client_secret not in str(simulator.log)
