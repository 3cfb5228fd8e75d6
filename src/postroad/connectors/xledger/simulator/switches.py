"""The switches: one for each behaviour of the remote system that nobody outside knows, and its limits.

No default below is a claim about the remote system; where a fact exists, its section in the fact sheet is named.
"""

from __future__ import annotations

import typing
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from postroad.connectors.xledger.simulator.schema import Known

OwnerSet = Literal["CURRENT", "UPPER", "LOWER", "MINE", "ALL"]
ObjectStatus = Literal["ALL", "OPEN", "CLOSED"]
NullReference = Literal["null", "zero", "mixed"]


@dataclass(frozen=True)
class Switches:
    """The behaviour of one simulator; immutable, a change makes a new one."""

    owner_set_default: OwnerSet = "CURRENT"  # when a query names none (1.5: unknown)
    object_status_default: ObjectStatus = "OPEN"  # when a query names none (1.5: unknown)
    page_limit: int = 10_000  # 1.3
    page_limit_mode: Literal["error", "clamp"] = "error"  # what `first` above the limit does (9: unknown)
    page_default: int = 10_000  # rows when neither `first` nor `last` is given (unknown)
    dbid_in_limit: int | None = None  # most ids in `dbId_in` (9: unknown)
    error_status: int = 200  # HTTP status of GraphQL errors (1.2: unknown)
    auth_status: int = 200  # HTTP status of token errors (1.2: unknown)
    partial_data: bool = False  # whether the good root fields are answered beside a failed one (1.2: no evidence)
    expired_cursor: Literal["error", "oldest", "empty"] = "error"  # what an expired or foreign delta cursor does (2.1)
    expired_when: Literal["gone", "gap"] = "gone"  # its own entry was dropped, or an entry after it was (unknown)
    retention_hours: float = 72.0  # 2.1
    renames_make_delta: bool = True  # whether renaming a project makes deltas of its timesheets (3.3 no. 11)
    current_available: bool = True  # whether the schema has `_current` on deltas
    vanished_fields: tuple[str, ...] = ()  # what the schema does not know any more, as `Type.field`
    null_reference: NullReference = "null"  # an empty reference: null, an object with dbId 0, or either (9)
    burst: int | None = 20  # requests in `burst_seconds` (1.3); None: no limit
    burst_seconds: float = 5.0
    concurrency: int | None = 3  # requests at the same time (1.3: number unknown); None: no limit
    credits: int | None = None  # requests in `credits_seconds` (1.3: size and cost unknown); None: no limit
    credits_seconds: float = 3600.0
    reset_format: Literal["utc", "local", "epoch"] = "utc"  # form of `extensions.resetAt` (unknown)
    latency_ms: float = 0.0  # held before every answer
    gzip: bool = False  # compress answers for clients that accept it (1.1: possible)

    def changed(self, **values: Any) -> Switches:
        """A copy with other values; a ValueError for a name or value that does not exist."""
        types = typing.get_type_hints(type(self))
        for name, given in values.items():
            if name not in types:
                raise ValueError(f"no switch '{name}'; there are: {', '.join(sorted(types))}")
            value = values[name] = tuple(given) if isinstance(given, list) else given
            if not _fits(types[name], value):
                raise ValueError(f"switch '{name}' cannot be {value!r}; it is {types[name]}")
        return replace(self, **values)

    @property
    def known(self) -> Known:
        """What the schema knows."""
        return Known(self.current_available, frozenset(self.vanished_fields))

    def as_json(self) -> dict[str, Any]:
        """All switches by name."""
        return asdict(self)


def _fits(kind: Any, value: object) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(isinstance(each, str) for each in value)
    if kind is float:
        return type(value) in (int, float)
    return type(value) in (typing.get_args(kind) or (kind,))
