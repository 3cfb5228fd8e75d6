"""The faults that concern a whole answer (`kinds.py` has the kinds of all)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from postroad.connectors.d365_finops.simulator import mistakes
from postroad.sdk import outages
from postroad.sdk.simulator import Answer, Fault

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to your account</h1></body></html>"
SIGN_IN = "https://login.microsoftonline.com/common/oauth2/authorize?client_id=00000015-0000-0000-c000-000000000000"


def refusal(fault: Fault) -> Answer | None:
    """The answer that a fault gives instead of any other; None for the other kinds. Raises what has an envelope."""
    options = fault.options
    if fault.kind == "throttle":
        raise mistakes.busy(options.get("retry_after", 1))
    if fault.kind == "error":
        raise mistakes.RefusedError(mistakes.GENERAL, options.get("status", 400), options.get("message", "Failed."))
    if fault.kind == "unauthorised":
        return Answer(b"", 401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    if fault.kind == "redirect":
        return Answer(HTML, 302, "text/html; charset=utf-8", {"Location": options.get("location", SIGN_IN)})
    if fault.kind == "html":
        return Answer(HTML, options.get("status", 200), "text/html; charset=utf-8")
    if fault.kind == "status":
        return outages.status_answer(fault)
    return None


def on_the_wire(fault: Fault, answer: Answer) -> Answer:
    """The answer as it leaves under a fault of the network or of the storage."""
    if fault.kind in {"truncated", "corrupt"} and answer.length is not None and answer.status in {200, 206}:
        return _damaged(fault, answer, answer.length)
    return outages.on_the_wire(fault, answer)


def _damaged(fault: Fault, answer: Answer, length: int) -> Answer:
    """A package that ends early although its length says so too, or that has another byte in its middle."""
    if fault.kind == "truncated":
        kept = int(fault.options.get("bytes", length // 2))
        return replace(answer, body=_until(answer.body, kept), length=min(kept, length))
    place = int(fault.options.get("byte", length // 2))
    return replace(answer, body=_flipped(answer.body, place))


def _until(body: bytes | Iterator[bytes], kept: int) -> Iterator[bytes]:
    for piece in [body] if isinstance(body, bytes) else body:
        yield piece[:kept]
        kept -= len(piece)
        if kept <= 0:
            return


def _flipped(body: bytes | Iterator[bytes], place: int) -> Iterator[bytes]:
    for piece in [body] if isinstance(body, bytes) else body:
        if 0 <= place < len(piece):
            yield piece[:place] + bytes([piece[place] ^ 0xFF]) + piece[place + 1 :]
        else:
            yield piece
        place -= len(piece)
