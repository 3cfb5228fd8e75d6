"""The changes of all datasets that are put together from files: each new or changed file once, in order.

The cursor holds for each dataset what was read: by file its tag, size and digest, and how many pages of one that is
being read have landed. A kill costs the reading of those pages, which are not landed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.places import ChangedError, Found, Place
from postroad.connectors.files.reading import VANISHED, Page, Reading, digest_of, vanished
from postroad.connectors.files.settings import FilesSettings
from postroad.connectors.files.settled import Listing
from postroad.errors import CursorExpiredError, EntitiesFailedError, RemoteError, TransientError
from postroad.records import Json, Payload, Want

EXPIRED = "the folder, the pattern or the columns are declared otherwise than when its files were read"


@dataclass
class Position:
    """What was read of a dataset: `files` by name as (tag, size, digest), `begun` as (tag, pages)."""

    fingerprint: str
    files: dict[str, Any] = field(default_factory=dict)
    begun: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, known: Mapping[str, Json]) -> Position:
        """As the cursor has it; a copy, since what is durable must not change."""
        return cls(known["fingerprint"], dict(known["files"]), dict(known["begun"]))

    def json(self) -> dict[str, Json]:
        """As it will stand in the cursor."""
        return {"fingerprint": self.fingerprint, "files": dict(self.files), "begun": dict(self.begun)}


@dataclass
class Changes:
    """One reading of the changes to their head."""

    settings: FilesSettings
    place: Place
    listing: Listing
    cursor: dict[str, Json] = field(default_factory=dict)

    def payloads(self, datasets: list[DeclaredDataset], want: Want) -> Iterator[Payload]:
        """See `Source.fetch`; a dataset without a position gets one, of all files that are there."""
        self.cursor = dict(want.cursor or {})
        expired = [each.name for each in datasets if self._expired(each)]
        if expired:
            raise CursorExpiredError(EXPIRED, expired)
        failed: dict[str, Exception] = {}
        for dataset in datasets:
            try:
                if dataset.name in self.cursor:
                    yield from self._news(dataset)
                else:
                    files = {each.name: [each.tag, each.size, ""] for each in self.listing.of(dataset).ready}
                    yield self._moved(dataset, Position(dataset.fingerprint(self.settings.folder), files))
            except TransientError:
                raise
            except RemoteError as error:
                failed[dataset.name] = error
        if failed:
            raise EntitiesFailedError(failed)

    def _expired(self, dataset: DeclaredDataset) -> bool:
        known = self.cursor.get(dataset.name)
        return known is not None and known["fingerprint"] != dataset.fingerprint(self.settings.folder)

    def _news(self, dataset: DeclaredDataset) -> Iterator[Payload]:
        """What is new, file by file; one that cannot be used is told at the end, and stops no other."""
        position = Position.of(self.cursor[dataset.name])
        look = self.listing.of(dataset)
        failed = []
        for file in look.ready:
            known = position.files.get(file.name)
            if known is not None and known[0] == file.tag and file.name not in position.begun:
                continue
            try:
                yield from self._file(dataset, position, file, known)
            except RemoteError as error:
                if isinstance(error, TransientError) and not isinstance(error, ChangedError):
                    raise
                failed.append(str(error))
        yield from self._vanished(dataset, position)
        if failed:
            raise RemoteError("; ".join(failed))

    def _file(
        self, dataset: DeclaredDataset, position: Position, file: Found, known: list[Any] | None
    ) -> Iterator[Payload]:
        begun = position.begun.get(file.name)
        if begun is None and known and known[2] and known[1] == file.size and digest_of(self.place, file) == known[2]:
            position.files[file.name] = [file.tag, *known[1:]]
            yield self._moved(dataset, position)
            return
        landed = begun[1] if begun is not None and begun[0] == file.tag else 0
        reading = Reading(self.settings, self.place, dataset, file)
        last = False
        for number, page, last in reading.left(landed):
            if last:
                self._done(position, file, reading)
            else:
                position.begun[file.name] = [file.tag, number]
            yield self._payload(dataset, position, page, f"{file.name}#{number}")
        if not last:  # A file without rows, or one that had landed to its end.
            self._done(position, file, reading)
            yield self._moved(dataset, position)

    def _done(self, position: Position, file: Found, reading: Reading) -> None:
        position.begun.pop(file.name, None)
        position.files[file.name] = [file.tag, file.size, reading.digest]

    def _vanished(self, dataset: DeclaredDataset, position: Position) -> Iterator[Payload]:
        """A file that went while it was being read: the rest of its rows is unknown, which a rejection tells."""
        for name in [each for each in position.begun if each not in self.listing]:
            _, pages = position.begun.pop(name)
            yield self._payload(dataset, position, vanished(name, pages), f"{name}#{VANISHED}")

    def _payload(self, dataset: DeclaredDataset, position: Position, page: Page, identifier: str) -> Payload:
        return Payload(page.body, self._after(dataset, position), identifier, (dataset.name,), page.meta)

    def _moved(self, dataset: DeclaredDataset, position: Position) -> Payload:
        return Payload(None, self._after(dataset, position), entities=(dataset.name,))

    def _after(self, dataset: DeclaredDataset, position: Position) -> Mapping[str, Json]:
        self.cursor = {**self.cursor, dataset.name: position.json()}
        return self.cursor
