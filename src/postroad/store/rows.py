"""Rows of a result as plain mappings by column name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import Result

Row = Mapping[str, Any]


def many(result: Result[Any]) -> list[Row]:
    """All rows."""
    return [cast("Row", dict(row)) for row in result.mappings()]


def first(result: Result[Any]) -> Row | None:
    """The first row, if there is one."""
    found = many(result)
    return found[0] if found else None
