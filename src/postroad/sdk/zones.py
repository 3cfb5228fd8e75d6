"""The type of a setting that names a time zone."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator


def _known(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("is no time zone; write one such as Europe/Oslo") from None
    return value


TimeZone = Annotated[str, AfterValidator(_known)]
