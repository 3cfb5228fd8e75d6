"""Drain: take a message, read its rows, render and send them, and write down what the receiver said.

Effect first, then the outcome: a kill between the two sends the message again, and the receiver's versions make that
harmless. The message's lease is the fence: a worker that lost it can send once more, and write nothing. A receiver that
answers later has been handed the message over (`receipts` does the rest); it is sent again while no receipt comes, and
is in doubt in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise

import pyarrow as pa

from postroad.engine.answers import newer, refusals
from postroad.engine.bench import Reporter
from postroad.engine.cleaning import Cleaned
from postroad.engine.heart import Heart
from postroad.engine.route import Route, from_json, to_json
from postroad.errors import (
    AuthError,
    BatchRefusedError,
    ConfigError,
    LakeError,
    LostClaimError,
    OutcomeUnknownError,
    PostroadError,
    RemoteError,
    StateError,
    ThrottledError,
)
from postroad.lake.slices import picked
from postroad.records import Entity, Facts, Outcome, Package
from postroad.status import Status
from postroad.telemetry import Point, Stage
from postroad.tracking import Tracking
from postroad.tracking.messages import Answer, Child
from postroad.tracking.queue import Held, Queue, taken_over
from postroad.tracking.runs import moment

TOGETHER, ROOM = 200, 5_000  # messages, and records in them, whose outcomes are written in one transaction
MOST_LEASES = 5  # ended without an answer: then the message itself is suspected
MOST_HANDOVERS = 3  # of a message of which no receipt comes
MOST_ATTEMPTS = 8  # of a record that the receiver wants again, later
RETRY_FIRST, RETRY_LONGEST = 10.0, 3600.0  # seconds
POISON = "poison"


@dataclass
class Delivered:
    """What draining did for one subscription; `problem` says why its messages wait, or that a person has to look.

    `messages` are settled; their `records` were accepted or `rejected`. `handed_over` records have no answer yet.
    """

    messages: int = 0
    records: int = 0
    rejected: int = 0
    handed_over: int = 0
    problem: str | None = None

    def as_dict(self) -> dict[str, int | str | None]:
        """For `--json`."""
        return dict(vars(self))


@dataclass
class _Sent:
    """What became of the records of one message, by their places in it."""

    applied: list[Sequence[int]] = field(default_factory=list)
    by: str = ""
    handed: list[Outcome] = field(default_factory=list)
    rejected: list[Outcome] = field(default_factory=list)
    again: list[int] = field(default_factory=list)
    refused: list[Sequence[int]] = field(default_factory=list)
    left_out: int = 0

    def of_rows(self, cleaned: Cleaned, rows: int) -> _Sent:
        """The same by the places of the message's rows, some of which were no records."""
        if cleaned.places is None:
            return self
        return _Sent(
            [cleaned.original(each) for each in self.applied],
            self.by,
            [replace(each, records=cleaned.original(each.records)) for each in self.handed],
            [replace(each, records=cleaned.original(each.records)) for each in self.rejected],
            [*cleaned.original(self.again)],
            [cleaned.original(each) for each in self.refused],
            rows - len(cleaned.places),
        )


@dataclass(frozen=True)
class _Well:
    """A message of which nothing was refused and nothing goes on, and the places of what the receiver holds of it."""

    held: Held
    rows: pa.RecordBatch
    applied: list[Sequence[int]]
    answer: Answer


class Drain:
    """Delivers messages of some subscriptions, one after another."""

    def __init__(
        self, tracking: Tracking, queue: Queue, heart: Heart, reporter: Reporter, routes: Mapping[str, Route]
    ) -> None:
        self._tracking = tracking
        self._queue = queue
        self._heart = heart
        self._reporter = reporter
        self._routes = routes
        self._left: set[str] = set()
        self._waits = False  # the receiver at hand is left alone for now
        self._well: list[_Well] = []
        self.done = {name: Delivered() for name in routes}

    def leave(self, name: str) -> None:
        """Send nothing of a subscription whose line of the flow a person has to mend."""
        self._left.add(name)

    def some(self, most: int | None = None) -> int:
        """Deliver a message, and small ones of its subscription with it; how many those were, 0 if none is due."""
        held = self._queue.take(self._names())
        if held is None:
            return 0
        route, together = self._routes[held.subscription], [held]
        if held.leases == 1 and held.records < ROOM and most != 1 and not route.once:
            room = min(most or TOGETHER, TOGETHER) - 1
            together += self._queue.more(held, room, ROOM - held.records)
        with self._heart.keeps(self._queue.renew, together):
            self._together(route, together)
        for each in together:
            self._queue.done(each)
        return len(together)

    def publish(self) -> None:
        """See to it that what was dispatched can be taken, by any worker."""
        self._queue.publish(self._names())

    def _names(self) -> list[str]:
        return [name for name in self._routes if name not in self._left]

    def _together(self, route: Route, together: Sequence[Held]) -> None:
        """Send one after the other, then write the outcomes of all that went well at once.

        So a kill in between repeats at most these, which are no more records than one message may have.
        """
        self._reporter.stage(Stage.DRAIN, route.name)
        self._waits, self._well, sent = False, [], 0
        read = self._rows(route, together)
        if read and route.gathers and self._gathered(route, together, read):
            self._settle_well(route)
            return
        for held, rows in zip(together, read or [None] * len(together), strict=True):
            if sent and (self._waits or route.bench.stop.asked):
                break
            sent += 1
            try:
                self._deliver(route, held, rows)
            except LostClaimError as lost:
                self._reporter.say(str(lost))
        if together[sent:]:
            self._tracking.messages.give_back(together[sent:])
        self._settle_well(route)

    def _gathered(self, route: Route, together: Sequence[Held], read: Sequence[pa.RecordBatch]) -> bool:
        """Send the records of several messages as one; False unless all went well: then each is sent by itself."""
        dataset = route.dataset(max(held.to_version for held in together))
        try:
            cleaned = [route.cleaned(dataset, rows, held.slices) for held, rows in zip(together, read, strict=True)]
            whole = pa.Table.from_batches([each.records for each in cleaned]).combine_chunks().to_batches()
            facts = route.facts(together[0])
            sent = self._packages(route, route.target(dataset), whole[0], facts) if whole else _Sent()
        except OutcomeUnknownError as error:
            for held in together:
                with suppress(LostClaimError):
                    self._tracking.messages.hold(held, Status.IN_DOUBT, str(error))
            self._problem(route, f"in doubt: {error}")
            return True
        except (RemoteError, ConfigError):
            return False
        if sent.rejected or sent.again or sent.refused or sent.handed:
            return False
        for held, rows, each in zip(together, read, cleaned, strict=True):
            count = each.records.num_rows
            answer = Answer(accepted=count, left_out=rows.num_rows - count, by=sent.by)
            self._well.append(_Well(held, rows, [each.original(range(count))], answer))
            self._reporter.progress(route.name, rows.num_rows, rows.nbytes)
        return True

    def _rows(self, route: Route, together: Sequence[Held]) -> Sequence[pa.RecordBatch]:
        """The rows of several messages, read in one go; none where each is to be read by itself."""
        if len(together) > 1:
            with suppress(LakeError, StateError):  # which of them it is shows when each is read by itself
                dataset = route.dataset(max(held.to_version for held in together))
                rows = route.rows(dataset, [each for held in together for each in held.slices])
                ends = accumulate(held.records for held in together)
                return [rows.slice(end - held.records, held.records) for held, end in zip(together, ends, strict=True)]
        return []

    def _deliver(self, route: Route, held: Held, rows: pa.RecordBatch | None) -> None:
        """Send one message and write its outcome, unless it went well: then that is noted, to be written soon."""
        if route.once and held.leases > 1:
            self._in_doubt(route, held, "a worker ended that may have sent it: look what the receiver has")
            return
        if held.leases > MOST_LEASES:
            self._suspect(route, held)
            return
        if held.handovers >= MOST_HANDOVERS:
            self._no_receipt(route, held)
            return
        rows = self._read(route, held) if rows is None else rows
        if rows is None:
            return
        try:
            sent = self._sent(route, held, rows)
        except OutcomeUnknownError as error:
            self._in_doubt(route, held, str(error))
        except (AuthError, ConfigError) as error:
            self._put_back(route, held, error, pause=True)
        except RemoteError as error:
            self._put_back(route, held, error, error.wait if isinstance(error, ThrottledError) else None)
        else:
            self._settle(route, held, rows, sent)

    def _read(self, route: Route, held: Held) -> pa.RecordBatch | None:
        """The rows of a message; None if they cannot be had now, or only by a person's help."""
        try:
            rows = route.rows(route.dataset(held.to_version), held.slices)
        except LakeError as error:
            self._put_back(route, held, error)
            return None
        except StateError as error:
            self._tracking.messages.hold(held, Status.DEAD_LETTERED, str(error))
            self._problem(route, str(error))
            return None
        return rows

    def _sent(self, route: Route, held: Held, rows: pa.RecordBatch) -> _Sent:
        """Send what of the rows goes to the receiver; what became of it, by the places of the rows."""
        dataset = route.dataset(held.to_version)
        cleaned = route.cleaned(dataset, rows, held.slices)
        if not cleaned.records.num_rows:
            return _Sent(left_out=rows.num_rows)
        sent = self._packages(route, route.target(dataset), cleaned.records, route.facts(held))
        return sent.of_rows(cleaned, rows.num_rows)

    def _packages(self, route: Route, target: Entity, records: pa.RecordBatch, facts: Facts) -> _Sent:
        """Send every package. What a refused one holds is known to be unapplied; the others go on."""
        sent, at = _Sent(), 0
        packages: Iterable[Package] = route.destination.render(target, records)
        if route.once and len(packages := [*packages]) > 1:
            ends = [*accumulate(package.records for package in packages)]
            return _Sent(refused=[range(start, end) for start, end in pairwise([0, *ends])])
        for package in packages:
            place = range(at, at + package.records)
            at = place.stop
            try:
                outcomes = route.destination.send(target, replace(package, facts=facts))
            except BatchRefusedError as error:
                self._refused(sent, place, error)
            else:
                self._tracking.database.watcher(Point.PACKAGE_SENT)
                _note(sent, place, package, outcomes)
        if at != records.num_rows:
            raise StateError(f"{route.name}: {at} of {records.num_rows} records were rendered: a bug of the connector")
        return sent

    def _refused(self, sent: _Sent, place: range, error: BatchRefusedError) -> None:
        if len(place) == 1:
            sent.rejected.append(Outcome(place, "rejected", "refused", str(error)))
        else:
            middle = place.start + len(place) // 2
            sent.refused += [range(place.start, middle), range(middle, place.stop)]

    def _settle_well(self, route: Route) -> None:
        """Write what went well; apart from the others those that close a rejection of an older version."""
        well, self._well = self._well, []
        if not well:
            return
        plain, lost = [], []
        sent = [(each.rows, [place for places in each.applied for place in places]) for each in well]
        for each, found in zip(well, newer(self._tracking, route, sent), strict=True):
            answer = replace(each.answer, newer=found)
            if not found.held:
                plain.append((each.held, answer))
                continue
            try:
                self._tracking.messages.settle(each.held, answer, _dataset(route))
            except LostClaimError:
                lost.append(each.held)
        lost += self._tracking.messages.settle_all(plain) if plain else []
        for held in lost:
            self._reporter.say(str(taken_over(held)))
        done = self.done[route.name]
        done.messages += len(well) - len(lost)
        done.records += sum(each.answer.accepted for each in well if each.held not in lost)

    def _settle(self, route: Route, held: Held, rows: pa.RecordBatch, sent: _Sent) -> None:
        """Write the outcome: what is unanswered moves to messages of its own, what was refused is listed."""
        if sent.handed:
            if [len(each.records) for each in sent.handed] != [held.records - sent.left_out]:
                raise StateError(f"{route.name} was handed over in part: a bug of the connector")
            self._tracking.messages.hand_over(held, sent.handed[0].wait)
            self.done[route.name].handed_over += len(sent.handed[0].records)
            self._reporter.progress(route.name, held.records, rows.nbytes)
            return
        given_up = held.attempts + 1 >= MOST_ATTEMPTS
        if sent.again and given_up:
            sentence = f"the receiver wanted it again {MOST_ATTEMPTS} times"
            sent.rejected.append(Outcome(sent.again, "rejected", "gave_up", sentence))
        children = [_child(held, place) for place in sent.refused]
        if sent.again and not given_up:
            wait = min(RETRY_FIRST * 2**held.attempts, RETRY_LONGEST)
            children.append(_child(held, sorted(sent.again), held.attempts + 1, wait))
        answer = Answer(accepted=sum(map(len, sent.applied)), left_out=sent.left_out, children=children, by=sent.by)
        self._reporter.progress(route.name, held.records - sum(each.records for each in children), rows.nbytes)
        if not sent.rejected and not children:
            self._well.append(_Well(held, rows, sent.applied, answer))
            return
        answer.refused = [each for outcome in sent.rejected for each in refusals(rows, route, outcome)]
        applied = [each for places in sent.applied for each in places]
        (answer.newer,) = newer(self._tracking, route, [(rows, applied)])
        self._tracking.messages.settle(held, answer, _dataset(route))
        done = self.done[route.name]
        done.messages += 1
        done.records += answer.accepted
        done.rejected += len(answer.refused)

    def _suspect(self, route: Route, held: Held) -> None:
        """Workers died over this message: send its halves, or keep a single record from killing more of them."""
        if held.records > 1:
            middle = held.records // 2
            halves = [_child(held, range(middle)), _child(held, range(middle, held.records))]
            answer = Answer(children=halves)
        else:
            rows = self._read(route, held)
            if rows is None:
                return
            sentence = f"{MOST_LEASES} workers ended while they sent it"
            answer = Answer(refused=list(refusals(rows, route, Outcome([0], "rejected", POISON, sentence))))
            self.done[route.name].rejected += 1
        self._tracking.messages.settle(held, answer, _dataset(route))

    def _no_receipt(self, route: Route, held: Held) -> None:
        since = f"{moment(held.handed_at):%Y-%m-%d %H:%M:%S} UTC" if held.handed_at else "long ago"
        sentence = f"no receipt came since {since}, {held.handovers} times handed over: ask who reads there"
        self._in_doubt(route, held, sentence)

    def _in_doubt(self, route: Route, held: Held, sentence: str) -> None:
        self._tracking.messages.hold(held, Status.IN_DOUBT, sentence)
        self._problem(route, f"in doubt: {sentence}")

    def _put_back(
        self, route: Route, held: Held, error: PostroadError, wait: float | None = None, *, pause: bool = False
    ) -> None:
        self._waits = True
        self._settle_well(route)  # first: an answer after an outage ends it
        self._tracking.messages.put_back(held, str(error), wait, pause=pause)
        self._problem(route, f"paused: {error}" if pause else str(error))

    def _problem(self, route: Route, sentence: str) -> None:
        self.done[route.name].problem = sentence
        self._reporter.say(f"{route.name}: {sentence}")


def _dataset(route: Route) -> tuple[str, str]:
    return route.delivery.connection, route.delivery.entity


def _note(sent: _Sent, place: range, package: Package, outcomes: Sequence[Outcome]) -> None:
    """Sort the answers. Each record must have one, or what is acknowledged would be a guess."""
    if sum(len(outcome.records) for outcome in outcomes) != package.records:
        raise StateError("a connector did not answer for each record of a package: a bug of the connector")
    for outcome in outcomes:
        places = [place[each] for each in outcome.records] if len(outcomes) > 1 else place
        if outcome.answer == "rejected":
            sent.rejected.append(Outcome(places, "rejected", outcome.cause, outcome.sentence))
        elif outcome.answer == "retry":
            sent.again += places
        elif outcome.answer == "handed_over":
            sent.handed.append(replace(outcome, records=places))
        else:
            sent.applied.append(places)
            sent.by = sent.by or outcome.cause


def _child(held: Held, places: Sequence[int], attempts: int | None = None, wait: float = 0.0) -> Child:
    """Some records of a message as one of their own."""
    slices = to_json(picked(from_json(held.slices), places))
    return Child(slices, len(places), held.attempts if attempts is None else attempts, wait)
