"""Forget: what is known of messages that were settled long ago moves from tracking into files of the lake.

The file first, durably; then one transaction lists it and drops what it keeps. So a kill anywhere leaves a message in
the books, or in both, and never in neither: before the transaction the file is litter and the next run or worker writes
another one; after it, what was still to be dropped is exported once more. The lease only spares two processes the same
work.
"""

from __future__ import annotations

import secrets
from contextlib import suppress

from postroad.engine.heart import Heart
from postroad.engine.stop import Stop
from postroad.errors import BusyError
from postroad.lake.audit import AuditFile
from postroad.lake.disk import Disk
from postroad.tracking import Tracking
from postroad.tracking.audit import Export, Settled, parts

MOST = 100_000  # messages of one file
LEASE = "audit"


def forget(tracking: Tracking, disk: Disk, heart: Heart, stop: Stop, after: float) -> int:
    """Export and drop what was settled so many seconds ago; how many messages that were."""
    if not tracking.audit.settled(after, 1):
        return 0
    dropped = 0
    with (
        suppress(BusyError),
        tracking.leases.hold(LEASE, 0.0) as lease,
        heart.keeps(tracking.leases.renew, lease),
    ):
        while not stop.asked and (found := tracking.audit.settled(after, MOST)):
            kept = _export(tracking, disk, found)
            dropped += tracking.audit.drop([each.message for each in found], kept)
    return dropped


def _export(tracking: Tracking, disk: Disk, found: list[Settled]) -> list[Export]:
    """Write the facts of these messages as one file."""
    with tracking.database.read() as db:
        file = AuditFile(disk, tracking.database.now(db), secrets.token_hex(4))
    try:
        for part in parts(found):
            file.write(tracking.audit.facts(part))
    except BaseException:
        file.discard()
        raise
    return [Export(file.path, **each) for each in file.close()]
