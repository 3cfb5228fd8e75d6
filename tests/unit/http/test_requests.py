"""What is sent: JSON that others read, bounded batches, headers, signatures that somebody else verifies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from postroad.connectors.http.packages import Batch, packages
from postroad.connectors.http.paths import at_path, steps
from postroad.connectors.http.signing import signed
from postroad.connectors.http.simulator import DEMO_SECRET, ApiSimulator
from postroad.errors import AuthError, ConfigError
from postroad.records import CHANGED_AT, OP, VERSION, Entity
from postroad.sdk.jsontext import Form, objects
from tests.unit.http.api import ITEMS, items, opened, sent, settings

OTHER_SECRET = "whsec_YW5vdGhlci1zZWNyZXQtZm9yLXRoZS1yb3RhdGlvbiE="


@pytest.fixture
def api() -> Iterator[ApiSimulator]:
    with ApiSimulator(["id"]) as api:
        yield api


def headers(api: ApiSimulator) -> dict[str, str]:
    found: dict[str, str] = api.log()[-1]["headers"]
    return found


# JSON

VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text(st.characters(exclude_categories=["Cs"])),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False),
    pa.bool_(): st.booleans(),
    pa.decimal128(38, 9): st.decimals(-(10**28), 10**28, places=9),
    pa.date32(): st.dates(),
    pa.timestamp("us", "UTC"): st.datetimes(timezones=st.just(UTC)),
    pa.binary(): st.binary(),
    pa.list_(pa.string()): st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))),
    pa.struct([("a", pa.int32()), ("b", pa.list_(pa.bool_()))]): st.fixed_dictionaries(
        {"a": st.none() | st.integers(-5, 5), "b": st.none() | st.lists(st.booleans())}
    ),
}


@hypothesis(max_examples=60, deadline=None)
@given(st.data())
def test_another_reader_of_json_finds_the_same_values(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    rows = data.draw(st.integers(1, 4))
    names = data.draw(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=len(kinds),
                               max_size=len(kinds), unique=True))  # fmt: skip
    values = [data.draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows)) for kind in kinds]
    columns = [pa.array(each, kind) for each, kind in zip(values, kinds, strict=True)]
    records = pa.RecordBatch.from_arrays(columns, names=names).slice(data.draw(st.integers(0, rows - 1)))
    found = [json.loads(each.as_py()) for each in objects(records, Form())]
    wanted = [{name: plain(value) for name, value in row.items()} for row in records.to_pylist()]
    assert found == wanted


def plain(value: Any) -> Any:
    """As JSON has it, by the standard library."""
    if isinstance(value, Decimal):
        return f"{value:.9f}"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def test_what_json_has_no_word_for_is_null_or_refused() -> None:
    records = pa.RecordBatch.from_pydict({"x": [math.nan, math.inf, 1.5]})
    assert [each.as_py() for each in objects(records, Form())] == ['{"x":null}', '{"x":null}', '{"x":1.5}']
    with pytest.raises(ConfigError, match="map"):
        objects(pa.RecordBatch.from_arrays([pa.array([], pa.map_(pa.string(), pa.string()))], names=["x"]), Form())


def test_numbers_may_be_texts_and_decimals_numbers() -> None:
    large = 2**63 - 1
    records = pa.RecordBatch.from_pydict({"n": pa.array([large]), "d": pa.array([Decimal("0.10")])})
    (one,) = [each.as_py() for each in objects(records, Form(decimals_as_texts=False, integers_as_texts=True))]
    assert one == f'{{"n":"{large}","d":0.10}}'
    assert json.loads(one, parse_float=Decimal)["d"] == Decimal("0.10")


# Batches


@hypothesis(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 300)), max_size=30), st.integers(1, 7))
def test_every_record_is_in_one_batch_in_order_and_no_key_twice(rows: list[tuple[str, int]], most: int) -> None:
    schema = pa.schema([*ITEMS.schema, OP, CHANGED_AT, VERSION])
    records = pa.RecordBatch.from_pylist(
        [{"id": name, "name": "x" * size, "_op": "upsert", "_version": place}
         for place, (name, size) in enumerate(rows)], schema,
    )  # fmt: skip
    found = list(packages(settings(most_records=most, most_bytes=1000), ITEMS, records))
    batches = [json.loads(each.body.body)["records"] for each in found]
    assert [each["_version"] for batch in batches for each in batch] == list(range(len(rows)))
    for package, batch in zip(found, batches, strict=True):
        assert package.records == len(batch) == package.body.keys.num_rows <= most
        assert len({each["id"] for each in batch}) == len(batch)
        assert len(package.body.body) <= 1000 + 20 or len(batch) == 1


def test_a_delete_has_its_key_and_our_columns_only() -> None:
    (package,) = packages(settings(body="list"), ITEMS, items("a", op="delete", version=3))
    assert json.loads(package.body.body) == [{"id": "a", "_op": "delete", "_changed_at": None, "_version": 3}]


def test_keys_of_several_fields_are_not_mixed_up() -> None:
    """("a", "bc") and ("ab", "c") are two."""
    both = Entity("pairs", ("x", "y"), pa.schema([("x", pa.string()), ("y", pa.string())]))
    schema = pa.schema([*both.schema, OP, CHANGED_AT, VERSION])
    rows = [{"x": x, "y": y, "_op": "upsert", "_version": 1} for x, y in (("a", "bc"), ("ab", "c"))]
    assert len(list(packages(settings(), both, pa.RecordBatch.from_pylist(rows, schema)))) == 1


# Headers


def test_the_idempotency_key_is_that_of_the_same_bytes_on_the_same_errand(api: ApiSimulator) -> None:
    keys = []
    for names, message in ((["a", "b"], "7"), (["a", "b"], "7"), (["a", "b"], "8"), (["a"], "7")):
        sent(api, *names, message=message)
        keys.append(headers(api)["idempotency-key"])
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert keys[0][0] == keys[0][-1] == '"'
    sent(api, "a", quoted_key=False, idempotency_key="X-Request-Key")
    assert headers(api)["x-request-key"] == keys[3].strip('"')
    assert "idempotency-key" not in headers(api)


def test_a_cloud_event_is_read_by_the_sdk_of_others(api: ApiSimulator) -> None:
    sent(api, "a", cloudevents={"source": '/acme/Ærø post "1" 100%'})
    event = from_http(HTTPMessage(headers(api), b"{}"), JSONFormat())
    assert event.get_source() == '/acme/Ærø post "1" 100%'
    assert (event.get_specversion(), event.get_type(), event.get_subject()) == (
        "1.0",
        "org.postroad.records.v1",
        "stock.items",
    )
    assert event.get_id() == headers(api)["idempotency-key"].strip('"')
    assert (event.get_extension("target"), event.get_extension("lastbatch")) == ("items", "true")
    assert event.get_time() == datetime(2026, 11, 21, 18, 30, tzinfo=UTC)


@pytest.mark.parametrize("secrets", [[DEMO_SECRET], [OTHER_SECRET, DEMO_SECRET]])
def test_a_signature_is_verified_by_the_library_of_standard_webhooks(secrets: list[str]) -> None:
    """By either secret, while one replaces the other; and not by a third, nor over another body."""
    chosen = settings(sign=secrets)
    body = items_body()
    found = dict(signed(chosen, "msg_1", body, time.time()))
    for secret in secrets:
        assert Webhook(secret).verify(body, found) == json.loads(body)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body + b" ", found)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, {**found, "webhook-id": "msg_2"})
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_c29tZWJvZHktZWxzZS1zb21lYm9keS1lbHNl").verify(body, found)


def test_the_page_shows_how_a_receiver_verifies() -> None:
    """Its lines are run here, against a right and a wrong secret, and an old signature."""
    page = Path(__file__).resolve().parents[3] / "docs" / "connectors" / "http.md"
    (lines,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    known: dict[str, Any] = {"hmac": hmac, "hashlib": hashlib, "base64": base64, "time": time}
    exec(lines, known)
    body, chosen = items_body(), settings(sign=[OTHER_SECRET, DEMO_SECRET])
    found = dict(signed(chosen, "msg_1", body, time.time()))
    assert known["verified"](found, body, DEMO_SECRET)
    assert not known["verified"](found, body + b" ", DEMO_SECRET)
    assert not known["verified"](found, body, "whsec_c29tZWJvZHktZWxzZS1zb21lYm9keS1lbHNl")
    assert not known["verified"](dict(signed(chosen, "msg_1", body, time.time() - 400)), body, DEMO_SECRET)


def items_body() -> bytes:
    (package,) = packages(settings(), ITEMS, items("a", "Ærø"))
    batch: Batch = package.body
    return batch.body


def test_each_try_is_signed_anew(api: ApiSimulator) -> None:
    """A receiver refuses old signatures; the id stays."""
    api.fault("refuse", status=500)
    clock = iter(range(1_790_000_000, 1_790_001_000, 60))
    api.clock.set(1_790_000_030)
    with closing(opened(api)) as destination:
        destination._tools = replace(destination._tools, clock=lambda: next(clock))
        (package,) = destination.render(ITEMS, items("a"))
        destination.send(ITEMS, package)
    first, second = (each["headers"] for each in api.log()[-2:])
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    assert first["webhook-signature"] != second["webhook-signature"]


def test_a_wrong_signature_is_refused_and_a_secret_that_is_none_is_told(api: ApiSimulator) -> None:
    with pytest.raises(AuthError):
        sent(api, "a", sign=[OTHER_SECRET])
    sent(api, "a", sign=[OTHER_SECRET, DEMO_SECRET])
    for wrong in ("whsec_c2hvcnQ=", "no base64 at all, is it?"):
        with closing(opened(api, sign=[wrong])) as destination:
            last = list(destination.check())[-1]
        assert not last.ok
        assert wrong not in last.sentence


def test_a_target_has_its_own_path_and_method_and_stays_on_the_host(api: ApiSimulator) -> None:
    sent(api, "a", path="/v1/{target}/batch", targets={"items": {"method": "PUT", "path": "/v2/items"}})
    assert (api.log()[-1]["method"], api.log()[-1]["path"]) == ("PUT", "/v2/items")
    with closing(opened(api)) as destination:
        odd = Entity("@evil.example/../x y?", ITEMS.key, ITEMS.schema)
        (package,) = destination.render(odd, items("a"))
        destination.send(odd, package)
    assert api.log()[-1]["path"] == "/%40evil.example%2F..%2Fx%20y%3F"


def test_the_check_names_its_steps_and_stops(api: ApiSimulator) -> None:
    with closing(opened(api, probe={"path": "/targets"}, token="wrong-token")) as destination:
        steps_made = list(destination.check())
    assert [each.ok for each in steps_made] == [True, True, True, False]
    assert "wrong-token" not in steps_made[-1].sentence
    api.stop()
    with closing(opened(api.start())) as destination:
        api.stop()
        assert [each.ok for each in destination.check()] == [True, False]
    api.start()


# Settings


@pytest.mark.parametrize("wrong", [
    {"url": "http://shop.example"}, {"url": "https://user@shop.example"}, {"url": "https://shop.example?x=1"},
    {"url": "ftp://shop.example"}, {"path": "https://evil.example/"}, {"path": "//evil.example"},
    {"path": "/a/../b"}, {"targets": {"x": {"path": "@evil"}}}, {"api_key": {"key": "x"}},
    {"idempotency_key": "a b"}, {"answer": {"results": "a[0]"}}, {"answer": {"results": "a", "id": "k"}},
    {"answer": {"results": "a", "status": "s"}}, {"sign": ["a", "b", "c"]}, {"versions": "whatever"},
    {"answer": {"results": "a", "status": "s", "accepted": ["ok"], "rejected": ["ok"]}},
])  # fmt: skip
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_settings_that_mean_something_are_not() -> None:
    assert settings(url="http://shop.example", allow_http=True).url
    answer = settings(answer={"status": "s", "accepted": [True, 201]}).answer
    assert answer is not None
    assert answer.accepted == ("true", "201")


@pytest.mark.parametrize(("path", "names"), [
    ("$", ()), ("a", ("a",)), ("$.a.b", ("a", "b")), ("a.b", ("a", "b")), ("$['a b'].c", ("a b", "c")),
    ('a["x.y"]', ("a", "x.y")), ("['a']", ("a",)),
])  # fmt: skip
def test_a_path_leads_to_its_names(path: str, names: tuple[str, ...]) -> None:
    assert steps(path) == names
    value: Any = 5
    for name in reversed(names):
        value = {name: value}
    assert at_path(value, steps(path)) == 5


@pytest.mark.parametrize("path", ["", "a.", ".a..b", "$a", "a[0]", "$..a", "a b", "a['x'"])
def test_what_is_no_path_is_told(path: str) -> None:
    with pytest.raises(ValueError, match=r"is no path|is empty"):
        steps(path)
