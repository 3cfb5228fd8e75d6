"""The seven statuses that are stored, and the moves between those of a message.

Everything else that is shown is computed and never stored (design section 3), as `Word` says.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a payload, a message or a record stands."""

    RECEIVED = "received"
    QUEUED = "queued"
    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    DEAD_LETTERED = "dead_lettered"
    IN_DOUBT = "in_doubt"
    DISCARDED = "discarded"


class Word(StrEnum):
    """What the data shows: of a queued message that somebody holds its lease, that it waits for its next attempt, or
    that whoever has it for its receiver confirmed it; of anything that a position has passed it, or that its
    subscription was too far behind.
    """

    PROCESSING = "processing"
    RETRYING = "retrying"
    HANDED_OVER = "handed_over"
    PROCESSED = "processed"
    EXPIRED = "expired"


S = Status
# A person's wish brings back what is held; what is final stays so: a retry of it is another message.
LEGAL: dict[Status | None, frozenset[Status]] = {
    None: frozenset({S.QUEUED}),
    S.QUEUED: frozenset({S.ACKNOWLEDGED, S.REJECTED, S.DEAD_LETTERED, S.IN_DOUBT, S.DISCARDED}),
    S.IN_DOUBT: frozenset({S.QUEUED, S.DISCARDED, S.ACKNOWLEDGED, S.REJECTED}),  # by a receipt that came late
    S.DEAD_LETTERED: frozenset({S.QUEUED, S.DISCARDED}),
}
OPEN = (S.QUEUED, S.IN_DOUBT, S.DEAD_LETTERED)  # their files are still needed
HELD = (S.IN_DOUBT, S.DEAD_LETTERED)  # a person decides
