"""Adopt: the files of another program become the first load of a dataset, and its cursor the position of our changes.

Everything is read and sorted first, which writes nothing. Then, in this order: a payload that lists what was read,
with the cursor; whether a full refresh is due; under the dataset's lease the data files and the rejections; one commit
on `changes`; the table. A kill before the commit leaves a dataset that is still to be loaded first, and litter: the
same call begins again, or `run` walks it, from the adopted cursor. A kill after the commit leaves a table that lacks
it: the same call, which sees that it has adopted, or the next run brings it to the head.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from postroad.engine.bench import Bench
from postroad.engine.gather import Adoption, Gatherer
from postroad.engine.normalise import materialise_under
from postroad.engine.recover import reconcile
from postroad.engine.stage import reject
from postroad.errors import ConfigError, CursorExpiredError
from postroad.lake import Hand, changes
from postroad.lake.names import FULL_SYNC
from postroad.lake.parquet import ROWS_A_FILE, write_files
from postroad.lake.streams import Stream
from postroad.records import Json, Payload
from postroad.sdk.connector import Adopter
from postroad.telemetry import Point, Stage
from postroad.tracking.feeds import Landed
from postroad.tracking.runs import Claim


@dataclass(frozen=True)
class Wish:
    """What a person asks for: the folder, that program's cursor and when it was taken, whether to try only.

    `refresh` says whether a full refresh is to fill columns that the files lack.
    """

    folder: Path
    cursor: str
    taken_at: datetime
    refresh: bool = True
    dry_run: bool = False


class Adopting:
    """The adoption of one entity's files, under the claim of `feed`."""

    def __init__(self, bench: Bench, adopter: Adopter, entity: str, wish: Wish) -> None:
        self._bench = bench
        self._adopter = adopter
        self._dataset = bench.dataset(entity)
        self._entity = self._dataset.entity
        self._wish = wish
        feed = bench.changes_feed(entity)
        if feed is None:
            raise ConfigError(f"{self._dataset.name} has no feed of changes, so every refresh reads it whole: `run` it")
        self.feed = feed
        self._gatherer = Gatherer(bench, adopter, entity, wish.folder)
        self._require_new()

    @property
    def told(self) -> Adoption:
        """What was found so far."""
        return self._gatherer.told

    def rehearse(self) -> None:
        """Read everything and write nothing; asks no remote system."""
        with self._gatherer.rows() as rows:
            new = sum(each.num_rows for each in rows)
        count = self._bench.count(self._entity.name)
        count.new, count.rejected = new, len(self._gatherer.refused)
        self.told.due = self._lacking()

    def work(self, claim: Claim) -> None:
        """Adopt."""
        reconcile(self._bench, [self.feed])
        self._require_new()
        if self._adopted():
            self.told.before = True
            with self._bench.writing(self._dataset, claim.run) as hand:
                materialise_under(self._bench, self._dataset, hand)
            return
        position, expired = self._position()
        with self._gatherer.rows() as rows:
            self.told.due = expired or self._lacking()
            payload = self._land(claim, position)
            self._bench.tracking.feeds.adopted(claim, self._entity.name, self.told.due)
            with self._bench.writing(self._dataset, claim.run) as hand:
                self._commit(payload, hand, rows)
                materialise_under(self._bench, self._dataset, hand)

    def _require_new(self) -> None:
        name, walks = self._dataset.name, self._bench.tracking.walks
        if not self._dataset.first_load(self._bench.feed_names(self._entity.name)) and not self._adopted():
            raise ConfigError(
                f"{name} has data already, which `postroad run` keeps in step. To begin again with these files type "
                f"`postroad state reset {name}`, and move {self._dataset.changes.folder} and "
                f"{self._dataset.table.folder} out of the lake"
            )
        scopes = [feed.scope.name for feed in self._bench.walk_feeds(self._entity.name)]
        if any(walks.open(self._bench.connection, self._entity.name, scope) for scope in scopes):
            raise ConfigError(
                f"a walk of {name} is open: `postroad run` goes on with it, `postroad state reset {name}` drops it"
            )

    def _adopted(self) -> bool:
        """Whether the dataset ends with this very adoption, by a call that was killed behind its commit."""
        number = self._dataset.position(self.feed.name)
        feeds = self._bench.tracking.feeds
        rows = feeds.payloads(self._bench.connection, self.feed.name, after=number - 1) if number else []
        return bool(rows) and rows[0]["identifier"] == self._identifier()

    def _position(self) -> tuple[Json, str | None]:
        """The entity's part of the cursor, or why there is none and a full refresh is due."""
        try:
            return self._adopter.position(self._entity, self._wish.cursor, self._wish.taken_at), None
        except CursorExpiredError as error:
            return None, str(error)

    def _lacking(self) -> str | None:
        if not self.told.missing or not self._wish.refresh:
            return None
        return f"the adopted files lack {', '.join(self.told.missing)}"

    def _land(self, claim: Claim, position: Json) -> Mapping[str, Any]:
        """A payload without rows: what was read, for whoever asks later, and the cursor after it."""
        feeds, connection, name = self._bench.tracking.feeds, self._bench.connection, self.feed.name
        cursor = dict(feeds.cursor(connection, name) or {})
        cursor.pop(self._entity.name, None)
        if position is not None:
            cursor[self._entity.name] = position
        number = feeds.last_number(connection, name) + 1
        body = json.dumps(asdict(self.told), ensure_ascii=False).encode()
        path = f"{connection}/{name}/{claim.run}"
        landed = Landed(*self._bench.lake.landing.put(path, f"{number:08d}-{claim.token}.json", body))
        row = feeds.land(claim, Payload(body, cursor, self._identifier()), landed, number, None)
        assert row is not None
        return row

    def _commit(self, payload: Mapping[str, Any], hand: Hand, rows: Stream) -> None:
        bench, dataset = self._bench, self._dataset
        bench.reporter.stage(Stage.CLOSE, dataset.name)
        version = bench.tracking.leases.version(dataset.fence())
        stamped = (dataset.stamped(each, version, hand.run) for each in rows)

        def name(part: int) -> str:
            return dataset.name_changes(FULL_SYNC, version, hand, part)

        folder, schema, key = dataset.changes.folder, dataset.changes_schema, self._entity.key
        members = write_files(dataset.disk, folder, stamped, schema, key, name, Point.CHANGES_FILE, ROWS_A_FILE)
        refused = list(self._gatherer.refused.values())
        self._supersede_rejections()
        reject(bench, payload, self._entity, hand.run, refused)
        bench.count(self._entity.name).rejected = len(refused)
        # Changes that landed before are older than the adopted cursor's, or come again behind it.
        changes.commit(dataset, members, version, hand, {self.feed.name: payload["number"]})

    def _supersede_rejections(self) -> None:
        """Those of a call that was killed, or of a first load that was dropped: no row of theirs is in the dataset."""
        tracking = self._bench.tracking
        before = [each["id"] for each in tracking.rejections.open(self._bench.connection, self._entity.name)]
        if before:
            with tracking.database.write(Point.REJECTED_ROWS) as db:
                tracking.rejections.close_ids(db, before)

    def _identifier(self) -> str:
        files = [(path.name, path.stat().st_size) for path in self._gatherer.files]
        facts = json.dumps([files, self._wish.cursor, str(self._wish.taken_at)])
        return f"adopt:{self._entity.name}:{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
