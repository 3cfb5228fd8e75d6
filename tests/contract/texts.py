"""What receivers keep of values for which they have no types."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any


def exact_text(value: Any) -> Any:
    """Decimals, days and times as texts that lose nothing; any other value as it is."""
    if isinstance(value, list):
        return [exact_text(each) for each in value]
    if isinstance(value, dict):
        return {name: exact_text(each) for name, each in value.items()}
    if isinstance(value, Decimal):
        return f"{value:.9f}"
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + ("Z" if value.tzinfo else "")
    return value.isoformat() if isinstance(value, date) else value
