"""What became of one record's versions in one subscription: its message's status, unless a rejection names it.

Computed from the claim checks of messages, which name rows of files, and from the rejections of the key. Nothing is
stored for a record that arrived, so nothing here can be out of date.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from postroad.catalog.deliveries import disagreement
from postroad.catalog.remembered import Remembered
from postroad.lake import Dataset
from postroad.lake.finding import Found, KeyValues, rows_in
from postroad.lake.slices import Slice
from postroad.project import Delivery
from postroad.project.where import bind
from postroad.records import DELETE, OP
from postroad.status import Status, Word
from postroad.store.rows import Row
from postroad.tracking import Tracking
from postroad.tracking.holder import proven_dead
from postroad.tracking.messages import EXPIRED
from postroad.tracking.queue import PAUSED
from postroad.tracking.runs import moment


@dataclass(frozen=True)
class Delivered:
    """One version in one subscription. `status` is a word of `status`; `received` is one that no message holds yet.

    `message` is the message's number there, `attempts` counts its answers, `at` is when it was settled or dispatched.
    """

    subscription: str
    status: str
    sentence: str = ""
    message: int | None = None
    attempts: int = 0
    at: datetime | None = None
    rejection: int | None = None
    cause: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "at": self.at.isoformat() if self.at else None}


class Whereabouts:
    """The versions of one key in one subscription. `rejections` are those of the key, newest first.

    What tracking has forgotten is read from audit files; `forgotten` are the rejections of the key found there.
    """

    def __init__(
        self,
        tracking: Tracking,
        dataset: Dataset,
        key: KeyValues,
        text: str,
        name: str,
        delivery: Delivery | None,
        rejections: Sequence[Row],
    ) -> None:
        self.name = name
        self._tracking = tracking
        self._dataset = dataset
        self._key = key
        self._delivery = delivery
        self._known = tracking.subscriptions.get(name)
        self._remembered = Remembered(tracking, dataset.disk, name, text)
        self._rejections = [row for row in rejections if row["subscription"] == name]
        self._first: list[Row] | None = None  # the messages that name files of the table
        self._there: dict[int, list[Slice]] = {}  # and where those have the key, by version
        self._older = False  # whether a version was asked for that was there as it began

    def of(self, found: Found, current: int | None) -> Delivered | None:
        """Where a version stands; None if the subscription began behind it. `current` is the table's version.

        Asked from the newest version to the oldest.
        """
        if self._known is None:
            offset = self._delivery.offset if self._delivery else None
            first = current if offset is None else offset + 1
            later = first is not None and found.version >= first
            return Delivered(self.name, Status.RECEIVED, "nothing was dispatched to it yet") if later else None
        newest, self._older = not self._older, self._older or found.version <= self._known["begun_at"]
        told = self._sent(found)
        if told is not None:
            return told
        if found.version > self._known["offset"]:
            return Delivered(self.name, Status.RECEIVED, "not dispatched yet")
        return self._begun_with(found) if self._was_sent(found, newest=newest) else None

    def forgotten(self) -> Collection[Row]:
        """The rejections of the key that audit files keep: of the versions that were asked for, and as it began."""
        self._places()
        return self._remembered.rejections.values()

    def trouble(self) -> str | None:
        """Why nothing is sent at the moment: another rule, a pause, a refusal, an outage; None if it is not so."""
        known = self._known
        if known is None:
            return None
        other = disagreement(self._delivery, known) if self._delivery is not None else None
        if other is not None:
            return other
        if known["status"] == PAUSED:
            return f"{self.name} is paused: {known['reason']}; `postroad resume {self.name}` goes on"
        if known["due_at"] > self._now():
            until = f"{moment(known['due_at']):%Y-%m-%d %H:%M:%S}"
            return f"{self.name} is left alone until {until} UTC: {known['last_outcome']}"
        return None

    def _sent(self, found: Found) -> Delivered | None:
        """What became of the newest message that holds the row: what one left unanswered went on in a later one.

        Rows of the table's files are what a subscription begins with, and what it gets anew after it has expired.
        """
        named = [
            row
            for row in self._remembered.naming(found.place.path, found.version)
            if _holding(row, [found.place]) is not None
        ]
        told = self._told(found, named[-1], found.place) if named else None
        if told is not None and told.status not in {Status.DISCARDED, Word.EXPIRED}:
            return told
        places = self._places().get(found.version, [])
        anew = [(row, place) for row in self._first or () if (place := _holding(row, places)) is not None]
        later = [each for each in anew if not named or each[0]["id"] > named[-1]["id"]]
        return self._told(found, *later[-1]) if later else told

    def _places(self) -> Mapping[int, list[Slice]]:
        """Where the files of the table hold the key that the subscription began with."""
        if self._first is None:
            folder = f"{self._dataset.table.folder}/"
            self._first = self._remembered.naming(folder)
            for path in sorted({path for row in self._first for path, *_ in row["slices"] if path.startswith(folder)}):
                try:
                    rows = list(rows_in(self._dataset.disk, path, self._dataset.table_schema, self._dataset, self._key))
                except FileNotFoundError:  # it left the table long ago, so no open message names it
                    continue
                for each in rows:
                    self._there.setdefault(each.version, []).append(each.place)
        return self._there

    def _was_sent(self, found: Found, *, newest: bool) -> bool:
        """Whether a version that no message names any more was dispatched.

        The rows that a subscription began with are those that the table had then: of each key the newest.
        """
        known = self._known or {}
        begun = Delivery(known["dataset"], self.name, known["start"]).offset
        if begun is not None:
            return found.version > begun
        return found.version > known["begun_at"] or (newest and found.row.column(OP.name)[0].as_py() != DELETE)

    def _begun_with(self, found: Found) -> Delivered:
        """What became of a version of which nobody knows in which message it was: its file left the table long ago.

        If it is one that the subscription began with, all messages of such rows may say the same.
        """
        gone = self._remembered.gone.get(found.version) or self._remembered.gone.get(None)
        if gone is not None:
            sentence = f"it was sent; {gone} says more and cannot be read: put it back from a backup"
            return Delivered(self.name, Word.PROCESSED, sentence)
        first = self._first or []
        refused = {row["payload"] for row in self._refused() if row["version"] == found.version}
        for row in first:
            if row["id"] in refused:
                return self._told(found, row, found.place)
        parents = {row["parent"] for row in first}
        words = {row["status"] for row in first if row["id"] not in parents}
        begun = found.version <= (self._known or {})["begun_at"] and self._passes(found)
        if begun and Status.ACKNOWLEDGED in words and words <= {Status.ACKNOWLEDGED, Status.REJECTED}:
            numbers = [row["number"] for row in first]
            told = f"in one of messages {min(numbers)}-{max(numbers)}, none of which says otherwise"
            return Delivered(self.name, Status.ACKNOWLEDGED, told)
        return Delivered(self.name, Word.PROCESSED, "it was sent and answered; its message is not remembered any more")

    def _refused(self) -> Iterator[Row]:
        """What was ever rejected of the key, as far as the versions that were asked for."""
        yield from self._rejections
        yield from self._remembered.rejections.values()

    def _told(self, found: Found, message: Row, place: Slice) -> Delivered:
        answers = message["attempts"] + (message["settled_at"] is not None)
        at = moment(message["settled_at"] or message["dispatched_at"])
        for row in self._refused():
            if row["version"] == found.version and row["payload"] == message["id"]:
                refused = row["status"] == "rejected"
                status = Status.REJECTED if refused else Status.DISCARDED
                sentence = row["sentence"] if refused else f"{row['sentence']}; {row['reason']}"
                at = moment(row["rejected_at"] if refused else row["closed_at"])
                return Delivered(self.name, status, sentence, message["number"], answers, at, row["id"], row["cause"])
        word, sentence = self._word(message)
        if message["status"] in {Status.ACKNOWLEDGED, Status.REJECTED} and not self._passes(found):
            if place.path.startswith(f"{self._dataset.table.folder}/") and not place.told:
                word, sentence = Status.DISCARDED, "left out by where"
            else:
                sentence = f"as a delete, for where leaves it out; {sentence}"
        return Delivered(self.name, word, sentence, message["number"], answers, at)

    def _passes(self, found: Found) -> bool:
        """Whether the delivery's `where` lets a version pass; a delete goes to everybody."""
        rule = self._delivery.cleaning.where if self._delivery is not None else None
        if rule is None or found.row.column(OP.name)[0].as_py() == DELETE:
            return True
        (batch,) = found.row.combine_chunks().to_batches()
        try:
            return bool(bind(rule, self._dataset.entity.schema)(batch)[0].as_py())
        except ValueError:  # the rule does not suit the columns, so nothing is sent, as `status` says
            return True

    def _word(self, message: Row) -> tuple[str, str]:
        """A message's status, or the word for what it is doing while it is queued."""
        if message["status"] == Status.DISCARDED and message["reason"] == EXPIRED:
            return Word.EXPIRED, "it waited too long; the current row was sent instead, if there is one"
        if message["status"] != Status.QUEUED:
            return message["status"], message["reason"] or ""
        now = self._now()
        if message["token"] is not None and message["lease_until"] > now and not proven_dead(message["holder"]):
            return Word.PROCESSING, "a worker holds it"
        known = self._known or {}
        if message["handovers"]:
            return Word.HANDED_OVER, f"since {moment(message['handed_at']):%Y-%m-%d %H:%M:%S} UTC; no receipt came yet"
        due = max(message["due_at"], known.get("due_at", 0))
        if due > now:
            reason = known.get("last_outcome") if known.get("due_at", 0) > now else None
            told = f"next attempt at {moment(due):%Y-%m-%d %H:%M:%S} UTC"
            return Word.RETRYING, f"{told}: {reason}" if reason else told
        return Status.QUEUED, "it waits for a worker"

    def _now(self) -> int:
        with self._tracking.database.read() as db:
            return self._tracking.database.now(db)


def _holding(message: Row, places: Sequence[Slice]) -> Slice | None:
    """The slice of a message's claim check that holds one of these places."""
    return next(
        (
            each
            for each in (Slice(*fields) for fields in message["slices"])
            for place in places
            if each.path == place.path and each.first <= place.first < each.first + each.rows
        ),
        None,
    )
