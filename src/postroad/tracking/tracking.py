"""The one place where the books of a project are opened."""

from __future__ import annotations

import time
from collections.abc import Callable

from postroad.store.database import Database
from postroad.telemetry import Watcher, unwatched
from postroad.tracking.alerts import Alerts
from postroad.tracking.audit import Audit
from postroad.tracking.budget import TrackedBudget
from postroad.tracking.feeds import Feeds
from postroad.tracking.files import Files
from postroad.tracking.leases import Leases
from postroad.tracking.messages import Messages
from postroad.tracking.queue import EmbeddedQueue, Queue
from postroad.tracking.rejections import Rejections
from postroad.tracking.runs import Runs
from postroad.tracking.subscriptions import Subscriptions
from postroad.tracking.walks import Walks


class Tracking:
    """Every book of a project on one database; without `alerting` nothing is noted to be told by e-mail."""

    def __init__(
        self,
        url: str,
        product_version: str,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        watcher: Watcher = unwatched,
        alerting: bool = False,
    ) -> None:
        self.database = Database(url, clock=clock, watcher=watcher)
        self.alerts = Alerts(self.database, on=alerting)
        self.runs = Runs(self.database, product_version, self.alerts)
        self.leases = Leases(self.database, sleep)
        self.feeds = Feeds(self.database, self.runs, self.alerts)
        self.walks = Walks(self.database, self.runs)
        self.files = Files(self.database)
        self.rejections = Rejections(self.database)
        self.subscriptions = Subscriptions(self.database)
        self.messages = Messages(self.database, self.rejections)
        self.audit = Audit(self.database, self.rejections)
        self.queue: Queue = EmbeddedQueue(self.database)
        self.budget = TrackedBudget(self.database)

    def close(self) -> None:
        """Give back the database."""
        self.database.close()
