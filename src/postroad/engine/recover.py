"""What a run looks at before it begins: does tracking still agree with the lake (sequence 3)?

A position in the lake above tracking's highest payload number means that tracking was lost or restored from a backup.
Then numbering goes on above the lake's, cursors are dropped, and a full refresh is due; its comparison emits only what
differs.
"""

from __future__ import annotations

from postroad.engine.bench import Bench
from postroad.errors import ConfigError
from postroad.records import Feed

REASON = "the tracking database was lost or restored"


def reconcile(bench: Bench) -> None:
    """Compare every feed's numbering with the lake's positions; called under the claim of the connection's changes."""
    for feed in bench.feeds:
        highest = _highest(bench, feed)
        if highest <= bench.tracking.feeds.last_number(bench.connection, feed.name):
            continue
        names = [entity.name for entity in feed.entities]
        bench.reporter.say(f"{bench.connection}.{feed.name}: {REASON}; a full refresh of {', '.join(names)} is due")
        _drop_cursors(bench, feed, names, highest)


def require_agreement(bench: Bench) -> None:
    """ConfigError unless tracking knows every payload that the lake holds: old books would publish an old state."""
    for feed in bench.feeds:
        if _highest(bench, feed) > bench.tracking.feeds.last_number(bench.connection, feed.name):
            raise ConfigError(f"{bench.connection}: {REASON}; `postroad run` mends that, then call this again")


def is_behind(bench: Bench) -> bool:
    """Whether the lake holds payloads that tracking does not know."""
    known = bench.tracking.feeds.last_number
    return any(_highest(bench, feed) > known(bench.connection, feed.name) for feed in bench.feeds)


def _highest(bench: Bench, feed: Feed) -> int:
    positions = [bench.dataset(entity.name).position(feed.name) for entity in feed.entities]
    return max((position or 0 for position in positions), default=0)


def _drop_cursors(bench: Bench, feed: Feed, names: list[str], highest: int) -> None:
    feeds = bench.tracking.feeds
    if feed.kind == "changes":
        feeds.forget(bench.connection, feed.name, names, REASON, foreign=False, last_number=highest)
        return
    feeds.reset(bench.connection, feed.name, names[0], REASON, last_number=highest)
    changes = bench.changes_feed(names[0])
    if changes is not None:
        feeds.forget(bench.connection, changes.name, names, REASON, foreign=False)
