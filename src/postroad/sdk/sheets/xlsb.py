"""The parts of an xlsb workbook, looked through before the reader, as `xlsx` does. Records: MS-XLSB 2.3 and 2.4."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from postroad.errors import RemoteError
from postroad.sdk.sheets.archive import DAMAGED, Archive
from postroad.sdk.sheets.extent import Extent
from postroad.sdk.sheets.markup import Attributes, scan

WORKBOOK = "xl/workbook.bin"
RELATIONS = "xl/_rels/workbook.bin.rels"
STRINGS = "xl/sharedStrings.bin"
ROW, ERROR, SHARED, FORMULA_ERROR, ITEM, PROPERTIES, SHEET = 0, 3, 7, 11, 19, 153, 156
CELLS = range(2, 12)  # those of them that hold something
SHEET_BEGINS, SHEET_ENDS = 145, 146
ERRORS = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}


class Workbook:
    """The directory of a workbook: its sheets' parts by name, and whether dates count from 1904."""

    def __init__(self, archive: Archive) -> None:
        self.from_1904 = False
        self._targets: dict[str, str] = {}
        self._parts: dict[str, str] = {}
        if WORKBOOK not in archive or RELATIONS not in archive:
            raise RemoteError("the file is a zip but no xlsb workbook: it has no xl/workbook.bin; set its format")
        scan(archive.chunks(RELATIONS), self._relation)
        for kind, data in records(archive, WORKBOOK):
            if kind == PROPERTIES:
                self.from_1904 = bool(data[:1] and data[0] & 1)
            elif kind == SHEET:
                self._sheet(data)

    def part(self, sheet: str) -> str:
        """The part of a sheet."""
        return self._parts.get(sheet, "")

    def _relation(self, name: str, attributes: Attributes) -> None:
        if name == "Relationship":
            self._targets[attributes.get("Id", "")] = f"xl/{attributes.get('Target', '')}"

    def _sheet(self, data: bytes) -> None:
        relation, rest = _wide(data[8:])
        name, _ = _wide(rest)
        if relation not in self._targets or name in self._parts:
            raise RemoteError(DAMAGED)
        self._parts[name] = self._targets[relation]


def extents(archive: Archive, most_cells: int, most_text: int) -> dict[str, Extent]:
    """The extent of each part by its name; RemoteError if a part is hostile or over the limits."""
    lengths = array("q")
    if STRINGS in archive:
        lengths.extend(_u32(data, 1) for kind, data in records(archive, STRINGS) if kind == ITEM)
    found = {}
    for name in archive.names():
        if name.casefold().startswith("xl/worksheets/") and name.casefold().endswith(".bin"):
            found[name.casefold()] = _extent(archive, name, lengths)
            found[name.casefold()].require(f"sheet part {name}", most_cells, most_text)
        elif name.casefold().endswith((".xml", ".rels")):
            scan(archive.chunks(name))
    return found


def _extent(archive: Archive, name: str, lengths: array[int]) -> Extent:
    extent = Extent()
    row = -1
    inside = False
    for kind, data in records(archive, name):
        if kind in (SHEET_BEGINS, SHEET_ENDS):
            inside = kind == SHEET_BEGINS
        elif inside and kind == ROW:
            row = _u32(data, 0)
        elif inside and kind in CELLS:
            column = _u32(data, 0)
            extent.add(row, column)
            if kind in (ERROR, FORMULA_ERROR):
                extent.errors[row, column] = ERRORS.get(data[8] if len(data) > 8 else 0x2A, "#N/A")
            elif kind == SHARED:
                extent.text += _length(lengths, _u32(data, 8))
    return extent


def records(archive: Archive, name: str) -> Iterator[tuple[int, bytes]]:
    """The records of a binary part: a number of one or two bytes, a length of up to four, and so many bytes."""
    data = memoryview(archive.read(name))
    at = 0
    while at < len(data):
        kind, at = _varint(data, at, 2)
        size, at = _varint(data, at, 4)
        if at + size > len(data):
            raise RemoteError(DAMAGED)
        yield kind, bytes(data[at : at + size])
        at += size


def _varint(data: memoryview, at: int, most: int) -> tuple[int, int]:
    value = 0
    for step in range(most):
        if at >= len(data):
            raise RemoteError(DAMAGED)
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * step)
        if not byte & 0x80:
            break
    return value, at


def _u32(data: bytes, at: int) -> int:
    if at + 4 > len(data):
        raise RemoteError(DAMAGED)
    number: int = struct.unpack_from("<I", data, at)[0]
    return number


def _length(lengths: array[int], place: int) -> int:
    if place >= len(lengths):
        raise RemoteError(DAMAGED)
    return lengths[place]


def _wide(data: bytes) -> tuple[str, bytes]:
    """A text with its length before it, and what follows."""
    size = _u32(data, 0) * 2
    if len(data) < 4 + size:
        raise RemoteError(DAMAGED)
    return data[4 : 4 + size].decode("utf-16-le", "replace"), data[4 + size :]
