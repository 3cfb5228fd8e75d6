"""The declared tables as the engine and the readers know them: entities, scopes, and the links that fill them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from postroad.connectors.excel_link.periods import Period, expanded
from postroad.connectors.excel_link.settings import (
    LINK,
    PERIOD,
    ROW,
    ExcelLinkSettings,
    TableSettings,
)
from postroad.errors import ConfigError
from postroad.records import ALL, Entity, Feed, Scope
from postroad.sdk.secrets import Secret
from postroad.sdk.sheets.columns import Column, Layout
from postroad.sdk.sheets.shapes import ColumnSettings

READER = 1  # raised when the same file would be read differently, so that unchanged files are read again
UNITS = {"m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True)
class Table:
    """One declared table. `numbered`: the row's number is a column of the key."""

    name: str
    settings: TableSettings
    columns: tuple[Column, ...]
    zone: str

    @property
    def numbered(self) -> bool:
        """Whether the row's number is a column of the key, as nothing in the row tells it from others."""
        return ROW in self.settings.key and not self.settings.own_row

    @cached_property
    def entity(self) -> Entity:
        """The entity: what names the link and period come first, and are part of the key (sequence 12)."""
        ours = [pa.field(name, pa.string(), nullable=False) for name in self.scope_columns]
        if self.numbered:
            ours.append(pa.field(ROW, pa.int64(), nullable=False))
        names = {column.caption: column.name for column in self.columns} | ({ROW: ROW} if self.numbered else {})
        key = (*self.scope_columns, *(names[caption] for caption in self.settings.key))
        theirs = [
            pa.field(each.name, each.type, nullable=each.name not in key, metadata={"source": each.caption})
            for each in self.columns
        ]
        return Entity(self.name, key, pa.schema([*ours, *theirs]))

    @property
    def scope_columns(self) -> tuple[str, ...]:
        """The columns that tell the links of the table apart."""
        return (LINK,) * self.settings.named + (PERIOD,) * bool(self.settings.periods)

    @property
    def layout(self) -> Layout:
        """What readers want of a file."""
        return Layout(self.columns, self.settings.key, self.settings.sheet, self.settings.header_row)

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions of JSON rows that are lists, by position."""
        return self.settings.order or tuple(column.caption for column in self.columns)


@dataclass(frozen=True)
class Member:
    """One link of a table in one period. `name` is also the name of its scope; "" if the table has no other."""

    table: Table
    link: str = ""
    period: Period | None = None

    @property
    def name(self) -> str:
        """The link's and the period's name."""
        return ".".join(filter(None, (self.link, str(self.period or ""))))

    @property
    def place(self) -> Secret | str:
        """Where it is read: the secret link, or the path of a file."""
        settings = self.table.settings
        several: dict[str, Secret | str] = {**settings.links, **settings.files}
        found = several.get(self.link) or settings.link or settings.file
        assert found is not None
        return found

    @property
    def values(self) -> dict[str, str]:
        """What stands in the columns that tell links apart, in every row."""
        known = {LINK: self.name, PERIOD: str(self.period)}
        return {column: known[column] for column in self.table.scope_columns}

    @property
    def feed(self) -> Feed:
        """The walk that reads it whole."""
        column = next(iter(self.table.scope_columns), None)
        scope = Scope(self.name, column, self.values[column]) if column else ALL
        name = f"{self.table.name}.{self.name}" if self.name else self.table.name
        every = self.table.settings.every
        seconds = float(every[:-1]) * UNITS[every[-1]] if every else None
        return Feed(name, (self.table.entity,), "walk", scope, seconds, revalidates=True)

    def fingerprint(self, place: str) -> str:
        """A digest of the declaration and of the filled link: under another one no file counts as unchanged."""
        settings = self.table.settings
        layout = [(each.caption, each.name, each.kind, each.round) for each in self.table.columns]
        facts = [READER, place, settings.format, settings.sheet, settings.header_row, layout, settings.order]
        facts += [settings.key, settings.delimiter, settings.encoding, settings.decimal_sign, self.table.zone]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


class Tables:
    """All tables of a connection."""

    def __init__(self, settings: ExcelLinkSettings) -> None:
        self._tables = {name: _table(name, each, settings.time_zone) for name, each in settings.tables.items()}

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def members(self, now: float) -> Iterator[Member]:
        """Every link of every table in every period that there is at that time."""
        for table in self._tables.values():
            settings = table.settings
            periods = expanded(settings.periods, now) if settings.periods else (None,)
            for link in [*settings.links, *settings.files] or [""]:
                yield from (Member(table, link, period) for period in periods)

    def member(self, feed: Feed, now: float) -> Member:
        """The link that a feed reads; ConfigError if there is none any more."""
        for member in self.members(now):
            if member.feed.name == feed.name:
                return member
        raise ConfigError(f"no link is read as {feed.name}: the settings changed since the feed was listed")


def _table(name: str, settings: TableSettings, zone: str) -> Table:
    columns = tuple(_column(caption, each) for caption, each in settings.columns.items())
    return Table(name, settings, columns, zone)


def _column(caption: str, settings: ColumnSettings) -> Column:
    return Column(caption, settings.named(caption), settings.type, settings.round)
