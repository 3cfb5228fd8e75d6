"""Faults that any HTTP server may have, as simulators order them (their pages in `docs/` list the options)."""

from __future__ import annotations

from dataclasses import replace

from postroad.sdk.simulator import Answer, Fault

FOR_EVER = 3_600.0  # seconds after which nobody waits for an answer any more


def status_answer(fault: Fault) -> Answer:
    """The answer of a fault `status`: nothing but an HTTP status, with a text and a `Retry-After` if they are asked."""
    options = fault.options
    after = options.get("retry_after")
    headers = {} if after is None else {"Retry-After": str(after)}
    return Answer(options.get("body", "").encode(), options.get("status", 503), "text/plain; charset=utf-8", headers)


def on_the_wire(fault: Fault, answer: Answer) -> Answer:
    """The answer as it leaves under a fault of the network; the same under any other."""
    seconds = fault.options.get("seconds", 0.0)
    if fault.kind == "latency":
        return replace(answer, hold=answer.hold + seconds)
    if fault.kind == "timeout":
        return replace(answer, hold=answer.hold + (seconds or FOR_EVER), hang_up=True)
    if fault.kind == "drop":
        return replace(answer, cut=True)
    if fault.kind == "malformed" and isinstance(answer.body, bytes):
        return replace(answer, body=answer.body[: len(answer.body) * 2 // 3] + b'{"')
    return answer
