"""A drop folder in a test: files with their times, a source on them, and what it reads."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postroad.connectors.files.settings import FilesSettings
from postroad.connectors.files.source import FilesSource
from postroad.records import Feed, Payload, Refusal, Want
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools

NOW = 1_790_000_000.0
USUAL: dict[str, Any] = {
    "files": "*.csv",
    "key": ["Code"],
    "columns": {"Code": "text", "Name": "text", "Rate": "decimal", "From": "date"},
}
CSV = b"Code,Name,Rate,From\n"


@dataclass
class Drop:
    """A folder, the clock, and one dataset `things` unless told otherwise."""

    folder: Path
    dataset: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    now: float = NOW

    def put(self, name: str, body: bytes, *, age: float = 3600.0) -> None:
        """A file that was written so many seconds ago."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, (self.now - age, self.now - age))

    def source(self) -> FilesSource:
        """A source, freshly opened."""
        given = {"folder": str(self.folder), "datasets": {"things": {**USUAL, **self.dataset}}, **self.settings}
        settings = FilesSettings.model_validate(given)
        return FilesSource(settings, Tools(MemoryBudget(lambda: self.now), lambda: self.now))

    def feed(self, kind: str = "walk", name: str | None = None) -> Feed:
        """A feed by its kind, or by its name."""
        return next(each for each in self.source().discover() if each.kind == kind and name in (None, each.name))

    def fetched(self, kind: str = "walk", cursor: Any = None, name: str | None = None) -> list[Payload]:
        """All payloads of a feed from a cursor, which went through JSON."""
        feed = self.feed(kind, name)
        want = Want(json.loads(json.dumps(cursor)), tuple(each.name for each in feed.entities), feed.scope)
        return list(self.source().fetch(feed, want))

    def parsed(self, payloads: list[Payload]) -> tuple[list[dict[str, Any]], list[Refusal]]:
        """The rows and refusals of payloads that were read from landing again."""
        source, feed = self.source(), self.feed()
        rows: list[dict[str, Any]] = []
        refusals: list[Refusal] = []
        for each in payloads:
            landed = Payload(each.body, None, each.identifier, each.entities, json.loads(json.dumps(each.meta)))
            for found in source.parse(feed, landed):
                rows += found.records.to_pylist()
                refusals += found.refusals
        return rows, refusals
