"""Dispatch: what a dataset has that a subscription was not told yet becomes messages.

Messages and the offset are one transaction, so a kill anywhere leaves both or neither, and the next call does what is
missing. It is made under the dataset's lease: no file that a message names can be vacuumed before the message is there
to pin it. A message is a claim check of at most 5,000 records by default; the rows are not copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from postroad.catalog.deliveries import disagreement
from postroad.engine.route import Route, to_json
from postroad.errors import ConfigError, StateError
from postroad.lake import Dataset
from postroad.lake.delta import FENCE
from postroad.lake.slices import Slice, Versioned, packed, restated, undispatched
from postroad.project import Delivery
from postroad.telemetry import Stage
from postroad.tracking.leases import PATIENCE
from postroad.tracking.messages import Draft

MOST = 5_000  # records of a message, unless its delivery says otherwise


def dispatch(route: Route, patience: float = PATIENCE) -> int:
    """Bring a subscription to the head of its dataset; how many messages that made.

    BusyError if somebody writes to the dataset for longer than `patience` seconds. ConfigError if the delivery is not
    the one that the subscription has followed so far, or does not suit the dataset's columns.
    """
    dataset = route.dataset(0)
    route.cleaner(dataset)
    if not _news(route, dataset, _known(route)) and _expired(route) is None:
        return 0
    route.bench.reporter.stage(Stage.DISPATCH, route.name)
    leases = route.bench.tracking.leases
    with leases.hold(dataset.name, patience) as lease, route.bench.heart.keeps(leases.renew, lease):
        dataset.open_for_writing()
        known, expired = _known(route), _expired(route)
        if expired is None:
            found = undispatched(dataset, route.delivery.offset if known is None else known["offset"])
        else:
            found = restated(dataset, expired)
        if found is None:
            return 0
        offset, slices = found
        drafts = [draft for part in _parts(route, slices) for draft in drafts_of(part, route.delivery)]
        messages = route.bench.tracking.messages
        fence = partial(leases.fence, lease=lease)
        messages.dispatch(route.wanted, known, drafts, offset, fence, expired=expired is not None)
    return len(drafts)


def _expired(route: Route) -> int | None:
    """From which version on a subscription has no answer, if it is further behind than its delivery allows."""
    most = route.delivery.max_lag
    if most is not None and route.once:
        raise ConfigError(f"{route.name}: max_lag would send all rows again, which does harm there: take it out")
    return None if most is None else route.bench.tracking.messages.expired(route.name, most)


def _known(route: Route) -> Mapping[str, Any] | None:
    known = route.bench.tracking.subscriptions.get(route.name)
    other = None if known is None else disagreement(route.delivery, known)
    if other is not None:
        raise ConfigError(other)
    if known is not None and known["ordered"] != route.ordered:
        raise ConfigError(
            f"{route.name} was sent {'in' if known['ordered'] else 'without'} order so far: name another target"
        )
    return known


def _parts(route: Route, slices: Versioned) -> Iterable[Versioned]:
    """What may stand in one message: where order counts one commit, which holds each key once."""
    if not route.ordered:
        return [slices]
    return [list(group) for _, group in groupby(slices, key=itemgetter(0))]


def _news(route: Route, dataset: Dataset, known: Mapping[str, Any] | None) -> bool:
    """Whether the dataset has commits that its subscription was not told of; spares an idle worker the lease."""
    head = dataset.changes.action(FENCE)
    if known is None:
        return head is not None
    offset: int = known["offset"]
    if (head or 0) < offset and offset != route.delivery.offset:  # one that begins on a day to come waits for it
        raise StateError(
            f"{dataset.name} ends at version {head} and {route.name} was told {offset}: the lake was put back or "
            "removed; deliver it to a new target"
        )
    return (head or 0) > offset


def drafts_of(slices: Versioned, delivery: Delivery) -> list[Draft]:
    """Messages of these rows, in their order."""
    return [_draft(group) for group in packed(slices, delivery.most_records or MOST)]


def _draft(group: Versioned) -> Draft:
    slices: Sequence[Slice] = [each for _, each in group]
    return Draft(to_json(slices), sum(each.rows for each in slices), group[0][0], group[-1][0])
