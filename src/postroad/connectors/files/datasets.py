"""The declared datasets as the engine and the readers know them: entities, feeds, columns, fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pyarrow as pa

from postroad.connectors.files.lists import ListColumn
from postroad.connectors.files.patterns import places
from postroad.connectors.files.settings import DatasetSettings, FileColumnSettings, FilesSettings
from postroad.records import ALL, Entity, Feed, Scope, column_name
from postroad.sdk.sheets.columns import Column, Layout

READER = 1  # raised when the same file would be read differently, so that all files are read again
CHANGES: Final = "changes"
UPSERTS = Scope(adds=True)


@dataclass(frozen=True)
class DeclaredDataset:
    """One dataset: its settings, columns, the zone of its times, and columns that hold lists."""

    name: str
    settings: DatasetSettings
    columns: tuple[Column, ...]
    zone: str
    lists: tuple[ListColumn, ...] = ()

    @cached_property
    def entity(self) -> Entity:
        """The entity: what stands in braces in the pattern comes first, and is part of the key."""
        ours = [pa.field(name, pa.string(), nullable=False) for name in self.placed]
        if self.settings.file_as is not None:
            ours.append(pa.field(self.settings.file_as, pa.string(), nullable=False))
        if self.settings.line_as is not None:
            ours.append(pa.field(self.settings.line_as, pa.int64(), nullable=False))
        names = {column.caption: column.name for column in self.columns}
        key = (*self.placed, *(names.get(each, each) for each in self.settings.key))
        theirs = [
            pa.field(each.name, each.type, nullable=each.name not in key, metadata={"source": each.caption})
            for each in self.columns
        ]
        theirs += [pa.field(each.name, each.type, metadata={"source": each.caption}) for each in self.lists]
        return Entity(self.name, key, pa.schema([*ours, *theirs]))

    @property
    def layout(self) -> Layout:
        """What readers of workbooks want."""
        header = self.settings.header if isinstance(self.settings.header, int) else 1
        return Layout(self.columns, self.settings.key, self.settings.sheet, header)

    @property
    def placed(self) -> list[str]:
        """The columns that are named in the pattern."""
        return places(self.settings.files)

    @property
    def walks(self) -> list[Feed]:
        """One walk that reads all files, or one for each scope, which reads the newest file of it."""
        settings = self.settings
        if settings.holds == CHANGES:
            return [Feed(self.name, (self.entity,), "walk", UPSERTS)]
        if not settings.scopes:
            return [Feed(self.name, (self.entity,), "walk", ALL, revalidates=True)]
        column = self.placed[0]
        scopes = [Scope(each, column, each) for each in settings.scopes]
        return [Feed(f"{self.name}.{each.name}", (self.entity,), "walk", each, revalidates=True) for each in scopes]

    def fingerprint(self, folder: str) -> str:
        """A digest of the declaration and the folder: under another one no file counts as read."""
        settings = self.settings
        layout = list(map(_facts, self.columns))
        facts: list[object] = [READER, folder, settings.files, settings.holds, settings.format, layout, settings.key]
        facts += [settings.encoding, settings.delimiter, settings.quote, settings.header, settings.sheet]
        facts += [settings.file_as, settings.line_as, settings.decimal_sign, settings.nulls, self.zone]
        if self.lists:  # without them it is what it was before there were any
            facts.append([(each.caption, list(map(_facts, each.members))) for each in self.lists])
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


class Datasets:
    """All datasets of a connection."""

    def __init__(self, settings: FilesSettings) -> None:
        zone = settings.time_zone
        self._datasets = {name: _dataset(name, each, zone) for name, each in settings.datasets.items()}

    def __getitem__(self, name: str) -> DeclaredDataset:
        return self._datasets[name]

    def __iter__(self) -> Iterator[DeclaredDataset]:
        return iter(self._datasets.values())

    def feeds(self) -> Iterator[Feed]:
        """One feed of all changes, if there are any, and the walks."""
        changing = tuple(each.entity for each in self if each.settings.holds == CHANGES)
        if changing:
            yield Feed(CHANGES, changing, CHANGES)
        for each in self:
            yield from each.walks


def _dataset(name: str, settings: DatasetSettings, zone: str) -> DeclaredDataset:
    columns = tuple(_column(caption, each) for caption, each in settings.columns.items())
    lists = tuple(
        ListColumn(caption, column_name((caption,)), tuple(_column(name, each) for name, each in members.items()))
        for caption, members in settings.lists.items()
    )
    return DeclaredDataset(name, settings, columns, zone, lists)


def _column(caption: str, settings: FileColumnSettings) -> Column:
    return Column(caption, settings.named(caption), settings.type, settings.round, settings.format)


def _facts(column: Column) -> tuple[object, ...]:
    """All that decides how a column is read."""
    return column.caption, column.name, column.kind, column.round, column.format
