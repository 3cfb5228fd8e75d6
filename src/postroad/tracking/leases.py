"""Leases on datasets, and the clock of versions.

Written only here: the tables `leases` and `clock`. A lease is held for one stage call. A crash while it is held leaves
a row whose time runs out or whose holder is proven dead; the next `take` of the same name replaces it. A version that
was allocated and never committed is a gap, which means nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from postroad.errors import BusyError, LostClaimError
from postroad.store.database import Database
from postroad.store.schema import clock, leases
from postroad.telemetry import Point
from postroad.tracking.holder import proven_dead, this_process
from postroad.tracking.runs import LEASE, moment

PATIENCE = 600.0  # seconds that a stage waits for another one's turn
PAUSE = 0.1


@dataclass(frozen=True)
class Lease:
    """Our right to be the one writer of a dataset."""

    name: str
    token: str


class Leases:
    """Leases by dataset name, and versions."""

    def __init__(self, database: Database, sleep: Callable[[float], None] = time.sleep) -> None:
        self._database = database
        self._sleep = sleep

    @contextmanager
    def hold(self, name: str, patience: float = PATIENCE) -> Iterator[Lease]:
        """Hold the lease for the block, waiting so many seconds for another holder's work to end, else BusyError."""
        lease = self._wait_for(name, patience)
        try:
            yield lease
        finally:
            with self._database.write(Point.LEASE_ENDED) as db:
                db.execute(delete(leases).where(_mine(lease)))

    def take(self, name: str) -> Lease:
        """Take the lease now; BusyError while another live process holds it."""
        lease = Lease(name, secrets.token_hex(8))
        with self._database.write(Point.LEASE_TAKEN) as db:
            now = self._database.now(db)
            row = db.execute(select(leases).where(leases.c.name == name)).mappings().first()
            if row is not None and row["lease_until"] > now and not proven_dead(row["holder"]):
                until = moment(row["lease_until"])
                holder = f"process {row['holder']['pid']} on {row['holder']['host']}"
                raise BusyError(f"{name} is being written by {holder}, until {until:%H:%M:%S} UTC at least", until)
            db.execute(delete(leases).where(leases.c.name == name))
            held = {"token": lease.token, "holder": this_process(), "lease_until": now + LEASE}
            db.execute(insert(leases).values(name=name, **held))
        return lease

    def renew(self, lease: Lease) -> bool:
        """Push the lease out; False if it is not ours any more."""
        with self._database.write(Point.RUN_RENEWED) as db:
            done = db.execute(update(leases).where(_mine(lease)).values(lease_until=self._database.now(db) + LEASE))
            return done.rowcount == 1

    def check(self, lease: Lease) -> None:
        """LostClaimError unless the lease is still ours."""
        with self._database.read() as db:
            self.fence(db, lease)

    def fence(self, db: Connection, lease: Lease) -> None:
        """The same within a transaction."""
        if db.execute(select(leases.c.name).where(_mine(lease))).first() is None:
            raise LostClaimError(f"the lease on {lease.name} was taken over")

    def version(self, floor: int) -> int:
        """A new version: above `floor` and all allocated before; the time in UTC microseconds if that is higher."""
        with self._database.write(Point.VERSION_TAKEN) as db:
            row = db.execute(select(clock.c.value).where(clock.c.name == "version")).first()
            version = max(floor + 1, (row.value + 1) if row else 0, self._database.now(db))
            db.execute(delete(clock).where(clock.c.name == "version"))
            db.execute(insert(clock).values(name="version", value=version))
            return version

    def _wait_for(self, name: str, patience: float) -> Lease:
        waited = 0.0
        while True:
            try:
                return self.take(name)
            except BusyError:
                if waited >= patience:
                    raise
            self._sleep(PAUSE)
            waited += PAUSE


def _mine(lease: Lease) -> Any:
    return (leases.c.name == lease.name) & (leases.c.token == lease.token)
