"""The faults that concern a whole answer; those of one root field are in `connections`."""

from __future__ import annotations

from postroad.connectors.xledger.simulator import mistakes
from postroad.connectors.xledger.simulator.answers import error_body
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.sdk.outages import status_answer
from postroad.sdk.simulator import Answer, Fault

LIMITS = {"burst": mistakes.BURST, "credits": mistakes.CREDITS, "concurrency": mistakes.CONCURRENCY}

FIELD_KINDS = (
    "field_error",
    "null_edges",
    "null_nodes",
    "null_current",
    "repeat_cursor",
    "expired_cursor",
    "bad_value",
)
WHOLE_KINDS = (*LIMITS, "status", "html", "query_timeout", "token_echo", "error")
WIRE_KINDS = ("latency", "timeout", "drop", "malformed")
KINDS = (*FIELD_KINDS, *WHOLE_KINDS, *WIRE_KINDS, "script")

HTML = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>We will be back soon</h1></body></html>"


def refusal(fault: Fault, token: str) -> Answer | None:
    """The answer that a fault gives instead of any data; None for the other kinds. Raises what is a GraphQL error."""
    options = fault.options
    if fault.kind in LIMITS:
        raise mistakes.limit(LIMITS[fault.kind], **options)
    if fault.kind == "query_timeout":
        raise RefusedError("Your query timed out.")
    if fault.kind == "token_echo":
        raise RefusedError(f"Something went wrong for token {token}.")
    if fault.kind == "error":
        raise RefusedError(options.get("message", "Internal error."), options.get("code"))
    if fault.kind == "html":
        return Answer(HTML, options.get("status", 200), "text/html; charset=utf-8")
    if fault.kind == "status":
        return status_answer(fault)
    return None


def error_answer(refused: RefusedError, status: int) -> Answer:
    """The answer to a request that is refused whole."""
    return Answer(error_body([refused.as_json()]), status)
