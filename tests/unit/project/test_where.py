"""`where`: what may be written, what it means, and what a person is told of what may not."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from postroad.project import Cleaning
from postroad.project.where import WhereError, bind, columns_of, parse_where
from postroad.records import MONEY, Entity

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        ("amount", MONEY),
        ("share", pa.float64()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("open", pa.bool_()),
        ("two words", pa.string()),
        ("raw", pa.binary()),
    ]
)
ROW = {
    "id": 7,
    "amount": Decimal("1.5"),
    "share": 0.1,
    "day": date(2026, 10, 1),
    "at": datetime(2026, 10, 1, 8, tzinfo=UTC),
    "open": True,
    "two words": 'a "word"',
}


@pytest.mark.parametrize(
    "text",
    [
        "id = 7", "amount = 1.5", "amount >= 1.50", "share = 0.1", "share > -1", "day = '2026-10-01'",
        "at = '2026-10-01T10:00:00+02:00'", "at = '2026-10-01T08:00:00'", "at > '2026-10-01'", "open = true",
        "NOT open = FALSE", '"two words" like \'a "w%\'', "raw is null", "id IN (1, 7)", "id not in (1,2)",
        "id = 1 or id = 7 and open = true", "not (id = 1 and id = 7)",
    ],
)  # fmt: skip
def test_what_a_row_meets(text: str) -> None:
    rows = pa.RecordBatch.from_pylist([ROW], SCHEMA)
    assert bind(parse_where(text), SCHEMA)(rows).to_pylist() == [True]


@pytest.mark.parametrize("text", ["day > '2026-01-01'", "not day = '2026-01-01'", "day in ('2026-01-01')",
                                  "not day in ('2026-01-01')", "open = true and day = '2026-01-01'"])  # fmt: skip
def test_of_null_nothing_is_said(text: str) -> None:
    rows = pa.RecordBatch.from_pylist([{**ROW, "day": None}], SCHEMA)
    assert bind(parse_where(text), SCHEMA)(rows).to_pylist() == [None]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected a column at its end"),
        ("id", "expected =, <>, <, <=, >, >=, 'in', 'like' or 'is' at its end"),
        ("id == 1", "expected a text in 'single quotes', a number, true or false at `=`"),
        ("id = null", "write `is null`"),
        ("id = 1 id = 2", "expected 'and', 'or' or the end at `id`"),
        ("(id = 1", "expected ')' at its end"),
        ("id = other", "expected a text in 'single quotes', a number, true or false at `other`"),
        ('id = "x"', 'at `"x"`'),
        ("lower(name) = 'x'", "at `(`"),
        ("id in (select 1)", "at `select`"),
        ("id = 1; drop table x", "cannot be read from `; drop table x` on"),
        ("id = 1 -- all", "cannot be read from `-- all` on"),
        ("id = 'x", "cannot be read from `'x` on"),
        ("id = 12abc", "cannot be read from `12abc` on"),
        ("id not = 1", "expected 'in' or 'like' at `=`"),
        ("(" * 60 + "id = 1" + ")" * 60, "nested more than 50 deep"),
        ("id = 1" + " " * 10_000, "longer than 10,000 characters"),
    ],
)
def test_what_cannot_be_read(text: str, sentence: str) -> None:
    with pytest.raises(WhereError) as raised:
        parse_where(text)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id = '7'", "id is int64, which a text here is not"),
        ("id = 1.5", "id is int64, which a number here is not"),
        ("amount = 0.0000000001", "amount is decimal128(38, 9), which a number here is not"),
        ("day = 'yesterday'", "day is date32[day] such as '2026-10-01', which a text here is not"),
        ("open = 1", "open is bool, which a number here is not"),
        ('"two words" = true', "two words is string, which true or false here is not"),
        ("raw = 'x'", "raw is binary, which a text here is not"),
        ("id like '7%'", "id is int64, and like is for texts"),
    ],
)
def test_what_does_not_suit_its_column(text: str, sentence: str) -> None:
    with pytest.raises(WhereError) as raised:
        bind(parse_where(text), SCHEMA)
    assert str(raised.value) == sentence


def test_the_columns_of_a_condition() -> None:
    assert [*columns_of(parse_where('not (a = 1 or "b c" is null) and d in (1)'))] == ["a", "b c", "d"]


def test_a_digest_tells_rules_apart_and_not_their_spelling() -> None:
    base = Cleaning(("a", "b"), {"a": "x"}, parse_where("a = 1"), {"c": 1})
    same = Cleaning(("b", "a"), {"a": "x"}, parse_where("( a=1 )"), {"c": 1})
    others = [
        Cleaning(("a",), {"a": "x"}, parse_where("a = 1"), {"c": 1}),
        Cleaning(("a", "b"), {}, parse_where("a = 1"), {"c": 1}),
        Cleaning(("a", "b"), {"a": "x"}, parse_where("a = 2"), {"c": 1}),
        Cleaning(("a", "b"), {"a": "x"}, parse_where("a = '1'"), {"c": 1}),
        Cleaning(("a", "b"), {"a": "x"}, parse_where("a = 1"), {"c": True}),
        Cleaning(None, {"a": "x"}, parse_where("a = 1"), {"c": 1}),
        Cleaning(),
    ]
    assert base.digest == same.digest
    assert len({base.digest, *(each.digest for each in others)}) == len(others) + 1


def test_what_a_target_is_told_of() -> None:
    entity = Entity("things", ("id",), SCHEMA)
    told = Cleaning(("day",), {"id": "number"}, None, {"company": "se01", "open": 1}).target("t", entity)
    assert (told.name, told.key, told.schema.names) == ("t", ("number",), ["number", "day", "company", "open"])
    assert told.schema.field("open").type == pa.int64()
    assert not told.schema.field("number").nullable
