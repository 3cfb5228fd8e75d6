"""Single values: taken from JSON or text, as a control call, a key or a filter has them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from postroad.connectors.d365_finops.simulator.entities import Field, catalogue


def held_value(field: Field, value: Any) -> Any:
    """The value as a row holds it; a ValueError if the field cannot have it."""
    if field.kind in "sm" and isinstance(value, str):
        return value
    if field.enum is not None:
        return _member(field.enum, value)
    if field.kind in "dt":
        return moment(value)
    if field.kind == "n" and not isinstance(value, bool):
        return decimal(value)
    if field.kind in "ir" and not isinstance(value, bool):
        return int(value)
    raise ValueError(f"{field.name} cannot be {value!r}")


def decimal(value: Any) -> Decimal:
    """A number as text, whole number or Decimal, to six places."""
    try:
        return Decimal(str(value)).quantize(Decimal("0.000001"))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no number of six decimals") from None


def moment(value: Any) -> datetime:
    """A time in UTC, from a datetime or an ISO text, without its zone."""
    parsed = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return parsed if parsed.tzinfo is None else parsed.astimezone(UTC).replace(tzinfo=None)


def seconds_of(value: str | float) -> float:
    """Seconds since 1970 from a number or an ISO text (UTC where it names no zone)."""
    if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
        return moment(value).replace(tzinfo=UTC).timestamp()
    return float(value)


def _member(enum: str, value: Any) -> str:
    members = catalogue().enums[enum]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(members):
        return members[value]
    if value not in members:
        raise ValueError(f"{value!r} is no member of {enum}: {', '.join(members)}")
    return str(value)
