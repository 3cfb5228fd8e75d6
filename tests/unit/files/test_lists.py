"""Columns that hold lists: JSON lines and Parquet give the same rows, and what cannot be read refuses its row."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from postroad.connectors.files.settings import FilesSettings
from postroad.connectors.mongodb import encode
from postroad.connectors.mongodb.encode import Forms
from postroad.connectors.mongodb.operations import nested
from postroad.errors import PostroadError
from tests.unit.files.drops import Drop

LINES = {"item": "text", "price.amount": "decimal", "due": {"type": "date", "as": "dueDate"}, "at": "datetime"}
ORDERS: dict[str, Any] = {
    "files": "a.*",
    "key": ["order"],
    "columns": {"order": "text"},
    "lists": {"lines": LINES, "tags": "text", "counts": "int"},
}
DAY = dt.date(2026, 12, 1)
AT = dt.datetime(2026, 11, 22, 7, 0, 0, 123456, dt.UTC)
PRICE = {"amount": 2.5, "currency": "SEK"}
LINE = {"item": "A", "price": PRICE, "due": "2026-12-01", "at": "2026-11-22T07:00:00.123456Z"}
READ = {"item": "A", "price_amount": Decimal("2.5"), "dueDate": DAY, "at": AT}
NONE = dict.fromkeys(READ)


def lines(*rows: Any) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(row, default=_text).encode() + b"\n" for row in rows)


def _text(value: Any) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def parquet(**columns: Any) -> bytes:
    body = io.BytesIO()
    pq.write_table(pa.table(columns), body)
    return body.getvalue()


def drop(folder: Path, name: str, body: bytes, **changes: Any) -> Drop:
    """A drop folder with one file."""
    made = Drop(folder, {**ORDERS, **changes}, {"time_zone": "Europe/Stockholm"})
    made.put(name, body)
    return made


def read(folder: Path, name: str, body: bytes, **changes: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """Its rows without ours, and its refusals."""
    made = drop(folder, name, body, **changes)
    rows, refusals = made.parsed(made.fetched())
    return [{key: value for key, value in row.items() if key[0] != "_"} for row in rows], refusals


def test_lists_of_json_lines(tmp_path: Path) -> None:
    body = lines(
        {"order": "1", "lines": [LINE, None, {"other": 7}], "tags": ["x", None, ""], "counts": [1, "2"]},
        {"order": "2", "lines": [], "tags": None},
    )
    rows, refusals = read(tmp_path, "a.jsonl", body)
    assert not refusals
    assert rows == [
        {"order": "1", "lines": [READ, None, NONE], "tags": ["x", None, None], "counts": [1, 2]},
        {"order": "2", "lines": [], "tags": None, "counts": None},
    ]


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
def test_lists_of_parquet(tmp_path: Path, kind: Any) -> None:
    price = pa.struct([("amount", pa.decimal128(9, 2)), ("currency", pa.string())])
    line = pa.struct([("at", pa.timestamp("ns", "UTC")), ("due", pa.date32()), ("item", pa.string()), ("price", price)])
    found = {"at": AT, "due": DAY, "item": "A", "price": {"amount": Decimal("2.50"), "currency": "SEK"}}
    body = parquet(
        order=["1", "2", "3"],
        lines=pa.array([[found, None, dict.fromkeys(found)], [], None], kind(line)),
        tags=pa.array([["x", None], None, []], kind(pa.dictionary(pa.int8(), pa.string()))),
        counts=pa.array([[1, 2]] * 3, pa.list_(pa.int16(), 2)),
    )
    rows, refusals = read(tmp_path, "a.parquet", body)
    assert not refusals
    assert rows == [
        {"order": "1", "lines": [READ, None, NONE], "tags": ["x", None], "counts": [1, 2]},
        {"order": "2", "lines": [], "tags": None, "counts": [1, 2]},
        {"order": "3", "lines": None, "tags": [], "counts": [1, 2]},
    ]


def test_lists_of_parquet_that_are_all_empty_or_null(tmp_path: Path) -> None:
    """Writers then know no type of what is in them, or none at all."""
    body = parquet(order=["1", "2", "3"], lines=[[], None, [None]], tags=[[], None, [None]], counts=[None] * 3)
    rows, refusals = read(tmp_path, "a.parquet", body)
    assert not refusals
    assert [(row["lines"], row["tags"], row["counts"]) for row in rows] == [
        ([], [], None),
        (None, None, None),
        ([None], [None], None),
    ]


def test_members_of_structures_are_columns_in_parquet_too(tmp_path: Path) -> None:
    whole = {"city": "Ystad", "lines": [{"item": "A"}]}
    columns = {"order": ["1", "2", "3"], "to": [whole, None, {"city": None, "lines": []}], "to.name": ["x", "y", "z"]}
    declared = {"order": "text", "to.city": "text", "to.name": "text"}
    lists = {"to.lines": {"item": "text"}}
    rows, refusals = read(tmp_path, "a.parquet", parquet(**columns), columns=declared, lists=lists)
    assert not refusals
    assert rows == [
        {"order": "1", "to_city": "Ystad", "to_name": "x", "to_lines": [{"item": "A"}]},
        {"order": "2", "to_city": None, "to_name": "y", "to_lines": None},
        {"order": "3", "to_city": None, "to_name": "z", "to_lines": []},
    ]
    wrong = {"order": "text", "to.town": "text"}
    with pytest.raises(PostroadError, match=r"no column 'to\.town'; it has 'order', 'to', 'to\.name', 'to\.city'"):
        drop(tmp_path, "a.parquet", parquet(**columns), columns=wrong, lists={}).fetched()


@pytest.mark.parametrize(("row", "cause", "sentence"), [
    ({"lines": LINE}, "wrong_type", "a.jsonl, line 2, lines, is no list"),
    ({"lines": "A"}, "wrong_type", "line 2, lines, is no list"),
    ({"lines": [LINE, "A"]}, "wrong_type", "line 2, lines, entry 2 is no object"),
    ({"lines": [[LINE]]}, "wrong_type", "line 2, lines, entry 1 is no object"),
    ({"lines": [True]}, "wrong_type", "line 2, lines, entry 1 is no object"),
    ({"lines": [LINE, {"due": "soon"}]}, "bad_date", "line 2, lines, entry 2, due, is no date"),
    ({"lines": [{"item": {"code": "A"}}]}, "bad_text", "line 2, lines, entry 1, item, is no text"),
    ({"lines": [{"at": "2026-03-29T02:30:00"}]}, "nonexistent_time", "line 2, lines, entry 1, at, is a time that"),
    ({"tags": ["x", {"y": 1}]}, "wrong_type", "line 2, tags, entry 2 is no plain value"),
    ({"tags": [["x"]]}, "wrong_type", "line 2, tags, entry 1 is no plain value"),
    ({"counts": [1, 2.5]}, "bad_number", "line 2, counts, entry 2 is no whole number"),
])  # fmt: skip
def test_a_list_that_cannot_be_read_refuses_its_row(tmp_path: Path, row: Any, cause: str, sentence: str) -> None:
    good = {"order": "1", "lines": [LINE], "tags": ["x"], "counts": [1]}
    body = lines(good, {"order": "2", **row}, {**good, "order": "3"})
    rows, (refusal,) = read(tmp_path, "a.jsonl", body)
    assert [each["order"] for each in rows] == ["1", "3"]
    assert [each["lines"] for each in rows] == [[READ], [READ]]
    assert (refusal.cause, refusal.key) == (cause, '["2"]')
    assert sentence in refusal.sentence
    assert json.loads(refusal.raw)["order"] == "2"


def test_a_broken_line_between_others_shifts_no_list(tmp_path: Path) -> None:
    body = lines({"order": "1", "tags": ["a"]}) + b"{broken\n" + lines({"order": "2", "tags": ["b"]})
    rows, refusals = read(tmp_path, "a.jsonl", body)
    assert [(each["order"], each["tags"]) for each in rows] == [("1", ["a"]), ("2", ["b"])]
    assert [each.cause for each in refusals] == ["bad_json"]


def test_an_entry_of_parquet_that_cannot_be_read_refuses_its_row(tmp_path: Path) -> None:
    body = parquet(order=["1", "2"], tags=[["1", "x"], ["3"]])
    rows, (refusal,) = read(tmp_path, "a.parquet", body, lists={"tags": "int"})
    assert [(each["order"], each["tags"]) for each in rows] == [("2", [3])]
    assert refusal.sentence == "a.parquet, row 1, tags, entry 2 is no whole number that fits into 64 bits"


def test_a_time_in_a_list_that_names_two_instants_is_kept_as_text(tmp_path: Path) -> None:
    twice = {"at": "2026-10-25T02:30:00"}
    made = drop(tmp_path, "a.jsonl", lines({"order": "1", "lines": [LINE, twice, twice]}))
    (row,), _ = made.parsed(made.fetched())
    text = "2026-10-25T02:30:00"
    assert row["_ambiguous"] == [("lines", f"[1].at {text}; [2].at {text}")]
    assert row["lines"][1]["at"] == dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(("name", "body", "sentence"), [
    ("a.csv", b"order,lines\n1,[]\n", "a.csv is csv, which has no lists"),
    ("a.parquet", parquet(order=["1"], lines=["[]"]), "a column 'lines' that is string, and no list of objects"),
    ("a.parquet", parquet(order=["1"], lines=[["A"]]), "'lines' that is list<element: string>, and no list of objects"),
    ("a.parquet", parquet(order=["1"], lines=[[{"itm": "A"}]]), "no 'item' in its lists 'lines'; it has 'itm'"),
    ("a.parquet", parquet(order=["1"]), "no column 'lines'"),
    ("a.parquet", parquet(order=["1"], lines=pa.array([[("A", "B")]], pa.map_(pa.string(), pa.string()))), "map<"),
])  # fmt: skip
def test_a_file_without_such_lists_is_refused_whole(tmp_path: Path, name: str, body: bytes, sentence: str) -> None:
    with pytest.raises(PostroadError) as told:
        drop(tmp_path, name, body, lists={"lines": {"item": "text"}}).fetched()
    assert sentence in str(told.value)


@pytest.mark.parametrize("entry", [["a"], {"a": 1}])
def test_a_parquet_file_with_more_in_its_lists_than_plain_values_is_refused_whole(tmp_path: Path, entry: Any) -> None:
    with pytest.raises(PostroadError, match="and no list of plain values"):
        drop(tmp_path, "a.parquet", parquet(order=["1"], tags=[[entry]]), lists={"tags": "text"}).fetched()


def test_a_page_that_landed_before_a_member_was_declared_can_still_be_read(tmp_path: Path) -> None:
    body = parquet(order=["1"], lines=[[{"item": "A"}]])
    before = drop(tmp_path, "a.parquet", body, lists={"lines": {"item": "text"}})
    landed = before.fetched()
    after = Drop(tmp_path, {**ORDERS, "lists": {"lines": {"item": "text", "due": "date"}, "tags": "text"}})
    rows, refusals = after.parsed(landed)
    assert (rows[0]["lines"], refusals) == ([{"item": "A", "due": None}], [])
    assert "tags" not in rows[0], "absent, and so not overwritten"


@pytest.mark.parametrize(("dataset", "words"), [
    ({"files": "*.csv"}, "lists are of JSON lines and Parquet files; a csv file has none"),
    ({"format": "xlsx"}, "a xlsx file has none"),
    ({"key": ["lines"]}, "'lines', which is a list"),
    ({"lists": {"order": "text"}}, "both one of the columns and one of the lists"),
    ({"lists": {"Order": "text"}}, "would both be the column"),
    ({"lists": {"lines": {}}}, "at least 1 item"),
    ({"lists": {"lines": "texts"}}, "'text'"),
    ({"lists": {"lines": {"a b": "text", "a_b": "text"}}}, "would both be the column"),
    ({"lists": {"lines": {"": "text", "a": "text"}}}, "a member without a caption"),
    ({"lists": {"lines": {"a": {"b": "text"}}}}, "lines.a"),
])  # fmt: skip
def test_a_mistake_is_told(dataset: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as told:
        FilesSettings.model_validate({"folder": "/drop", "datasets": {"orders": {**ORDERS, **dataset}}})
    assert words in str(told.value)


texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=5)
amounts = st.none() | st.decimals(-(10**20), 10**20, places=9)
days = st.none() | st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))
entry = st.fixed_dictionaries({"item": texts, "amount": amounts, "due": days})
order = st.tuples(st.none() | st.lists(st.none() | entry, max_size=3), st.none() | st.lists(texts, max_size=3))


@settings(max_examples=20)
@given(orders=st.lists(order, min_size=1, max_size=6))
def test_what_was_dropped_is_what_a_document_holds(tmp_path_factory: pytest.TempPathFactory, orders: list[Any]) -> None:
    """JSON → rows → the lake's Parquet → a document, read by the driver."""
    dropped = [{"order": str(number), "lines": one, "tags": two} for number, (one, two) in enumerate(orders)]
    folder = tmp_path_factory.mktemp("drop")
    lists = {"lines": {"item": "text", "amount": "decimal", "due": "date"}, "tags": "text"}
    made = drop(folder, "a.jsonl", lines(*dropped), lists=lists)
    (payload,) = made.fetched()
    records = pa.Table.from_batches([each.records for each in made.source().parse(made.feed(), payload)])
    body = io.BytesIO()
    pq.write_table(records.select(["order", "lines", "tags"]), body)
    (batch,) = pq.read_table(body).to_batches()
    elements, _ = encode.tree(nested(batch.schema.names, batch), Forms())
    found = [bson.decode(each) for each in encode.document(elements, batch.num_rows).to_pylist()]
    assert found == [{**each, "lines": each["lines"] and [_held(one) for one in each["lines"]]} for each in dropped]


def _held(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """An entry as the driver gives it."""
    if found is None:
        return None
    amount, due = found["amount"], found["due"]
    return {
        "item": found["item"],
        "amount": None if amount is None else Decimal128(f"{amount:.9f}"),
        "due": None if due is None else dt.datetime(due.year, due.month, due.day),  # noqa: DTZ001 (as the driver)
    }
