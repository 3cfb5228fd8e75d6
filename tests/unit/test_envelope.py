from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.errors import MessageError
from postroad.wire.envelope import INTEGERS, LONGEST, MOST_BYTES, MOST_DEPTH, Event, decode, encode

EVENT = Event(
    id="7",
    source="postroad://acme/prod/erp.books",
    type="org.postroad.changes.v1",
    data={"rows": [1, None, "å"]},
    subject="books",
    time=datetime(2026, 11, 21, 22, 4, 5, 6, UTC),
    dataschema="https://acme.example/books/1",
    extensions={"records": 3, "lastbatch": True, "toversion": "1790000000000000"},
)
texts = st.text(min_size=1, max_size=20)
attributes = st.one_of(texts, st.booleans(), st.integers(INTEGERS.start, INTEGERS.stop - 1))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
events = st.builds(
    Event, texts, texts, texts, values, st.none() | texts,
    st.none() | st.datetimes(timezones=st.just(UTC)), st.none() | texts,
    st.dictionaries(st.from_regex(r"x[a-z0-9]{0,15}", fullmatch=True), attributes, max_size=4),
)  # fmt: skip


def shape(**changes: Any) -> bytes:
    """The event as JSON with some members changed; those that are None are left out."""
    whole = {**json.loads(encode(EVENT)), **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


@settings(max_examples=40)
@given(events)
def test_what_is_sent_is_what_is_read(event: Event) -> None:
    try:
        assert decode(encode(event)) == event
    except MessageError:
        assert len(encode(event)) > MOST_BYTES


@settings(max_examples=40)
@given(events)
def test_the_sdk_of_the_cncf_reads_the_same(event: Event) -> None:
    read = JSONFormat().read(CloudEvent, encode(event))
    assert (read.get_id(), read.get_source(), read.get_type()) == (event.id, event.source, event.type)
    assert (read.get_subject(), read.get_dataschema(), read.get_data()) == (
        event.subject, event.dataschema, event.data,
    )  # fmt: skip
    assert {name: read.get_extension(name) for name in event.extensions} == event.extensions
    if event.time is not None:
        assert read.get_time() == event.time


def test_an_event_of_the_sdk_of_the_cncf_is_read() -> None:
    made = CloudEvent({"id": "1", "source": "/here", "type": "t", "time": EVENT.time, "records": 3}, {"a": [1]})
    assert decode(JSONFormat().write(made)) == Event(
        "1", "/here", "t", {"a": [1]}, time=EVENT.time, extensions={"records": 3}
    )


def test_time_is_utc() -> None:
    east = datetime(2026, 11, 21, 23, 4, 5, 6, timezone(timedelta(hours=1)))
    assert encode(replace(EVENT, time=east)) == encode(EVENT)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"id": "7"', "no JSON"),
        (b"[]", "no JSON object"),
        (b"7", "no JSON object"),
        (b" " * (MOST_BYTES + 1), "bytes"),
        (b"[" * (MOST_DEPTH + 1), "nested 17 deep"),
        (b"[" * 500_000, "nested 500,000 deep"),
        (b'{"a":' * 200_000, "nested 200,000 deep"),
        (shape(specversion="0.3"), "CloudEvents 1.0"),
        (shape(specversion=None), "CloudEvents 1.0"),
        (shape(id=None), "lacks id"),
        (shape(id="", source=None), "lacks id and source"),
        (shape(id=7), "id is no text"),
        (shape(type={"a": 1}), "type is no text"),
        (shape(subject="x" * (LONGEST + 1)), "subject is no text"),
        (shape(time="yesterday"), "no timestamp"),
        (shape(time="2026-11-21T22:04:05"), "no time zone"),
        (shape(datacontenttype="text/xml"), "not JSON"),
        (shape(data_base64="AAAA"), "not JSON"),
        (shape(batch_number=1), "attributes"),
        (shape(number=2**31), "attributes"),
        (shape(number=1.5), "attributes"),
        (shape(thing={"a": 1}), "attributes"),
        (shape(thing="x" * (LONGEST + 1)), "attributes"),
    ],
)
def test_hostile_messages_are_refused_by_name_and_not_quoted(body: bytes, says: str) -> None:
    with pytest.raises(MessageError, match=says) as refused:
        decode(body)
    assert "yesterday" not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(st.binary(max_size=200))
def test_no_bytes_are_anything_but_an_event_or_refused(body: bytes) -> None:
    with pytest.raises(MessageError):
        decode(body)


def test_a_text_that_never_ends_is_refused_at_once() -> None:
    """With each quotation mark in it escaped, and as long as a message may be."""
    began = time.monotonic()
    for end in (b"", b"\\"):
        with pytest.raises(MessageError):
            decode(b'"' + b'\\"' * (MOST_BYTES // 2 - 1) + end)
    assert time.monotonic() - began < 5


def test_brackets_within_texts_are_not_counted() -> None:
    deep = Event("1", "/s", "t", "[" * 50 + '\\"[')
    assert decode(encode(deep)) == deep


@pytest.mark.parametrize("name", ["data", "id", "batch_number", "Number", "x" * 21, ""])
def test_a_wrong_name_of_an_extension_is_a_bug(name: str) -> None:
    with pytest.raises(ValueError, match="no extension"):
        encode(replace(EVENT, extensions={name: 1}))


@pytest.mark.parametrize("value", [2**31, 1.5, None, "x" * (LONGEST + 1)])
def test_a_wrong_value_of_an_extension_is_a_bug(value: Any) -> None:
    with pytest.raises(ValueError, match="no extension"):
        encode(replace(EVENT, extensions={"number": value}))
