"""What a run looks at before it begins: whether tracking still agrees with the lake (sequence 3).

Where it does not, numbering goes on above the lake's, cursors are dropped, and a full refresh is due; its comparison
emits only what differs.
"""

from __future__ import annotations

from collections.abc import Sequence

from postroad.catalog.agreement import BOOKS_LOST, books_lost, highest_applied
from postroad.engine.bench import Bench
from postroad.errors import ConfigError
from postroad.project.days import since_day
from postroad.records import Feed


def reconcile(bench: Bench, feeds: Sequence[Feed]) -> None:
    """Mend the books of those of the feeds that the lake is ahead of; called under the claim of their work."""
    for feed in feeds:
        if books_lost(bench.tracking, bench.lake, bench.connection, feed):
            names = [entity.name for entity in feed.entities]
            bench.reporter.say(f"{bench.connection}.{feed.name}: {BOOKS_LOST}; refresh fully: {', '.join(names)}")
            _drop_cursors(bench, feed, names)


def require_agreement(bench: Bench) -> None:
    """ConfigError unless tracking knows every payload that the lake holds.

    A replay of old books would take back what landed after they were backed up.
    """
    for feed in bench.feeds:
        if books_lost(bench.tracking, bench.lake, bench.connection, feed):
            raise ConfigError(f"{bench.connection}: {BOOKS_LOST}; `postroad run` mends that, then call this again")


def require_parts(bench: Bench, entities: Sequence[str], since: str | None) -> None:
    """ConfigError where a part is to be reloaded from no day, or of an entity that has no column to cut it by."""
    if since is not None:
        since_day(since, bench.now())
    can = [feed.entities[0].name for feed in bench.feeds if feed.scope.moves and not feed.scope.sweeps]
    swept = [feed.entities[0].name for feed in bench.feeds if feed.scope.sweeps]
    for entity in entities:
        if entity not in can and (since is not None or bench.rule(entity).reload is not None):
            which = ", ".join(sorted(can)) or "none"
            raise ConfigError(
                f"{bench.connection}.{entity} cannot be reloaded from a day on (--since, reload): it has no column to "
                f"cut it by; of this connection these can: {which}"
            )
        if entity not in swept and bench.rule(entity).sweep_deletes is not None:
            raise ConfigError(
                f"{bench.connection}.{entity} cannot be swept (sweep_deletes): its connector reads keys only with "
                "their rows, so a full refresh does as well"
            )


def _drop_cursors(bench: Bench, feed: Feed, names: list[str]) -> None:
    feeds = bench.tracking.feeds
    highest = highest_applied(bench.lake, bench.connection, feed)
    if feed.kind == "changes":
        feeds.forget(bench.connection, feed.name, names, BOOKS_LOST, foreign=False, last_number=highest)
        return
    feeds.reset(bench.connection, feed.name, names[0], BOOKS_LOST, last_number=highest)
    changes = bench.changes_feed(names[0])
    if changes is not None:
        feeds.forget(bench.connection, changes.name, names, BOOKS_LOST, foreign=False)
