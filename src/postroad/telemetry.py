"""Every event and every durable point by name.

A *durable point* is passed right after something became durable: a file was fsynced, a Delta commit was made, a
database transaction committed. Whoever opens an App may watch the points; the crash tests do so to stop the process
at each of them. Stages are named so that a watcher can tell what a run was doing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Stage(StrEnum):
    """What a run is doing; written to the log when it begins."""

    FETCH = "fetch"
    LAND = "land"
    NORMALISE = "normalise"
    STAGE = "stage"
    CLOSE = "close"
    MATERIALISE = "materialise"
    DISPATCH = "dispatch"
    DRAIN = "drain"


class Point(StrEnum):
    """The durable points, in the order in which a record passes them."""

    RUN_CLAIMED = "run claimed"
    RUN_RENEWED = "run's lease renewed"
    RUN_ENDED = "run ended"
    BUDGET_TAKEN = "budget taken"
    REFRESH_DUE = "refresh marked as due"
    COLUMNS_NOTED = "columns that are not sent noted"
    COLUMNS_ADDED = "columns added to a table"
    WALK_BEGUN = "walk begun"
    PAYLOAD_FILE = "payload file written"
    PAYLOAD_ROW = "payload row committed"
    WALK_CONFIRMED = "missing keys of a walk asked for"
    HEAD_REACHED = "head of the changes reached"
    LEASE_TAKEN = "dataset lease taken"
    LEASE_ENDED = "dataset lease ended"
    LOG_SEALED = "last log entry flushed"
    VERSION_TAKEN = "version allocated"
    REJECTED_FILE = "rejected rows written"
    REJECTED_ROWS = "rejections committed"
    STAGED_FILE = "staged file written"
    STAGED_ROW = "staged file listed"
    CHANGES_FILE = "changes file written"
    CHANGES_COMMIT = "changes committed"
    CLOSE_MOVED = "full sync moved to its names"
    CLOSE_PARKED = "close parked"
    CLOSE_DONE = "walk closed"
    FILES_DROPPED = "files dropped"
    TABLE_FILE = "table file written"
    TABLE_COMMIT = "table committed"
    CHECKPOINT = "checkpoint of a table written"
    TORN_ASIDE = "torn log entry set aside"
    MAIL_MADE = "mail made of the alerts"
    MAIL_ANSWERED = "answers to a mail noted"
    DISPATCHED = "messages dispatched"
    MESSAGES_PUBLISHING = "messages marked for the broker"
    MESSAGES_PUBLISHED = "messages confirmed by the broker"
    MESSAGE_GIVEN_UP = "message given up by the broker"
    MESSAGE_TAKEN = "message taken"
    PACKAGE_SENT = "package sent"
    MESSAGE_HANDED = "message handed over"
    MESSAGE_SETTLED = "message settled"
    MESSAGE_PUT_BACK = "message put back"
    RECEIPT_SETTLED = "receipt settled"
    SUBSCRIPTION_SET = "subscription paused or resumed"
    LATE_CLOSED = "late refusals superseded"
    AUDIT_FILE = "audit file written"
    MESSAGES_DROPPED = "settled messages dropped"


Watcher = Callable[[Point], None]


def unwatched(_point: Point) -> None:
    """The watcher of an App that nobody watches."""
