"""The links that packages are fetched by."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import httpx
import pytest

from postroad.connectors.d365_finops.simulator import FinopsSimulator
from tests.unit.d365_finops_simulator.conftest import Act, Export, get


@pytest.fixture
def link(act: Act, export: Export) -> str:
    """A link to the package of an export."""
    return str(act("GetExportedPackageUrl", executionId=export()))


def code(answer: httpx.Response) -> tuple[int, str]:
    """The status, and the code that the storage's XML names."""
    root = ET.fromstring(answer.content)
    assert answer.headers["x-ms-error-code"] == root.findtext("Code")
    return answer.status_code, root.findtext("Code", "")


def test_a_link_is_on_another_port_and_needs_no_token(simulator: FinopsSimulator, link: str) -> None:
    assert httpx.URL(link).port not in {httpx.URL(simulator.url).port, None}
    assert httpx.URL(link).params["sp"] == "r"
    answer = get(link)
    assert answer.headers["content-type"] == "application/zip"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert code(get(link, headers={"Authorization": "Bearer x"})) == (401, "InvalidAuthenticationInfo")


def test_a_link_ends_and_another_is_given(simulator: FinopsSimulator, act: Act, link: str) -> None:
    simulator.advance(seconds=590)
    assert get(link).status_code == 200
    simulator.advance(seconds=20)
    refused = get(link)
    assert code(refused) == (403, "AuthenticationFailed")
    assert "Signature not valid in the specified time frame" in refused.text
    [execution] = simulator.runs()
    again = act("GetExportedPackageUrl", executionId=execution["id"])
    assert get(again).status_code == 200
    simulator.switch(link_minutes=60)
    longer = act("GetExportedPackageUrl", executionId=execution["id"])
    simulator.advance(seconds=3_500)
    assert (get(longer).status_code, get(again).status_code) == (200, 403)


@pytest.mark.parametrize("part", ["sig", "se", "st", "sp", "blob"])
def test_a_link_that_was_tampered_with(link: str, part: str) -> None:
    url = httpx.URL(link)
    other = url.path[:-2] + ("1}" if url.path[-2] == "0" else "0}")
    changed = url.copy_with(path=other) if part == "blob" else url.copy_set_param(part, "2999-01-01T00:00:00Z")
    assert code(get(str(changed))) == (403, "AuthenticationFailed")
    assert code(get(link.partition("?")[0])) == (403, "AuthenticationFailed")


def test_ranges(link: str) -> None:
    whole = get(link)
    tail = get(link, headers={"Range": "bytes=100-"})
    assert (tail.status_code, tail.content) == (206, whole.content[100:])
    assert tail.headers["content-range"] == f"bytes 100-{len(whole.content) - 1}/{len(whole.content)}"
    assert tail.headers["etag"] == whole.headers["etag"]
    assert get(link, headers={"x-ms-range": "bytes=3-9"}).content == whole.content[3:10]
    assert code(get(link, headers={"Range": f"bytes={len(whole.content)}-"})) == (416, "InvalidRange")
    assert get(link, headers={"Range": "bytes=1-", "If-Match": whole.headers["etag"]}).status_code == 206
    assert code(get(link, headers={"Range": "bytes=1-", "If-Match": '"other"'})) == (412, "ConditionNotMet")


def test_only_reading_is_possible(link: str) -> None:
    assert code(httpx.put(link, content=b"x")) == (405, "UnsupportedHttpVerb")


def test_a_package_is_kept_for_seven_days(simulator: FinopsSimulator, act: Act, link: str) -> None:
    simulator.switch(link_minutes=60 * 24 * 30, history_days=100)
    [execution] = simulator.runs()
    kept = act("GetExportedPackageUrl", executionId=execution["id"])
    simulator.advance(days=6, hours=23)
    assert get(kept).status_code == 200
    simulator.advance(hours=2)
    assert code(get(kept)) == (404, "BlobNotFound")
    assert code(get(act("GetExportedPackageUrl", executionId=execution["id"]))) == (404, "BlobNotFound")


def test_a_package_that_nobody_asked_for_in_time_is_gone_too(
    simulator: FinopsSimulator, act: Act, export: Export
) -> None:
    simulator.switch(history_days=100)
    execution = export()
    [run] = simulator.executions
    simulator.advance(days=8)
    assert not run.build.path.exists()
    assert code(get(act("GetExportedPackageUrl", executionId=execution))) == (404, "BlobNotFound")
