"""What goes over the queue's broker for a message: an event that names it, and by which it is known again.

Always a claim check, whatever its size: a worker reads the rows from the lake under the claim check that stands in the
database, so nothing that anybody puts on the broker can become a record. The event has the claim check too, as long as
that is short, for whoever watches the queue and can read the lake.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from typing import Any

from postroad.engine.route import from_json
from postroad.errors import MessageError
from postroad.store.rows import Row
from postroad.wire.envelope import Event

TYPE = "org.postroad.message.v1"
MOST_SLICES = 256  # that travel
_IDENTIFIER = re.compile(r"([0-9]{1,18})-[\x21-\x7e]{1,64}", re.ASCII)


def notice(row: Row, source: str) -> Event:
    """The event of a message, of which `row` has the dataset too."""
    slices = from_json(row["slices"])
    data: dict[str, Any] = {"digest": _digest(row)}
    if len(slices) <= MOST_SLICES:
        data["slices"] = [vars(each) for each in slices]
    return Event(
        id=_identifier(row),
        source=source,
        type=TYPE,
        subject=row["dataset"],
        time=datetime.fromtimestamp(row["dispatched_at"] / 1e6, UTC),
        data=data,
        extensions={
            "subscription": row["subscription"],
            "messagenumber": str(row["number"]),
            "batch": row["batch"],
            "batches": row["batches"],
            "lastbatch": row["batch"] == row["batches"],
            "records": row["records"],
            "fromversion": str(row["from_version"]),
            "toversion": str(row["to_version"]),
        },
    )


def named(event: Event, source: str) -> int:
    """The number of the message that an event names; MessageError if it is none of ours."""
    if event.type != TYPE or event.source != source:
        raise MessageError("it is another type of event, or of another project or environment")
    found = _IDENTIFIER.fullmatch(event.id)
    if found is None:
        raise MessageError("it names no message")
    return int(found[1])


def require_same(event: Event, row: Row | None) -> None:
    """MessageError unless the event is what we published of that message."""
    if row is None:
        raise MessageError("it names a message that the database does not have")
    told = event.data.get("digest") if isinstance(event.data, dict) else None
    same = isinstance(told, str) and hmac.compare_digest(told.encode(), _digest(row).encode())
    if not same or not hmac.compare_digest(event.id.encode(), _identifier(row).encode()):
        raise MessageError("its id or its digest is not that of the message that it names")


def source_of(project: str, environment: str | None) -> str:
    """The URI of a project's queue. What a foreign receiver gets of the same message has the project's own source."""
    return f"postroad://{project}/{environment}#queue" if environment else f"postroad://{project}#queue"


def _identifier(row: Row) -> str:
    return f"{row['id']}-{row['receipt']}"


def _digest(row: Row) -> str:
    facts = [row[name] for name in ("id", "receipt", "subscription", "number", "records", "slices")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
