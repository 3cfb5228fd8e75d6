"""The kinds of faults: which requests each strikes, and its options (docs/simulator-d365-finops.md explains them)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from postroad.connectors.d365_finops.simulator.entities import catalogue
from postroad.connectors.d365_finops.simulator.executions import FINAL
from postroad.connectors.d365_finops.simulator.packages import HOSTILE, KEPT
from postroad.connectors.d365_finops.simulator.wounds import wound

STATUS, URL, ERRORS = "GetExecutionSummaryStatus", "GetExportedPackageUrl", "GetExecutionErrors"


@dataclass(frozen=True)
class Kind:
    """A kind: the root of the requests that it strikes unless another is ordered, and its options."""

    root: str | None
    options: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    # of a start of an export
    "no_id": Kind("export", ("mode", "started")),
    "never_created": Kind("export"),
    "hang": Kind("export", ("status",)),
    "slow": Kind("export", ("seconds",), ("seconds",)),
    "outcome": Kind("export", ("status", "failed", "file", "errors", "errors_text")),
    "keep_position": Kind("export"),
    "package": Kind("export", ("variant", "bytes", "entries"), ("variant",)),
    "drift": Kind("export", ("entity", "add", "drop", "rename", "rotate")),
    "rows": Kind("export", ("entity", "wound", "row", "rows", "column", "value"), ("entity", "wound")),
    # of a question about an execution
    "not_found": Kind(STATUS),
    "status_value": Kind(STATUS, ("value",)),
    "empty_url": Kind(URL),
    "bad_url": Kind(URL, ("form",)),
    "errors_text": Kind(ERRORS, ("text",), ("text",)),
    # of a download
    "sas_expired": Kind("blob"),
    "blob_gone": Kind("blob"),
    "ignore_range": Kind("blob"),
    "truncated": Kind("blob", ("bytes",)),
    "corrupt": Kind("blob", ("byte",)),
    # of a page of OData
    "repeat_page": Kind("data"),
    "bad_value": Kind("data", ("field", "value", "row"), ("field",)),
    # of any request
    "throttle": Kind(None, ("retry_after",)),
    "status": Kind(None, ("status", "body", "retry_after")),
    "unauthorised": Kind(None),
    "redirect": Kind(None, ("location",)),
    "error": Kind(None, ("status", "message")),
    "html": Kind(None, ("status",)),
    "latency": Kind(None, ("seconds",), ("seconds",)),
    "timeout": Kind(None, ("seconds",)),
    "drop": Kind(None),
    "malformed": Kind(None),
    "script": Kind(None, ("call", "arguments", "when"), ("call",)),
}


TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("seconds",), (int, float)),
    **dict.fromkeys(("bytes", "entries", "byte", "row", "rotate"), int),
    **dict.fromkeys(("rows", "add", "drop", "failed", "errors"), (list, tuple)),
    **dict.fromkeys(("rename", "arguments"), dict),
    **dict.fromkeys(("entity", "wound", "variant", "file", "mode", "form", "errors_text", "text", "call"), str),
    **dict.fromkeys(("body", "location", "message", "when", "field"), str),
}
"""The types of options; others are of any type, or differ by kind."""


def checked(kind: str, options: Mapping[str, Any]) -> tuple[Kind, dict[str, Any]]:
    """The kind, and the options with entities under their labels.

    TypeError, ValueError or LookupError for what could not strike.
    """
    if kind not in KINDS:
        raise ValueError(f"no fault '{kind}'; there are: {', '.join(KINDS)}")
    found, held = KINDS[kind], dict(options)
    unknown = sorted(held.keys() - set(found.options))
    if unknown:
        raise ValueError(f"fault '{kind}' has no option '{unknown[0]}'; it has: {', '.join(found.options) or 'none'}")
    missing = [name for name in found.needed if name not in held]
    if missing:
        raise ValueError(f"fault '{kind}' needs `{missing[0]}`")
    for name, value in held.items():
        wanted = (str if kind in {"hang", "outcome"} else int) if name == "status" else TYPES.get(name, object)
        if not isinstance(value, wanted):
            raise TypeError(f"`{name}` of fault '{kind}' cannot be {value!r}")
    _one_of(kind, held, "variant", HOSTILE)
    _one_of(kind, held, "file", KEPT)
    if kind == "outcome":
        _one_of(kind, held, "status", sorted(FINAL))
        held["failed"] = [catalogue().find(name).label for name in held.get("failed", ())]
    if "entity" in held:
        entity = catalogue().find(held["entity"])
        held["entity"] = entity.label
        if kind == "rows":
            wounded = {name: value for name, value in held.items() if name not in {"entity", "wound"}}
            wound(held["wound"], wounded, [field.column for field in entity.fields])
    return found, held


def _one_of(kind: str, options: Mapping[str, Any], name: str, values: tuple[str, ...] | list[str]) -> None:
    if name in options and options[name] not in values:
        raise ValueError(f"`{name}` of fault '{kind}' cannot be {options[name]!r}; there are: {', '.join(values)}")
