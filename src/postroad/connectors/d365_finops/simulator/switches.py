"""The switches: one for each behaviour of the remote system that nobody outside knows, and its limits and waits.

No default below is a claim about the remote system; where a fact exists, its section in the fact sheet is named, and
"unknown" is what its section 12 lists.
"""

from __future__ import annotations

import typing
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Literal

from postroad.connectors.d365_finops.simulator.csvfile import Quoting
from postroad.connectors.d365_finops.simulator.excelfile import ExcelValues
from postroad.connectors.d365_finops.simulator.manifests import Encoding
from postroad.connectors.d365_finops.simulator.texts import Dates, Decimals, Enums

DAY = 86_400.0


@dataclass(frozen=True)
class Switches:
    """The behaviour of one simulator; immutable, a change makes a new one."""

    # sign-in: section 1
    token_seconds: float = 3_600.0  # life of a token: 60 to 90 minutes
    bad_audience: Literal["sign_in", "call"] = "sign_in"  # where a slash or a capital in resource or scope is refused
    registered: bool = True  # whether the client is registered inside the environment and mapped to a user

    # OData: section 5
    default_company: str = "usmf"  # what a read without cross-company sees
    page_limit: int = 10_000
    page_size_preference: bool = False  # whether `Prefer: odata.maxpagesize` is heeded (unknown)
    next_link: Literal["skiptoken", "skip"] = "skiptoken"  # after a row, or by count, which shifts (unknown)
    next_link_base: str | None = None  # another scheme and host in next links, such as http://internal:80
    count_bom: bool = True  # `/$count` begins with a byte order mark
    filter_case: Literal["ignore", "exact"] = "ignore"  # how texts are compared in $filter (unknown)
    time_of_dates: Literal["00:00:00", "12:00:00"] = "00:00:00"  # of a field that is a date (unknown)

    # answers: sections 1 and 2.1
    error_shape: Literal["odata", "message"] = "odata"
    nested_value: bool = False  # `"value": {"value": …}`, as one page of the documentation shows
    entity_status: Literal["objects", "strings", "text"] = "objects"  # shape of the per-entity list (unknown)
    errors_clean: bool = False  # whether GetExecutionErrors is valid JSON; it is known not to be

    # executions: sections 2.3 and 2.4
    not_found_seconds: float = 0.0  # how long the status of a new execution is 400
    not_run_seconds: float = 1.0
    export_seconds: float = 5.0  # from start to the final status
    blocking_seconds: float = 0.0  # how long ExportToPackage, unlike …Async, keeps its caller waiting
    overlap: Literal["refuse", "fail", "allow"] = "refuse"  # a start while the project runs (unknown)
    one_excel: bool = True  # a second Excel export at the same time fails (DMF2039)
    history_days: float = 7.0  # after that an execution is not found

    # links and packages: section 2.4
    link_minutes: float = 10.0  # *Blob link expiration timespan*; that it holds for this call is unknown
    package_days: float = 7.0
    package_megabytes: float = 5_000.0  # larger exports fail (6 no. 8: 256 by default)

    # files: section 3
    empty_delta: Literal["header", "zero_bytes", "absent", "no_url"] = "header"  # an export without rows (unknown)
    dates: Dates = "iso"  # unknown
    decimals: Decimals = "six"  # unknown
    enums: Enums = "symbol"  # unknown
    quoting: Quoting = "needed"  # unknown
    zone_shifts_dates: bool = False  # whether the format's time zone moves dates too
    utf8_bom: bool = False  # in exports of code page 65001 (unknown)
    excel_values: ExcelValues = "text"
    manifest: Encoding = "utf16"
    package_version: int = 2
    compression: int = 1  # of the zip: 0 (stored) to 9

    # change tracking: section 4
    tracking: Literal["entity", "root"] = "entity"  # which tables' changes count
    incremental_symbol: str = "IncrementalPush"  # of DefaultRefreshType (unknown)
    failed_run_moves_position: bool = False  # unknown
    tracking_days: float | None = None  # how long changes are kept; None: for ever
    expired_position: Literal["full", "fail"] = "full"  # an incremental run after that (unknown)

    # limits: section 5
    requests: int | None = None  # requests in `requests_seconds`; None: no limit
    requests_seconds: float = 300.0
    concurrency: int | None = None  # requests at the same time
    retry_after: int | None = 30  # seconds, in the answer of either limit; None: not said
    latency_ms: float = 0.0  # held before every answer

    def changed(self, **values: Any) -> Switches:
        """A copy with other values; a ValueError for a name or value that does not exist."""
        types = _types()
        for name, value in values.items():
            if name not in types:
                raise ValueError(f"no switch '{name}'; there are: {', '.join(sorted(types))}")
            if not _fits(types[name], value):
                raise ValueError(f"switch '{name}' cannot be {value!r}; it is {types[name]}")
        return replace(self, **values)

    def as_json(self) -> dict[str, Any]:
        """All switches by name."""
        return asdict(self)


@cache
def _types() -> dict[str, Any]:
    return typing.get_type_hints(Switches)


def _fits(kind: Any, value: object) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    kinds = typing.get_args(kind) or (kind,)
    return type(value) in kinds or (float in kinds and type(value) is int)
