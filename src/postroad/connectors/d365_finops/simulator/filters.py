"""`$filter`: the part of its grammar that Finance & Operations takes (fact sheet 5), as masks over columns.

Our own parser: those at hand do not take enum members such as `Microsoft.Dynamics.DataEntities.NoYes'Yes'`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.simulator.entities import Entity, Field
from postroad.connectors.d365_finops.simulator.mistakes import RefusedError
from postroad.connectors.d365_finops.simulator.texts import plain
from postroad.connectors.d365_finops.simulator.values import held_value

NAMESPACE = "Microsoft.Dynamics.DataEntities"

Columns = Callable[[Field], pa.Array]
Mask = Callable[[Columns], pa.Array]
"""From the columns of some rows to which of them match."""

_TOKEN = re.compile(
    r"\s*(?:(?P<paren>[()])|(?P<enum>[A-Za-z_][\w.]*'(?:[^']|'')*')|(?P<text>'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*))"
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": pc.equal,
    "ne": pc.not_equal,
    "gt": pc.greater,
    "ge": pc.greater_equal,
    "lt": pc.less,
    "le": pc.less_equal,
}


@dataclass(frozen=True)
class Token:
    """A word of a filter."""

    kind: str
    text: str


def tokens(text: str) -> Iterator[Token]:
    """The words of a filter; RefusedError for what is none."""
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise invalid(f"Syntax error at position {place} in '{text}'.")
        yield Token(found.lastgroup, found[found.lastgroup])
        place = found.end()


def parsed(text: str, entity: Entity, ignore_case: bool) -> Mask:
    """The mask of a filter; RefusedError for one that is not understood."""
    reader = _Reader(list(tokens(text)), entity, ignore_case)
    mask = reader.either()
    if reader.next is not None:
        raise invalid(f"Syntax error at '{reader.next.text}' in '{text}'.")
    return mask


def property_of(entity: Entity, name: str) -> Field:
    """The property of that name, whose case counts; RefusedError if there is none."""
    if name not in entity.by_name:
        raise invalid(f"Could not find a property named '{name}' on type '{NAMESPACE}.{entity.name}'.")
    return entity.by_name[name]


def invalid(reason: str) -> RefusedError:
    """The error of a query that is not understood."""
    return RefusedError(f"The query specified in the URI is not valid. {reason}", 400)


def literal(field: Field, token: Token) -> Any:
    """The value of a literal for that property; RefusedError where the two do not agree."""
    if token.kind == "word" and token.text == "null":
        return None
    fitting = {"s": "text", "m": "text", "e": "enum", "b": "enum", "d": "time", "t": "time"}.get(field.kind, "number")
    if token.kind != fitting:
        raise invalid(f"A value of '{field.name}' cannot be compared with {token.text}.")
    value = token.text
    if fitting == "enum":
        kind, _, value = value.partition("'")
        if kind != f"{NAMESPACE}.{field.enum}":
            raise invalid(f"'{field.name}' is of the type '{NAMESPACE}.{field.enum}', not '{kind}'.")
        value = value[:-1]
    elif fitting == "text":
        return value[1:-1].replace("''", "'")
    try:
        return held_value(field, value)
    except ValueError as mistake:
        raise invalid(f"{mistake}.") from None


class _Reader:
    """A recursive descent: `or` binds least, then `and`, `not`, parentheses."""

    def __init__(self, tokens: list[Token], entity: Entity, ignore_case: bool) -> None:
        self._tokens, self._entity, self._ignore_case = tokens, entity, ignore_case

    @property
    def next(self) -> Token | None:
        return self._tokens[0] if self._tokens else None

    def either(self) -> Mask:
        mask = self._both()
        while self._take("or"):
            mask = _combined(pc.or_, mask, self._both())
        return mask

    def _both(self) -> Mask:
        mask = self._one()
        while self._take("and"):
            mask = _combined(pc.and_, mask, self._one())
        return mask

    def _one(self) -> Mask:
        if self._take("not"):
            inner = self._one()
            return lambda columns: pc.invert(inner(columns))
        if self._take("("):
            inner = self.either()
            if not self._take(")"):
                raise invalid("')' expected.")
            return inner
        return self._comparison()

    def _comparison(self) -> Mask:
        name, word, value = self._word(), self._word(), self._word()
        if word.text not in _COMPARE or name.kind != "word":
            raise invalid(f"'{name.text} {word.text} {value.text}' is no comparison.")
        field = property_of(self._entity, name.text)
        if field.enum is not None and word.text not in {"eq", "ne"}:
            raise invalid(f"An enum such as '{field.name}' can only be compared by eq and ne.")
        return _compared(field, word.text, literal(field, value), self._ignore_case)

    def _word(self) -> Token:
        if not self._tokens:
            raise invalid("The filter ends early.")
        return self._tokens.pop(0)

    def _take(self, text: str) -> bool:
        if self._tokens and self._tokens[0].text == text:
            del self._tokens[0]
            return True
        return False


def _combined(operation: Callable[[Any, Any], Any], left: Mask, right: Mask) -> Mask:
    return lambda columns: operation(left(columns), right(columns))


def _compared(field: Field, word: str, value: Any, ignore_case: bool) -> Mask:
    if value is None:
        return lambda columns: pa.repeat(pa.scalar(word == "ne"), len(columns(field)))
    if field.kind in "sm" and word in {"eq", "ne"}:
        return _like(field, value, word == "ne", ignore_case)
    wanted = pa.scalar(value, field.arrow)
    return lambda columns: _COMPARE[word](plain(columns(field)), wanted)


def _like(field: Field, value: str, negative: bool, ignore_case: bool) -> Mask:
    """Equality of texts; `*` at either end stands for anything, which is how `contains` is said."""
    starts, ends = value.endswith("*"), value.startswith("*")
    inner = value[1 if ends else 0 : -1 if starts and len(value) > 1 else None]
    if starts and ends:
        test = pc.match_substring
    elif starts or ends:
        test = pc.starts_with if starts else pc.ends_with
    else:
        return _equal(field, value, negative, ignore_case)

    def mask(columns: Columns) -> pa.Array:
        found = test(plain(columns(field)), inner, ignore_case=ignore_case)
        return pc.invert(found) if negative else found

    return mask


def _equal(field: Field, value: str, negative: bool, ignore_case: bool) -> Mask:
    compare = pc.not_equal if negative else pc.equal
    if not ignore_case:
        return lambda columns: compare(plain(columns(field)), value)
    wanted = value.lower()
    return lambda columns: compare(pc.utf8_lower(plain(columns(field))), wanted)
