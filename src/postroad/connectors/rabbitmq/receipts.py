"""A consumer's receipt, read as what it is: a text from somebody whom we do not know."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from postroad.errors import MessageError
from postroad.records import Outcome, Receipt
from postroad.wire.envelope import decode

TYPE = "org.postroad.receipt.v1"
CAUSE = re.compile(r"[a-z0-9_]{1,40}")
LONGEST = 500  # characters of a sentence


def read_receipt(body: bytes) -> Receipt:
    """What it says; `problem` says what is wrong with it, and quotes nothing of it."""
    try:
        event = decode(body)
        rejected = _rejected(event.data)
    except MessageError as error:
        return Receipt("", problem=str(error))
    if event.type != TYPE or not event.subject:
        return Receipt("", problem=f"it is no event of type {TYPE} whose subject is the id of a message")
    return Receipt(event.subject, rejected)


def _rejected(data: Any) -> Sequence[Outcome]:
    found = {} if data is None else data
    rejected = found.get("rejected", []) if isinstance(found, dict) else None
    if not isinstance(rejected, list):
        raise MessageError("its data are no object with a list of what is rejected")
    return [_outcome(each) for each in rejected]


def _outcome(said: Any) -> Outcome:
    place = said.get("record") if isinstance(said, dict) else None
    if not isinstance(place, int) or isinstance(place, bool):
        raise MessageError("one of what it rejects does not say by a number which record of the message it is")
    cause, sentence = said.get("cause"), said.get("sentence")
    named = isinstance(cause, str) and CAUSE.fullmatch(cause)
    # What a person is shown on a terminal holds no characters that move its cursor.
    shown = "".join(each if each.isprintable() else " " for each in str(sentence or "")[:LONGEST])
    return Outcome([place], "rejected", str(cause) if named else "refused", shown or "the consumer gave no reason")
