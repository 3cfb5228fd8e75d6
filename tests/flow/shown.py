"""What each dataset must show, from the rows of the simulators: their own tables, converted by `expected`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from ruamel.yaml import YAML

from postroad.connectors.excel_link.example import POSTROAD_YAML
from postroad.connectors.excel_link.simulator import ExcelLinkSimulator
from postroad.connectors.xledger.entities import EIGHT
from postroad.connectors.xledger.simulator import XledgerSimulator
from tests.flow.expected import FIELDS, KINDS, RESERVED, UnreadableError, cell, converted
from tests.flow.lake_reader import Row

Key = tuple[Any, ...]
Settings = dict[str, Any]

TABLES: Mapping[str, Settings] = YAML(typ="safe").load(POSTROAD_YAML)["connections"]["links"]["tables"]
"""The tables behind links, as the shipped example declares them."""
DUMMY_DAY = date(1999, 12, 31)
PERIODS = ("2026-08", "2026-09", "2026-10")


@dataclass(frozen=True)
class Shown:
    """One dataset: its key and columns, and the source's rows as its table must show them, None for an unreadable."""

    connection: str
    entity: str
    key: tuple[str, ...]
    columns: Mapping[str, pa.DataType]
    source: Callable[[], Mapping[Key, Row | None]]

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.connection}.{self.entity}"

    @property
    def path(self) -> str:
        """Where its tables lie, below `tables` or `changes`."""
        return f"{self.connection}/{self.entity}"

    @property
    def table_types(self) -> dict[str, pa.DataType]:
        """Of the current state."""
        return {**self.columns, **RESERVED}

    @property
    def changes_types(self) -> dict[str, pa.DataType]:
        """Of the history."""
        return {**self.columns, "_op": pa.string(), **RESERVED}

    def readable(self) -> dict[Key, Row]:
        """The rows that the table must show."""
        return {key: row for key, row in self.source().items() if row is not None}

    def key_of(self, row: Mapping[str, Any]) -> Key:
        """The key of a row, as a rejection writes it: days are texts."""
        return tuple(str(row[name]) if isinstance(row[name], date) else row[name] for name in self.key)


def entity_shown(
    simulator: XledgerSimulator, entity: str, columns: Mapping[str, str] | None = None, connection: str = "xledger"
) -> Shown:
    """An entity of Xledger: timesheets by the fact sheet's list, others as declared, or with these columns."""
    fields = FIELDS if entity == "timesheets" else _declared(entity, columns)

    def source() -> dict[Key, Row | None]:
        return {(key,): _readable(node, fields) for key, node in simulator.rows(entity=entity).items()}

    types = {path.replace(".", "_"): kind for path, kind in fields.items()}
    return Shown(connection, entity, ("dbId",), types, source)


def _declared(entity: str, columns: Mapping[str, str] | None) -> dict[str, pa.DataType]:
    if columns is None:
        (declared,) = (each for each in EIGHT if each.name == entity)
        columns = {field.name: field.kind for field in declared.fields}
    return {path: KINDS[kind] for path, kind in columns.items()}


def _readable(node: Any, fields: Mapping[str, pa.DataType]) -> Row | None:
    try:
        return converted(node, fields)
    except UnreadableError:
        return None


def table_settings(
    simulator: ExcelLinkSimulator, table: str, links: Sequence[str] = (), ending: str = "xlsx"
) -> Settings:
    """The example's declaration of a table, at the simulator's addresses and in fixed months; some of several links."""
    settings = dict(TABLES[table])
    if "links" in settings:
        settings["links"] = {link: simulator.url(f"{table}.{link}", ending) for link in links or settings["links"]}
    else:
        settings["link"] = simulator.url(table, ending)
    if "periods" in settings:
        settings["periods"] = list(PERIODS)
    if "parameters" in settings:
        settings["parameters"] = {name: str(value) for name, value in settings["parameters"].items()}
    return settings


def table_shown(simulator: ExcelLinkSimulator, table: str, links: Sequence[str] = ()) -> Shown:
    """A table behind one link or several: the column that names the link or the month comes first."""
    settings = TABLES[table]
    declared = {
        caption: each if isinstance(each, dict) else {"type": each} for caption, each in settings["columns"].items()
    }
    names = {caption: each.get("as", caption.replace(" ", "_")) for caption, each in declared.items()}
    scopes = ["link"] * ("links" in settings) + ["period"] * ("periods" in settings)
    kinds = {caption: KINDS[each["type"]] for caption, each in declared.items()}

    def source() -> dict[Key, Row | None]:
        found: dict[Key, Row | None] = {}
        for link in links or settings.get("links") or [None]:
            for row in simulator.rows(table if link is None else f"{table}.{link}"):
                if row.get("Date From") == DUMMY_DAY or ("periods" in settings and row["Period"] not in PERIODS):
                    continue
                ours = {"link": link} if link else {"period": row["Period"]} if "period" in scopes else {}
                key = tuple(ours.values()) + tuple(_text(row[caption]) for caption in settings["key"])
                found[key] = _cells(row, ours, names, kinds)
        return found

    key = (*scopes, *(names[caption] for caption in settings["key"]))
    types = {**dict.fromkeys(scopes, pa.string()), **{names[caption]: kinds[caption] for caption in declared}}
    return Shown("links", table, key, types, source)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, date) else value


def _cells(
    row: Mapping[str, Any], ours: Mapping[str, Any], names: Mapping[str, str], kinds: Mapping[str, pa.DataType]
) -> Row | None:
    try:
        return {**ours, **{names[caption]: cell(row[caption], kinds[caption]) for caption in names}}
    except UnreadableError:
        return None
