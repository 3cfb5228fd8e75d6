"""Walks: of a dataset of changes all files that are there, in order; of a snapshot the newest file of its scope.

The cursor says which page of which file landed last. A kill costs the reading of that file's pages up to there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from postroad.connectors.files.changes import EXPIRED
from postroad.connectors.files.datasets import CHANGES, DeclaredDataset
from postroad.connectors.files.places import ChangedError, Found, Place
from postroad.connectors.files.reading import NOTHING, VANISHED, Page, Reading, digest_of, vanished
from postroad.connectors.files.settings import FilesSettings
from postroad.connectors.files.settled import Listing, require_declared, scoped
from postroad.errors import CursorExpiredError
from postroad.records import Feed, Json, Payload, Want

NOWHERE: Json = [-1, "", "", 0, True]  # before the first file: time, name, tag, pages, whether these are all
EMPTY = Page(b"", {"format": NOTHING, "file": "", "values": {}})


@dataclass
class Walk:
    """One reading of a walk, from its beginning or from where it stands."""

    settings: FilesSettings
    place: Place
    listing: Listing
    dataset: DeclaredDataset
    feed: Feed

    def payloads(self, want: Want) -> Iterator[Payload]:
        """See `Source.fetch`; the last payload closes."""
        if self.dataset.settings.holds == CHANGES:
            return self._closing(self._all(want.cursor))
        return self._snapshot(want.cursor)

    # All files

    def _all(self, cursor: Json) -> Iterator[Payload]:
        """Files behind the one that landed last, and what is left of that one."""
        if cursor is not None and cursor["fingerprint"] != self._fingerprint:
            raise CursorExpiredError(EXPIRED, [self.dataset.name])
        after, name, tag, pages, done = cursor["at"] if cursor is not None else NOWHERE
        if not done and name not in self.listing:
            yield self._payload(vanished(name, pages), f"{name}#{VANISHED}", self._at([after, name, tag, pages, True]))
        for file in self.listing.of(self.dataset).ready:
            if file.name == name and file.tag != tag:
                landed = 0  # It was written anew: all of it once more, and the later rows of a key win.
            elif file.order < (after, name):
                continue
            else:
                landed = pages if file.name == name else 0
            reading = Reading(self.settings, self.place, self.dataset, file)
            for number, page, last in reading.left(landed):
                at = [file.modified, file.name, file.tag, number, last]
                yield self._payload(page, f"{file.name}#{number}", self._at(at))

    def _at(self, at: Json) -> Json:
        return {"fingerprint": self._fingerprint, "at": at}

    def _closing(self, payloads: Iterator[Payload]) -> Iterator[Payload]:
        """The same, the last one closing; where nothing is left an empty one closes."""
        before: Payload | None = None
        for payload in payloads:
            if before is not None:
                yield before
            before = payload
        if before is None:
            before = self._payload(EMPTY, "nothing more", self._at(NOWHERE))
        yield replace(before, closes=True)

    # A snapshot

    def _snapshot(self, cursor: Json) -> Iterator[Payload]:
        """The newest file, if it is another one than the cursor knows; older ones mean nothing any more."""
        same = cursor is not None and cursor["fingerprint"] == self._fingerprint
        if cursor is not None and "landed" in cursor and not same:
            raise CursorExpiredError(EXPIRED, [self.dataset.name])
        ready = self.listing.of(self.dataset).ready
        news = False
        for payload in self._changed(cursor if same else None, ready):
            news = news or payload.body is not None
            yield payload
        if same and not news:
            require_declared(self.dataset, ready)

    def _changed(self, known: Json, ready: Sequence[Found]) -> Iterator[Payload]:
        scope = self.feed.scope.name if self.dataset.settings.scopes else None
        newest = max(scoped(self.dataset, ready, scope), key=lambda file: file.order, default=None)
        if known is not None and "landed" in known:
            return self._rest(known, newest)
        if newest is None:
            emptied = known is not None and known["name"] and self.dataset.settings.removed == "empty"
            return iter([self._removed()] if emptied else [])
        news = newest if known is None else self._news(known, newest, ready)
        if news is None:
            return iter(())
        if known is not None and self._is_same(known, news):
            return iter([self._touched(known, news)])
        return self._whole(news, 0)

    def _news(self, known: Mapping[str, Json], newest: Found, ready: Sequence[Found]) -> Found | None:
        """A newer file than the one that was read, or that one if it was written again."""
        if newest.order > (known["modified"], known["name"]):
            return newest
        same = next((each for each in ready if each.name == known["name"]), None)
        return None if same is None or same.tag == known["tag"] else same

    def _is_same(self, known: Mapping[str, Json], file: Found) -> bool:
        """Whether a file that was written again holds what it held."""
        if (file.name, file.size) != (known["name"], known["size"]):
            return False
        return bool(file.tag == known["tag"] or digest_of(self.place, file) == known["digest"])

    def _touched(self, known: Mapping[str, Json], file: Found) -> Payload:
        """Its new tag, so that nobody reads it for that again."""
        cursor = {**known, "modified": file.modified, "tag": file.tag}
        return Payload(None, cursor, f"{file.name}#touched", (self.dataset.name,), {}, scope=self.feed.scope.name)

    def _rest(self, known: Mapping[str, Json], newest: Found | None) -> Iterator[Payload]:
        """What is left of a file whose first pages landed; of another one now its walk begins again."""
        if newest is not None and (newest.name, newest.tag) == (known["name"], known["tag"]):
            yield from self._whole(newest, known["landed"])
        elif known["name"] in self.listing and (newest is None or newest.order < (known["modified"], known["name"])):
            raise ChangedError(known["name"])
        else:
            raise CursorExpiredError(f"{known['name']} was replaced before it was read to its end", [self.dataset.name])

    def _whole(self, file: Found, landed: int) -> Iterator[Payload]:
        reading = Reading(self.settings, self.place, self.dataset, file)
        facts = {"fingerprint": self._fingerprint, "name": file.name, "modified": file.modified, "tag": file.tag}
        last = False
        for number, page, last in reading.left(landed):
            cursor = {**facts, "size": file.size, "digest": reading.digest} if last else {**facts, "landed": number}
            yield replace(self._payload(page, f"{file.name}#{number}", cursor), closes=last)
        if not last:
            cursor = {**facts, "size": file.size, "digest": reading.digest}
            yield replace(self._payload(EMPTY, f"{file.name}#0", cursor), closes=True)

    def _removed(self) -> Payload:
        """No file is there any more, and somebody wants that to mean no rows: the guard asks again."""
        facts = {"fingerprint": self._fingerprint, "name": "", "modified": -1, "tag": "", "size": 0, "digest": ""}
        return replace(self._payload(EMPTY, "removed", facts), closes=True)

    def _payload(self, page: Page, identifier: str, cursor: Json) -> Payload:
        return Payload(page.body, cursor, identifier, (self.dataset.name,), page.meta, scope=self.feed.scope.name)

    @property
    def _fingerprint(self) -> str:
        return self.dataset.fingerprint(self.settings.folder)
