"""Trace: where each version of a record came from, where it is, what every receiver said of it, and why it is missing.

Computed from the lake and from tracking at the moment of the question; asks no remote system and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from postroad.catalog.status import DatasetStatus, dataset_status
from postroad.catalog.whereabouts import Delivered, Whereabouts
from postroad.engine.bench import Bench
from postroad.engine.origin import Finder, Origin
from postroad.errors import ConfigError
from postroad.lake import Dataset
from postroad.lake.finding import Found, KeyValues, current_row, versions_of
from postroad.records import CHANGED_AT, DELETE, OP, key_from_text, key_text, key_texts
from postroad.sdk.connector import Identified
from postroad.status import Status, Word
from postroad.store.rows import Row
from postroad.tracking.rejections import DELIVER
from postroad.tracking.runs import moment

if TYPE_CHECKING:
    from postroad.app.app import App


@dataclass(frozen=True)
class TracedVersion:
    """One version of the record in `changes`: when its commit began, its payload, and where it stands at receivers."""

    version: int
    at: datetime
    op: str
    run: str
    file: str
    row: int
    changed_at: datetime | None
    origin: Origin | None
    deliveries: Sequence[Delivered]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            **vars(self),
            "at": self.at.isoformat(),
            "changed_at": self.changed_at.isoformat() if self.changed_at else None,
            "origin": self.origin.as_dict() if self.origin else None,
            "deliveries": [each.as_dict() for each in self.deliveries],
        }


@dataclass(frozen=True)
class Trace:
    """All that is known of one record, and `answer`, which says it in sentences.

    `values` is the row that the table has now, None without one. `rejections` are open and closed ones of every stage.
    """

    dataset: str
    key: str
    versions: Sequence[TracedVersion]
    more: bool
    values: Mapping[str, Any] | None
    rejections: Sequence[Row]
    answer: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**vars(self), "versions": [each.as_dict() for each in self.versions]}


class Tracing:
    """Answers where records are."""

    def __init__(self, app: App) -> None:
        self._app = app

    def trace(self, name: str, text: str, *, versions: int = 10) -> Trace:
        """The newest versions of a record, by its dataset and key; ConfigError if the text is no key of it."""
        connection, entity = self._app.dataset(name)
        with self._app.bench(connection) as bench:
            return _Question(self._app, bench, entity, text).trace(versions)

    def trace_at(self, target: str, text: str, *, versions: int = 10) -> Trace:
        """The same by a target and what the record is called there: its key, or the receiver's own identity.

        The receiver may be asked whose record it is; ConfigError if no flow delivers there.
        """
        known = {each.to: each for each in self._app.project.deliveries}
        if target not in known:
            raise ConfigError(f"no flow delivers to '{target}'; there are: {', '.join(known) or 'no deliveries'}")
        delivery = known[target]
        with self._app.bench(delivery.connection) as bench:
            entity = bench.entity(delivery.entity)
        there = delivery.cleaning.target(delivery.target, entity)
        with self._app.destination(delivery.destination) as destination:
            called = destination.key_of(there, text) if isinstance(destination, Identified) else None
        fields = [there.schema.field(name) for name in there.key]
        key = _key(target, text if called is None else key_text(called), fields)
        return self.trace(delivery.dataset, key_text(key), versions=versions)


class _Question:
    """One key of one dataset."""

    def __init__(self, app: App, bench: Bench, entity: str, text: str) -> None:
        self._app = app
        self._bench = bench
        self._dataset = bench.dataset(entity)
        self._key = _key(
            self._dataset.name, text, [self._dataset.entity.schema.field(name) for name in self._dataset.entity.key]
        )
        self._text = _text(self._dataset, self._key)
        self._finder = Finder(bench, self._dataset, self._key)
        self._rejections = app.tracking.rejections.of_key(bench.connection, entity, self._text)
        self._subscriptions = list(self._opened())

    def trace(self, most: int) -> Trace:
        current = current_row(self._dataset, self._key)
        found = list(islice(versions_of(self._dataset, self._key), most + 1))
        traced = [self._version(each, current) for each in found[:most]]
        self._remember()
        values = None if current is None else current.row.to_pylist()[0]
        newest = traced[0] if traced else None
        return Trace(
            self._dataset.name,
            self._text,
            traced,
            len(found) > most,
            values,
            self._rejections,
            [*self._where(newest, current), *self._delivered(traced), *self._notes()],
        )

    def _opened(self) -> Sequence[Whereabouts]:
        """The subscriptions of the flows, and those that no flow names any more."""
        tracking = self._app.tracking
        flows = {each.to: each for each in self._app.project.deliveries if each.dataset == self._dataset.name}
        known = [each["name"] for each in tracking.subscriptions.all() if each["dataset"] == self._dataset.name]
        names = [*flows, *(name for name in known if name not in flows)]
        return [
            Whereabouts(tracking, self._dataset, self._key, self._text, name, flows.get(name), self._rejections)
            for name in names
        ]

    def _remember(self) -> None:
        """Add the rejections that tracking has forgotten and that the versions asked for had."""
        known = {row["id"]: row for each in self._subscriptions for row in each.forgotten()}
        known |= {row["id"]: row for row in self._rejections}
        self._rejections = [known[number] for number in sorted(known, reverse=True)]

    def _version(self, found: Found, current: Found | None) -> TracedVersion:
        row = found.row.select(["_op", "_changed_at", "_run"]).to_pylist()[0]
        shown = current.version if current is not None else None
        told = [each.of(found, shown) for each in self._subscriptions]
        return TracedVersion(
            found.version,
            moment(found.version),
            row[OP.name],
            row["_run"],
            found.place.path,
            found.place.first,
            row[CHANGED_AT.name],
            self._finder.origin(found),
            [each for each in told if each is not None],
        )

    # The answer

    def _where(self, newest: TracedVersion | None, current: Found | None) -> list[str]:
        """Whether the table has the record, and why not; then what came later and is not there yet."""
        if newest is None:
            return self._missing()
        name = self._dataset.name
        if current is not None:
            told = [f"{name} has it, since {_shown(moment(current.version))}"]
            if newest.version > current.version:
                told.append("a newer version waits for the table; `postroad run` brings it there")
        elif newest.op == DELETE:
            lacking = newest.origin is not None and newest.origin.lacking
            why = "a full refresh did not find it any more" if lacking else "it was deleted at the source"
            told = [f"{name} does not have it: {why}; that came in {_shown(newest.at)}"]
        else:
            told = [f"the table of {name} does not have it yet; `postroad run` brings it there"]
        return told + [f"later {each}" for each in self._coming()]

    def _missing(self) -> list[str]:
        """Why a key that never was in `changes` is not there."""
        name, told = self._dataset.name, [*self._coming(), *self._walking()]
        if told:
            return [f"{name} does not have it: {each}" for each in told]
        unreadable = self._unreadable()
        if unreadable:
            return [f"{name} does not have it; {unreadable:,} rejected rows have no readable key, and may be it"]
        first = self._app.tracking.feeds.first_received(self._bench.connection, self._dataset.entity.name)
        if first is None:
            return [f"{name} does not have it: nothing has landed yet; `postroad run` reads the source"]
        return [f"{name} does not have it: no landed payload since {_shown(moment(first))} holds it"]

    def _coming(self) -> list[str]:
        """What landed of the record and is not in `changes`: refused, or not published yet."""
        found = [row for row in self._rejections if row["stage"] != DELIVER and row["status"] == "rejected"]
        told = [f"it was rejected ({row['cause']}): {row['sentence']}; rejection {row['id']}" for row in found]
        landed = self._finder.landed()
        if landed is not None:
            told.append(f"it landed ({landed.sentence}) and is not published yet; `postroad run` does it")
        return told

    def _unreadable(self) -> int:
        rows = self._app.tracking.rejections.open(self._bench.connection, self._dataset.entity.name)
        return sum(row["key"] is None for row in rows)

    def _walking(self) -> list[str]:
        """Walks that hold the key and are not closed."""
        walks = self._app.tracking.walks
        connection, entity = self._bench.connection, self._dataset.entity.name
        scopes = [feed.scope.name for feed in self._bench.walk_feeds(entity)]
        opened = [walk for scope in scopes if (walk := walks.open(connection, entity, scope)) is not None]
        told = [
            "a walk that is still open holds it; `postroad run` goes on with it"
            for walk in opened
            if self._finder.staged(walk)
        ]
        return told + [
            f"a parked close holds it: {walk['reason']}; `postroad rejected retry {self._dataset.name} --stage guard`"
            for walk in walks.parked(connection, entity)
            if self._finder.staged(walk)
        ]

    def _delivered(self, traced: Sequence[TracedVersion]) -> list[str]:
        """Where the newest version stands at each receiver, which older one that has, and what keeps it from there."""
        if not traced:
            return []
        newest = {each.subscription: each for each in traced[0].deliveries}
        return [
            _at_receiver(newest.get(each.name), each.name, traced) + _trouble(each, newest.get(each.name))
            for each in self._subscriptions
        ]

    def _notes(self) -> list[str]:
        """What is known of the whole dataset and bears on this record: it is due, or parked."""
        found = dataset_status(
            self._app.tracking, self._app.lake, self._bench.connection, self._bench.feeds, self._dataset.entity.name
        )
        return _of_dataset(found)


def _at_receiver(told: Delivered | None, name: str, traced: Sequence[TracedVersion]) -> str:
    if told is None:
        return f"{name} was not told of it: it begins with later rows"
    what = "its delete" if traced[0].op == DELETE else "it"
    at = f" at {_shown(told.at)}" if told.at else ""
    if told.status == Status.ACKNOWLEDGED:
        return f"{name} has {what}: acknowledged{at}"
    if told.status == Word.PROCESSED:
        return f"{name} was told of {what}: {told.sentence}"
    return f"{name} {_lacking(told, what, at)}{_older(name, traced)}"


def _lacking(told: Delivered, what: str, at: str) -> str:
    """How far the newest version came that a receiver has not acknowledged."""
    match told.status:
        case Status.REJECTED:
            return f"does not have {what}: rejected{at} ({told.cause}): {told.sentence}; rejection {told.rejection}"
        case Status.DISCARDED:
            return f"does not have {what}: discarded{at}: {told.sentence}"
        case Status.IN_DOUBT | Status.DEAD_LETTERED:
            return f"may not have {what}: {told.status}{at}: {told.sentence}"
    return f"does not have {what} yet: {told.status}: {told.sentence}"


def _older(name: str, traced: Sequence[TracedVersion]) -> str:
    """Which version a receiver has that lacks the newest, of those that were asked for."""
    for version in traced[1:]:
        for told in version.deliveries:
            if told.subscription == name and told.status == Status.ACKNOWLEDGED:
                return f"; it has the version of {_shown(version.at)}"
    return ""


def _trouble(where: Whereabouts, told: Delivered | None) -> str:
    """Why nothing is sent, where the newest version waits for that."""
    trouble = where.trouble()
    waits = told is not None and told.status in {Status.RECEIVED, Status.QUEUED, Word.RETRYING, Word.PROCESSING}
    return f"; {trouble}" if trouble and waits else ""


def _of_dataset(found: DatasetStatus) -> list[str]:
    told = [f"a full refresh of {found.dataset} is due: {found.due}"] if found.due else []
    told += [f"a close of {found.dataset} is parked: {found.parked}"] if found.parked else []
    return told


def _key(name: str, text: str, fields: Sequence[pa.Field]) -> KeyValues:
    try:
        return key_from_text(text, fields)
    except ValueError as error:
        raise ConfigError(f"'{text}' is no key of {name}: {error}") from None


def _text(dataset: Dataset, key: KeyValues) -> str:
    fields = [dataset.entity.schema.field(name) for name in dataset.entity.key]
    columns = [pa.array([value], field.type) for value, field in zip(key, fields, strict=True)]
    (text,) = key_texts(pa.table(columns, names=list(dataset.entity.key)), dataset.entity.key)
    return text


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
