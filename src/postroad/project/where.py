"""The conditions that a delivery may set: `where: status = 'open' and company in ('se01', 'no01')`.

A small part of SQL, read here and bound to a dataset's columns: comparisons of a column with values, `in`, `like`,
`is null`, `and`, `or`, `not` and brackets. It calls nothing, asks no clock and cannot fail on a row, so a rule says the
same of a row wherever and whenever it is asked. Null is as in SQL: a comparison with it is neither true nor false.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

LONGEST = 10_000  # characters
DEEPEST = 50  # brackets and `not`s in each other
TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+")|(?P<number>[-+]?\d+(?:\.\d+)?(?![\w.]))"""
    r"""|(?P<word>[^\W\d]\w*)|(?P<sign><=|>=|<>|!=|[=<>(),]))"""
)
WORDS = ("and", "or", "not", "in", "like", "is", "null", "true", "false")
SIGNS: dict[str, Callable[..., pa.Array]] = {
    "=": pc.equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}

Literal = str | Decimal | bool
Bound = Callable[[pa.RecordBatch], pa.Array]  # true, false or null for each row
T = pa.types


class WhereError(ValueError):
    """A condition that cannot be read, or does not suit its column; the sentence says where."""


@dataclass(frozen=True)
class Test:
    """One column against values: a sign, `in`, `like`, or `is null`, which has none."""

    column: str
    sign: str
    values: tuple[Literal, ...] = ()


@dataclass(frozen=True)
class Not:
    """What is false where that is true, and the other way round."""

    of: Condition


@dataclass(frozen=True)
class Joined:
    """Two conditions or more under one word: all (`and`), or at least one (`or`)."""

    word: str
    parts: tuple[Condition, ...]


Condition = Test | Not | Joined


def parse_where(text: str) -> Condition:
    """The condition that a text holds; WhereError with what was expected where."""
    if len(text) > LONGEST:
        raise WhereError(f"is longer than {LONGEST:,} characters")
    reader = _Reader(list(_tokens(text)))
    found = reader.joined("or")
    if reader.kind:
        raise reader.expected("'and', 'or' or the end")
    return found


def columns_of(condition: Condition) -> Iterator[str]:
    """The columns that a condition asks for."""
    if isinstance(condition, Test):
        yield condition.column
    elif isinstance(condition, Not):
        yield from columns_of(condition.of)
    else:
        for part in condition.parts:
            yield from columns_of(part)


def bind(condition: Condition, schema: pa.Schema) -> Bound:
    """What tells for each row of a batch with these columns whether it meets the condition; WhereError."""
    if isinstance(condition, Test):
        return _bound(condition, schema.field(condition.column).type)
    if isinstance(condition, Not):
        inner = bind(condition.of, schema)
        return lambda rows: pc.invert(inner(rows))
    join = pc.and_kleene if condition.word == "and" else pc.or_kleene
    parts = [bind(part, schema) for part in condition.parts]
    return lambda rows: reduce(join, (part(rows) for part in parts))


def _bound(test: Test, kind: pa.DataType) -> Bound:
    name = test.column
    if test.sign == "is null":
        return lambda rows: pc.is_null(rows.column(name))
    if T.is_nested(kind):
        raise WhereError(f"{name} holds lists or structures, of which a condition only asks `is null`")
    if test.sign == "like":
        if not (T.is_string(kind) or T.is_large_string(kind)):
            raise WhereError(f"{name} is {kind}, and like is for texts")
        pattern = str(test.values[0])
        return lambda rows: pc.match_like(rows.column(name), pattern)
    values = [_scalar(name, value, kind) for value in test.values]
    if test.sign == "in":
        known = pa.array([value.as_py() for value in values], kind)
        # Of a null Arrow says that it is in no list; SQL, and so we, say nothing of it.
        return lambda rows: _unless_null(rows.column(name), pc.is_in(rows.column(name), known))
    compare, value = SIGNS[test.sign], values[0]
    return lambda rows: compare(rows.column(name), value)


def _unless_null(column: pa.Array, found: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_valid(column), found, pa.scalar(None, pa.bool_()))


def _scalar(name: str, value: Literal, kind: pa.DataType) -> pa.Scalar:
    """A value as one of its column's type, exactly."""
    numeric = T.is_integer(kind) or T.is_floating(kind) or T.is_decimal(kind)
    suits = isinstance(value, Decimal) if numeric else isinstance(value, bool) if T.is_boolean(kind) else False
    suits = suits or (isinstance(value, str) and (T.is_string(kind) or T.is_large_string(kind) or T.is_temporal(kind)))
    if suits:
        with suppress(pa.ArrowException, ValueError, OverflowError):
            return _exactly(value, kind)
    shown = "a text" if isinstance(value, str) else "true or false" if isinstance(value, bool) else "a number"
    hint = " such as '2026-10-01'" if T.is_date(kind) or T.is_timestamp(kind) else ""
    raise WhereError(f"{name} is {kind}{hint}, which {shown} here is not")


def _exactly(value: Literal, kind: pa.DataType) -> pa.Scalar:
    if isinstance(value, Decimal):
        if T.is_floating(kind):
            return pa.scalar(float(value), kind)
        return pa.scalar(value).cast(kind)
    if isinstance(value, str) and T.is_timestamp(kind):
        instant = datetime.fromisoformat(value)
        if kind.tz is None:
            return pa.scalar(instant.replace(tzinfo=None) if instant.tzinfo is None else "", kind)
        return pa.scalar(instant if instant.tzinfo else instant.replace(tzinfo=UTC), kind)
    return pa.scalar(value).cast(kind)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        found = TOKEN.match(text, at)
        if found is None:
            raise WhereError(f"cannot be read from `{text[at:].strip()[:20]}` on; texts stand in 'single quotes'")
        kind = str(found.lastgroup)
        word = found[kind]
        if kind == "word" and word.lower() in WORDS:
            kind, word = word.lower(), word.lower()
        yield kind, word
        at = found.end()


class _Reader:
    """Reads one condition from its tokens; `kind` and `word` are those of the token at hand, empty at the end."""

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    @property
    def word(self) -> str:
        return self._tokens[self._at][1] if self.kind else ""

    def expected(self, what: str) -> WhereError:
        """The error that something else stands here."""
        return WhereError(f"expected {what} " + (f"at `{self.word}`" if self.kind else "at its end"))

    def take(self, *kinds: str) -> str | None:
        """The token's word if it is of one of these kinds, or is that sign; then the next one is at hand."""
        if self.kind and (self.kind in kinds or (self.kind == "sign" and self.word in kinds)):
            word = self.word
            self._at += 1
            return word
        return None

    def need(self, what: str, *kinds: str) -> str:
        found = self.take(*kinds)
        if found is None:
            raise self.expected(what)
        return found

    def joined(self, word: str) -> Condition:
        """Conditions under `or`, each of which may be some under `and`."""
        parts = [self.part(word)]
        while self.take(word):
            parts.append(self.part(word))
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def part(self, word: str) -> Condition:
        return self.joined("and") if word == "or" else self.single()

    def single(self) -> Condition:
        self._depth += 1
        if self._depth > DEEPEST:
            raise WhereError(f"is nested more than {DEEPEST} deep")
        try:
            if self.take("not"):
                return Not(self.single())
            if self.take("("):
                found = self.joined("or")
                self.need("')'", ")")
                return found
            return self.test()
        finally:
            self._depth -= 1

    def test(self) -> Condition:
        written = self.need("a column", "word", "quoted")
        column = written[1:-1].replace('""', '"') if written.startswith('"') else written
        if self.take("is"):
            no = self.take("not")
            self.need("'null'", "null")
            return _unless(Test(column, "is null"), no)
        no = self.take("not")
        if self.take("in"):
            return _unless(Test(column, "in", tuple(self.values())), no)
        if self.take("like"):
            return _unless(Test(column, "like", (self.text(),)), no)
        if no:
            raise self.expected("'in' or 'like'")
        sign = self.need("=, <>, <, <=, >, >=, 'in', 'like' or 'is'", *SIGNS, "!=")
        return Test(column, "<>" if sign == "!=" else sign, (self.value(),))

    def values(self) -> Iterator[Literal]:
        self.need("'('", "(")
        yield self.value()
        while self.take(","):
            yield self.value()
        self.need("',' or ')'", ")")

    def text(self) -> str:
        return self.need("a text in 'single quotes'", "text")[1:-1].replace("''", "'")

    def value(self) -> Literal:
        if self.kind == "null":
            raise WhereError("compares with null, which is never true: write `is null`")
        if self.kind == "text":
            return self.text()
        if (word := self.take("true", "false")) is not None:
            return word == "true"
        return Decimal(self.need("a text in 'single quotes', a number, true or false", "number"))


def _unless(test: Test, no: str | None) -> Condition:
    return Not(test) if no else test
