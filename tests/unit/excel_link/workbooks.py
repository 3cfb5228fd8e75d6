"""Tables, and the files and servers that the tests of the connector hold them in."""

from __future__ import annotations

import datetime as dt
import io
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import xlsxwriter

from postroad.connectors.excel_link.settings import ExcelLinkSettings
from postroad.connectors.excel_link.source import ExcelLinkSource
from postroad.records import Feed, Json, Payload, Refusal, Want
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools

NOW = dt.datetime(2026, 3, 15, 12, tzinfo=dt.UTC).timestamp()
TOKEN = "planted-token-0123456789-abcdefghij"
LINK = f"https://links.test/Flex/100000000000001.xlsx?t={TOKEN}"
COLUMNS = {"Code": "text", "Name": "text", "Rate": "decimal", "From": "date"}
CAPTIONS = tuple(COLUMNS)

Cells = Sequence[Sequence[Any]]


def rows(*codes: str) -> list[list[Any]]:
    """Rows of the usual table."""
    return [[code, f"name {code}", 7.5, dt.date(2026, 1, 1)] for code in codes]


def xlsx(cells: Cells, sheet: str = "Sheet1", captions: Sequence[Any] | None = CAPTIONS, **options: Any) -> bytes:
    """A workbook of one sheet; a cell `{"error": "#REF!"}` is a formula that failed."""
    memory = io.BytesIO()
    book = xlsxwriter.Workbook(memory, {"in_memory": True, **options})
    written = book.add_worksheet(sheet)
    formats = {kind: book.add_format({"num_format": text}) for kind, text in FORMATS.items()}
    for number, row in enumerate([captions, *cells] if captions is not None else cells):
        for column, cell in enumerate(row):
            _write(written, number, column, cell, formats)
    book.close()
    return memory.getvalue()


FORMATS = {dt.date: "yyyy-mm-dd", dt.datetime: "yyyy-mm-dd hh:mm:ss", dt.time: "hh:mm"}


def _write(sheet: Any, row: int, column: int, cell: Any, formats: Mapping[type, Any]) -> None:
    if isinstance(cell, str):
        sheet.write_string(row, column, cell)
    elif isinstance(cell, dict):
        sheet.write_formula(row, column, "=1/0", None, cell["error"])
    elif type(cell) in formats:
        sheet.write_datetime(row, column, cell, formats[type(cell)])
    elif cell is not None:
        sheet.write(row, column, cell)


def rezipped(body: bytes, replaced: Mapping[str, bytes | None], added: Iterable[tuple[str, bytes]] = ()) -> bytes:
    """A zip with some members replaced, left out (None) or added."""
    memory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            data = replaced.get(info.filename, old.read(info.filename))
            if data is not None:
                new.writestr(info.filename, data)
        for name, data in added:
            new.writestr(name, data)
    return memory.getvalue()


def member(body: bytes, name: str) -> bytes:
    """One member of a zip."""
    with zipfile.ZipFile(io.BytesIO(body)) as file:
        return file.read(name)


class Remote:
    """A server behind httpx's MockTransport: what it answers, and what it was asked."""

    def __init__(self, body: bytes = b"", **headers: str) -> None:
        self.body = body
        self.status = 200
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.asked: list[httpx.Request] = []
        self.answers: Callable[[httpx.Request], httpx.Response] | None = None
        self.now = NOW

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.answers is not None:
            return self.answers(request)
        etag = self.headers.get("etag")
        if etag is not None and request.headers.get("if-none-match") == etag:
            return httpx.Response(304, headers=self.headers)
        return httpx.Response(self.status, content=self.body, headers=self.headers)

    def source(self, table: Mapping[str, Any] | None = None, **settings: Any) -> ExcelLinkSource:
        """A source with one table `t` on this server, or with `tables` of its own."""
        tables = settings.pop("tables", {"t": usual(**(table or {}))})
        made = ExcelLinkSettings.model_validate({"tables": tables, **settings})
        tools = Tools(MemoryBudget(lambda: self.now), lambda: self.now, lambda _: None)
        return ExcelLinkSource(made, tools, transport=httpx.MockTransport(self.handle))


def usual(**changes: Any) -> dict[str, Any]:
    """The settings of the usual table, with some of them changed; None leaves one out."""
    made = {"link": LINK, "columns": COLUMNS, "key": ["Code"], **changes}
    return {name: value for name, value in made.items() if value is not None}


def feed_of(source: ExcelLinkSource, name: str = "t") -> Feed:
    """The feed of that name."""
    return next(feed for feed in source.discover() if feed.name == name)


def fetched(source: ExcelLinkSource, cursor: Json = None, name: str = "t") -> list[Payload]:
    """What one walk yields."""
    return list(source.fetch(feed_of(source, name), Want(cursor)))


def parsed(source: ExcelLinkSource, payload: Payload, name: str = "t") -> tuple[list[dict[str, Any]], list[Refusal]]:
    """The accepted rows, business columns only, and the refusals of a payload."""
    accepted: list[dict[str, Any]] = []
    refused: list[Refusal] = []
    for found in source.parse(feed_of(source, name), payload):
        accepted += found.records.to_pylist()
        refused += found.refusals
    return [{name: row[name] for name in row if name[0] != "_"} for row in accepted], refused


def of_file(
    tmp_path: Path, body: bytes, ending: str = "xlsx", limits: Mapping[str, int] | None = None, **table: Any
) -> ExcelLinkSource:
    """A source whose table `t` is a file with that body."""
    path = tmp_path / f"table.{ending}"
    path.write_bytes(body)
    settings = ExcelLinkSettings.model_validate(
        {"tables": {"t": usual(link=None, file=str(path), **table)}, **(limits or {})}
    )
    return ExcelLinkSource(settings, Tools(MemoryBudget(time.time), lambda: NOW))
