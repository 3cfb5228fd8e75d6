"""The source: which datasets there are, their files, and their rows."""

from __future__ import annotations

from collections.abc import Iterator

from postroad.connectors.files.changes import Changes
from postroad.connectors.files.check import checks
from postroad.connectors.files.datasets import CHANGES, Datasets
from postroad.connectors.files.parse import parse
from postroad.connectors.files.places import place_of
from postroad.connectors.files.settings import FilesSettings
from postroad.connectors.files.settled import Listing
from postroad.connectors.files.walks import Walk
from postroad.records import Check, Feed, Payload, Rows, Want
from postroad.sdk.connector import Tools


class FilesSource:
    """The datasets of one folder or prefix."""

    def __init__(self, settings: FilesSettings, tools: Tools) -> None:
        self._settings = settings
        self._tools = tools
        self._datasets = Datasets(settings)
        self._place = place_of(settings)

    def discover(self) -> Iterator[Feed]:
        """One feed of changes for all datasets that hold them, and the walks."""
        return self._datasets.feeds()

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """See `Source.fetch`. The folder is listed once for each call."""
        listing = self._listing()
        if feed.kind == CHANGES:
            datasets = [self._datasets[entity.name] for entity in feed.entities]
            yield from Changes(self._settings, self._place, listing).payloads(datasets, want)
        else:
            dataset = self._datasets[feed.entities[0].name]
            yield from Walk(self._settings, self._place, listing, dataset, feed).payloads(want)

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """The rows of a landed page; see `Source.parse`."""
        for name in payload.entities:
            yield from parse(self._datasets[name], self._settings, payload)

    def check(self) -> Iterator[Check]:
        """See `Source.check`."""
        return checks(self._settings, self._datasets, self._place, self._listing)

    def forecast(self, feed: Feed) -> str | None:
        """None: a full refresh reads the files that are there."""
        return None

    def close(self) -> None:
        """Nothing to give back: a file is closed where it is read."""

    def _listing(self) -> Listing:
        return Listing(self._settings, self._place, self._tools.clock())
