"""What the tables must hold, from the simulators' rows alone: a second converter, written from the fact sheet.

Slow, one value at a time, with nothing of the product: Decimal, date, and zoneinfo for local times.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

OSLO, STOCKHOLM = ZoneInfo("Europe/Oslo"), ZoneInfo("Europe/Stockholm")
MOMENT = pa.timestamp("us", "UTC")
DECIMAL = pa.decimal128(38, 9)

FIELDS: dict[str, pa.DataType] = {
    "dbId": pa.int64(),
    "createdAt": MOMENT,
    "modifiedAt": MOMENT,
    "assignmentDate": pa.date32(),
    "workingHours": DECIMAL,
    "isHeaderApproved": pa.bool_(),
    "headerApprovedAt": MOMENT,
    "hourlyRevenueCurrency": DECIMAL,
    "owner.dbId": pa.int64(),
    "owner.description": pa.string(),
    "owner.ownerCode": pa.int64(),
    "employee.dbId": pa.int64(),
    "employee.description": pa.string(),
    "employee.code": pa.string(),
    "activity.code": pa.string(),
    "activity.description": pa.string(),
    "timeType.code": pa.string(),
    "timeType.description": pa.string(),
    "project.dbId": pa.int64(),
    "project.description": pa.string(),
    "project.code": pa.string(),
    "timesheetStatus.name": pa.string(),
}
KINDS: dict[str, pa.DataType] = {
    "id64": pa.int64(), "int": pa.int64(), "text": pa.string(), "bool": pa.bool_(), "date": pa.date32(),
    "money": DECIMAL, "decimal": DECIMAL, "number": DECIMAL, "local_time": MOMENT, "datetime": MOMENT,
}  # fmt: skip
"""What a column of each declared kind is: in declarations of entities, and of the tables behind links."""
RESERVED = {
    "_changed_at": MOMENT,
    "_ambiguous": pa.map_(pa.string(), pa.string()),
    "_version": pa.int64(),
    "_run": pa.string(),
}
_PLAIN: dict[pa.DataType, type] = {pa.int64(): int, pa.string(): str, pa.bool_(): bool}


class UnreadableError(ValueError):
    """This row holds a value that its column cannot hold."""


def converted(node: Mapping[str, Any], fields: Mapping[str, pa.DataType] = FIELDS) -> dict[str, Any]:
    """The business columns and `_ambiguous` of one node."""
    row: dict[str, Any] = {}
    ambiguous: list[tuple[str, str]] = []
    for path, kind in fields.items():
        column = path.replace(".", "_")
        value = _leaf(node, path)
        row[column] = None if value is None else _value(value, kind)
        if kind == MOMENT and value is not None and _twice(datetime.fromisoformat(value)):
            ambiguous.append((column, value))
    row["_ambiguous"] = ambiguous or None
    return row


def cell(value: Any, kind: pa.DataType) -> Any:
    """What a cell of a link's table shows; its times name no zone."""
    if value is None:
        return None
    if kind == MOMENT and isinstance(value, datetime):
        return value.replace(tzinfo=STOCKHOLM).astimezone(UTC)
    if kind == DECIMAL and not isinstance(value, str):
        return _decimal(str(value))
    if kind == pa.date32() and isinstance(value, date):
        return value
    if kind in _PLAIN and type(value) is _PLAIN[kind]:
        return value
    raise UnreadableError(f"{value!r} is no {kind}")


def _leaf(node: Mapping[str, Any], path: str) -> Any:
    """The value at the end of a path; a reference to nothing is null or has dbId 0."""
    head, _, tail = path.partition(".")
    if not tail:
        return node[head]
    reference = node[head]
    return None if reference is None or reference.get("dbId") == 0 else _leaf(reference, tail)


def _value(value: Any, kind: pa.DataType) -> Any:
    try:
        if kind == MOMENT:
            return _instant(datetime.fromisoformat(value))
        if kind == DECIMAL:
            return _decimal(str(value))
        if kind == pa.date32():
            return date.fromisoformat(value)
    except (ArithmeticError, ValueError) as error:
        raise UnreadableError(f"{value!r} is no {kind}") from error
    if type(value) is not _PLAIN[kind] and not (kind == pa.int64() and str(value).isdigit()):
        raise UnreadableError(f"{value!r} is no {kind}")
    return int(value) if kind == pa.int64() else value


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    with localcontext(prec=100):
        if number != number.quantize(Decimal("1e-9")) or abs(number) >= Decimal("1e29"):
            raise ValueError(text)
    return number


def _offsets(local: datetime) -> tuple[Any, Any]:
    return tuple(local.replace(tzinfo=OSLO, fold=fold).utcoffset() for fold in (0, 1))  # type: ignore[return-value]


def _twice(local: datetime) -> bool:
    before, after = _offsets(local)
    return bool(before > after)


def _instant(local: datetime) -> datetime:
    before, after = _offsets(local)
    if before < after:
        raise ValueError(f"{local} was skipped by the clocks")
    return local.replace(tzinfo=OSLO, fold=0).astimezone(UTC)
