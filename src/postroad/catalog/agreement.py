"""Do the books still agree with the lake (sequence 3)?

A position in the lake above tracking's highest payload number means that the tracking database was lost or restored
from a backup.
"""

from __future__ import annotations

from postroad.lake import Lake
from postroad.records import Feed
from postroad.tracking import Tracking

BOOKS_LOST = "the tracking database was lost or restored"


def highest_applied(lake: Lake, connection: str, feed: Feed) -> int:
    """The highest payload number of a feed that any dataset of the lake holds."""
    positions = [lake.dataset(connection, entity).position(feed.name) for entity in feed.entities]
    return max((position or 0 for position in positions), default=0)


def books_lost(tracking: Tracking, lake: Lake, connection: str, feed: Feed) -> bool:
    """Whether the lake holds payloads of the feed that tracking does not know."""
    return highest_applied(lake, connection, feed) > tracking.feeds.last_number(connection, feed.name)
