"""Arrow as BSON, byte for byte what the driver makes of the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.connectors.mongodb import encode
from postroad.connectors.mongodb.encode import Forms
from postroad.connectors.mongodb.operations import nested
from postroad.errors import ConfigError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PEOPLE = pa.list_(pa.struct([("name", pa.string()), ("born", pa.date32()), ("pay", pa.decimal128(38, 2))]))


def of(kind: pa.DataType, values: list[Any], forms: Forms | None = None) -> list[Any]:
    """A column as documents, read by the driver."""
    element = encode.column("it", pa.array(values, kind), forms or Forms())
    documents = encode.document([element.data], len(values))
    return [bson.decode(each)["it"] for each in documents.to_pylist()]


def whole(value: date | None) -> datetime | None:
    """The midnight of a day."""
    return None if value is None else datetime(value.year, value.month, value.day, tzinfo=UTC)


def instant(value: datetime | None) -> datetime | None:
    """Cut to the millisecond, downwards."""
    if value is None:
        return None
    return EPOCH + timedelta(milliseconds=(value - EPOCH) // timedelta(milliseconds=1))


def long(value: int | None) -> Int64 | None:
    """What the driver writes with 64 bits."""
    return None if value is None else Int64(value)


def same(value: Any) -> Any:
    """The value itself."""
    return value


def exact(value: Decimal | None) -> Decimal128 | None:
    """With the column's scale."""
    return None if value is None else Decimal128(f"{value:.9f}")


def people(rows: list[dict[str, Any]] | None) -> Any:
    """A list of structures as the driver takes it."""
    return rows and [
        each and {"name": each["name"], "born": whole(each["born"]), "pay": paid(each["pay"])} for each in rows
    ]


def paid(value: Decimal | None) -> Decimal128 | None:
    """With the scale of the structure's field."""
    return None if value is None else Decimal128(f"{value:.2f}")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
days = st.dates(date(1, 1, 1), date(9999, 12, 31))
pays = st.integers(-9999, 9999).map(lambda cents: Decimal(cents).scaleb(-2))
person = st.fixed_dictionaries({"name": st.none() | texts, "born": st.none() | days, "pay": st.none() | pays})
COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any], Callable[[Any], Any]]] = {
    "text": (pa.string(), texts, same),
    "large": (pa.large_string(), texts, same),
    "truth": (pa.bool_(), st.booleans(), same),
    "tiny": (pa.int8(), st.integers(-128, 127), same),
    "whole": (pa.int32(), st.integers(-(2**31), 2**31 - 1), same),
    "count": (pa.uint32(), st.integers(0, 2**32 - 1), long),
    "big": (pa.int64(), st.integers(-(2**63), 2**63 - 1), long),
    "share": (pa.float64(), st.floats(allow_nan=False), same),
    "small": (pa.float32(), st.floats(width=32, allow_nan=False), same),
    "bytes": (pa.binary(), st.binary(max_size=5), same),
    "day": (pa.date32(), days, whole),
    "at": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC)), instant),
    "money": (pa.decimal128(38, 9), st.decimals(-(10**24), 10**24, places=9), exact),
    "narrow": (pa.decimal128(20, 9), st.decimals(-(10**10), 10**10, places=9), exact),
    "people": (PEOPLE, st.lists(st.none() | person, max_size=3), people),
    "numbers": (pa.list_(pa.int64()), st.lists(st.none() | st.integers(-9, 9), max_size=12),
                lambda found: found and [long(each) for each in found]),
    "where.city": (pa.string(), texts, same),
    "where.place.x": (pa.float64(), st.floats(allow_nan=False), same),
}  # fmt: skip
NUMBERS = st.integers(-(10**38) + 1, 10**38 - 1) | st.builds(
    lambda digits, zeros: digits * 10**zeros, st.integers(-(10**30), 10**30), st.integers(0, 7)
)
rows = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, values, _) in COLUMNS.items()}), min_size=1
)


@settings(max_examples=30)
@given(rows, st.integers(0, 3))
def test_documents_are_those_of_the_driver(found: list[dict[str, Any]], skipped: int) -> None:
    schema = pa.schema([(name, kind) for name, (kind, _, _) in COLUMNS.items()])
    skipped = min(skipped, len(found) - 1)
    batch = pa.RecordBatch.from_pylist(found, schema).slice(skipped)
    elements, bad = encode.tree(nested(schema.names, batch), Forms())
    assert bad is None
    for data, row in zip(encode.document(elements, batch.num_rows).to_pylist(), found[skipped:], strict=True):
        values = {name: made(row[name]) for name, (_, _, made) in COLUMNS.items()}
        city, x = values.pop("where.city"), values.pop("where.place.x")
        assert data == bson.encode({**values, "where": {"city": city, "place": {"x": x}}})


@pytest.mark.parametrize(("kind", "value", "text"), [
    (pa.time64("us"), time(23, 59, 59, 999_999), "23:59:59.999999"),
    (pa.time32("s"), time(1, 2, 3), "01:02:03"),
    (pa.timestamp("us"), datetime(2026, 3, 29, 2, 30), "2026-03-29T02:30:00.000000"),  # noqa: DTZ001 (a local time)
    (pa.dictionary(pa.int8(), pa.string()), "red", "red"),
    (pa.null(), None, None),
])  # fmt: skip
def test_what_bson_has_no_type_for_is_a_text(kind: pa.DataType, value: Any, text: str | None) -> None:
    assert of(kind, [value, None]) == [text, None]


def test_texts_on_demand() -> None:
    forms = Forms("text", "text", "text")
    assert of(pa.decimal128(38, 9), [Decimal("-0.000000001")], forms) == ["-0.000000001"]
    assert of(pa.date32(), [date(2026, 11, 21)], forms) == ["2026-11-21"]
    at = datetime(2026, 11, 21, 18, 30, 0, 1, UTC)
    assert of(pa.timestamp("us", "UTC"), [at], forms) == ["2026-11-21T18:30:00.000001Z"]


def test_times_before_1970_are_cut_downwards_too() -> None:
    at = datetime(1969, 12, 31, 23, 59, 59, 999_001, UTC)
    assert of(pa.timestamp("us", "UTC"), [at]) == [at.replace(microsecond=999_000, tzinfo=None)]
    assert of(pa.timestamp("ns", "UTC"), [at]) == [at.replace(microsecond=999_000, tzinfo=None)]


@settings(max_examples=30)
@given(st.lists(st.none() | NUMBERS, min_size=1, max_size=6))
def test_a_decimal_of_more_than_34_digits_is_found_and_never_rounded(numbers: list[int | None]) -> None:
    values = [None if each is None else Decimal((each < 0, tuple(map(int, str(abs(each)))), -9)) for each in numbers]
    element = encode.column("it", pa.array(values, pa.decimal128(38, 9)), Forms())
    bad = [False] * len(numbers) if element.bad is None else element.bad.to_pylist()
    fits = [each is None or len(str(abs(each)).rstrip("0")) <= 34 for each in numbers]
    assert [not each for each in bad] == fits
    documents = encode.document([element.data], len(numbers)).to_pylist()
    for value, data, fit in zip(values, documents, fits, strict=True):
        if fit:
            held = bson.decode(data)["it"]
            assert (held and held.to_decimal()) == value


def test_a_bad_decimal_in_a_list_is_that_of_its_row() -> None:
    long_one = Decimal("1" * 36 + ".5")
    values = [[Decimal(1)], None, [], [Decimal(2), long_one], [None]]
    element = encode.column("it", pa.array(values, pa.list_(pa.decimal128(38, 1))), Forms())
    assert element.bad is not None
    assert element.bad.to_pylist() == [False, False, False, True, False]


@pytest.mark.parametrize(("columns", "sentence"), [
    ({"a": pa.array([{"k": 1}], pa.map_(pa.string(), pa.int64()))}, "no type"),
    ({"a": pa.array([1], pa.uint64())}, "no type"),
    ({"$a": pa.array([1])}, "does not take"),
    ({"a.": pa.array([1])}, "does not take"),
    ({"a": pa.array([1]), "a.b": pa.array([1])}, "same field"),
    ({"a.b": pa.array([1]), "a": pa.array([1])}, "same field"),
    ({"a": pa.array([{"$b": 1}])}, "does not take"),
])  # fmt: skip
def test_a_column_that_a_document_cannot_have_is_told(columns: Mapping[str, pa.Array], sentence: str) -> None:
    batch = pa.RecordBatch.from_pydict(dict(columns))
    with pytest.raises(ConfigError, match=sentence):
        encode.tree(nested(batch.schema.names, batch), Forms())
