"""The faults of the simulator: what each makes of a good answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from postroad.connectors.excel_link.simulator import hostile
from postroad.sdk.simulator import Answer, Fault

HTML_TYPE = "text/html; charset=utf-8"


def struck(fault: Fault, answer: Answer, path: str) -> Answer:
    """The answer under a fault; `empty` struck already, when the rows were chosen."""
    if fault.kind == "redirect":
        return Answer(b"", 302, HTML_TYPE, {"Location": str(fault.options.get("to", path))})
    return STRIKES[fault.kind](fault, answer)


def _body(answer: Answer) -> bytes:
    assert isinstance(answer.body, bytes)
    return answer.body


def _page(fault: Fault, _: Answer) -> Answer:
    status = fault.options.get("status", 404 if fault.kind == "expired" else 200)
    return Answer(hostile.HTML, status, HTML_TYPE)


def _status(fault: Fault, _: Answer) -> Answer:
    after = fault.options.get("retry_after")
    return Answer(b"", fault.options.get("status", 500), headers={} if after is None else {"Retry-After": str(after)})


def _slow(fault: Fault, answer: Answer) -> Answer:
    return replace(answer, hold=float(fault.options.get("seconds", 1.0)))


def _truncated(fault: Fault, answer: Answer) -> Answer:
    """The connection breaks, or, unnoticed by HTTP, the file was cut before it was sent."""
    if fault.options.get("unnoticed"):
        return replace(answer, body=_body(answer)[: len(_body(answer)) // 2])
    return replace(answer, cut=True)


def _malformed(_: Fault, answer: Answer) -> Answer:
    body = _body(answer)
    middle = len(body) * 2 // 3
    return replace(answer, body=body[:middle] + b"\0\0" + body[middle + 2 :])


def _hostile(fault: Fault, answer: Answer) -> Answer:
    return replace(answer, body=hostile.KINDS[fault.options["file"]]())


def _typed(fault: Fault, answer: Answer) -> Answer:
    return replace(answer, content_type=str(fault.options.get("value", "application/octet-stream")))


STRIKES: Mapping[str, Callable[[Fault, Answer], Answer]] = {
    "html": _page,
    "expired": _page,
    "status": _status,
    "slow": _slow,
    "truncated": _truncated,
    "malformed": _malformed,
    "hostile": _hostile,
    "content_type": _typed,
    "empty": lambda _, answer: answer,
}
KINDS = (*STRIKES, "redirect")
