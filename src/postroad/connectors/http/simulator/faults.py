"""The faults of the simulated API: what each makes of a good answer, before or after the batch was taken."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from postroad.sdk.simulator import Answer, Fault, json_answer

Make = Callable[[Fault, Answer], Answer]


def _status(fault: Fault, _: Answer) -> Answer:
    answer = json_answer({"detail": "ordered by a test"}, int(fault.options.get("status", 500)))
    named = {"Retry-After": "retry_after", "Location": "location"}
    return replace(
        answer, headers={name: str(fault.options[key]) for name, key in named.items() if key in fault.options}
    )


def _changed(change: Callable[[Any], Any]) -> Make:
    def make(_: Fault, answer: Answer) -> Answer:
        value = json.loads(answer.body if isinstance(answer.body, bytes) else b"null")
        return replace(answer, body=json.dumps(change(value)).encode())

    return make


def _half(value: Any) -> Any:
    return {**value, "items": value["items"][::2]} if "items" in value else value


def _foreign(value: Any) -> Any:
    return {**value, "items": [{**each, "state": "mañana"} for each in value.get("items", [])]}


def _swapped(value: Any) -> Any:
    return {**value, "items": value.get("items", [])[::-1]}


def _drops(seconds: float) -> Iterator[bytes]:
    """A byte now and then, without an end in sight."""
    for _ in range(1000):
        time.sleep(seconds)
        yield b" "


BEFORE: Mapping[str, Make] = {  # nothing was taken
    "refuse": _status,
    "drop_before": lambda _, answer: replace(answer, hang_up=True),
}
AFTER: Mapping[str, Make] = {  # it was
    "status": _status,
    "drop_after": lambda _, answer: replace(answer, hang_up=True),
    "cut": lambda _, answer: replace(answer, cut=True),
    "slow": lambda fault, answer: replace(answer, hold=float(fault.options.get("seconds", 1.0))),
    "malformed": lambda _, answer: replace(answer, body=b'{"items": [{]'),
    "deep": lambda _, answer: replace(answer, body=b"[" * 200_000 + b"]" * 200_000),
    "huge": lambda _, answer: replace(answer, body=b" " * (17 * 1024 * 1024)),
    "page": lambda _, answer: replace(answer, body=b"<html>Sign in, please</html>", content_type="text/html"),
    "drip": lambda fault, answer: replace(answer, body=_drops(float(fault.options.get("seconds", 0.1)))),
    "empty": lambda _, answer: replace(answer, body=b""),
    "half": _changed(_half),
    "foreign_word": _changed(_foreign),
    "swapped": _changed(_swapped),
}
KINDS = (*BEFORE, *AFTER)
