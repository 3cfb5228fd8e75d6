"""The parts of an xlsx workbook, looked through before the reader: sheets, dates' epoch, extents, error cells.

Element and attribute names: ECMA-376, part 1, 18.2 and 18.3.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter

from postroad.errors import RemoteError
from postroad.sdk.sheets.archive import DAMAGED, Archive
from postroad.sdk.sheets.extent import Extent
from postroad.sdk.sheets.markup import Attributes, local, scan

WORKBOOK = "xl/workbook.xml"
RELATIONS = "xl/_rels/workbook.xml.rels"
STRINGS = "xl/sharedStrings.xml"
CELL = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")


class Workbook:
    """The directory of a workbook: its sheets' parts by name, and whether dates count from 1904."""

    def __init__(self, archive: Archive) -> None:
        self.from_1904 = False
        self._targets: dict[str, str] = {}
        self._sheets: list[tuple[str, str]] = []
        if WORKBOOK not in archive or RELATIONS not in archive:
            raise RemoteError("the file is a zip but no xlsx workbook: it has no xl/workbook.xml; set its format")
        scan(archive.chunks(RELATIONS), self._relation)
        scan(archive.chunks(WORKBOOK), self._element)
        twins = [name for name, times in Counter(name for name, _ in self._sheets).items() if times > 1]
        if twins:
            raise RemoteError(f"the workbook has two sheets called {twins[0]}: it is damaged; export it again")

    def part(self, sheet: str) -> str:
        """The part of a sheet."""
        return dict(self._sheets).get(sheet, "")

    def _relation(self, name: str, attributes: Attributes) -> None:
        if name == "Relationship":
            target = attributes.get("Target", "")
            target = target.removeprefix("/")
            self._targets[attributes.get("Id", "")] = target if target.startswith("xl/") else f"xl/{target}"

    def _element(self, name: str, attributes: Attributes) -> None:
        if name == "sheet":
            part = self._targets.get(local(attributes, "id") or "", "")
            self._sheets.append((attributes.get("name", ""), part))
        elif name == "workbookPr":
            self.from_1904 = attributes.get("date1904", "0") in ("1", "true")


def extents(archive: Archive, most_cells: int, most_text: int) -> dict[str, Extent]:
    """The extent of each part by its name; RemoteError if a part is hostile or over the limits."""
    strings = _Strings()
    if STRINGS in archive:
        scan(archive.chunks(STRINGS), strings.element, strings.text)
    found = {}
    for name in archive.names():
        if name.casefold().endswith((".xml", ".rels")) and name.casefold() != STRINGS.casefold():
            cells = _Cells(strings.lengths)
            scan(archive.chunks(name), cells.element, cells.text)
            cells.finish()
            cells.extent.require(f"sheet part {name}", most_cells, most_text)
            found[name.casefold()] = cells.extent
    return found


class _Strings:
    """The lengths of the shared texts."""

    def __init__(self) -> None:
        self.lengths = array("q")

    def element(self, name: str, _: Attributes) -> None:
        if name == "si":
            self.lengths.append(0)

    def text(self, text: str) -> None:
        if self.lengths:
            self.lengths[-1] += len(text)


class _Cells:
    """Watches the elements of one part go by; only those inside a sheet's data count."""

    def __init__(self, lengths: array[int]) -> None:
        self.extent = Extent()
        self._lengths = lengths
        self._inside = False
        self._row = self._column = -1
        self._kind = ""
        self._value: str | None = None

    def element(self, name: str, attributes: Attributes) -> None:
        """See `scan`. The frequent elements first: a sheet has millions."""
        if not self._inside:
            self._inside = name == "sheetData"
        elif name == "c":
            self.finish()
            self._cell(attributes)
        elif name in ("v", "is"):
            self.extent.add(self._row, self._column)
            self._value = "" if self._kind in ("s", "e") else None
        elif name == "row":
            self.finish()
            number = attributes.get("r", "")
            self._row = int(number) - 1 if number.isdecimal() and len(number) < 8 else self._row + 1
            self._column = -1

    def text(self, text: str) -> None:
        """See `scan`."""
        if self._value is not None:
            self._value += text

    def finish(self) -> None:
        """Take account of the value of the last cell, which may have come in pieces."""
        value, self._value = self._value, None
        if value is None:
            return
        if self._kind == "e":
            self.extent.errors[self._row, self._column] = value.strip() or "#N/A"
            return
        try:
            self.extent.text += self._lengths[int(value)]
        except (ValueError, IndexError):
            raise RemoteError(DAMAGED) from None

    def _cell(self, attributes: Attributes) -> None:
        place = attributes.get("r")
        match = CELL.fullmatch(place) if place is not None else None
        if match is not None:
            self._row, self._column = int(match[2]) - 1, column_number(match[1])
        elif place is None:
            self._column += 1
        else:
            raise RemoteError(DAMAGED)
        self._kind = attributes.get("t", "n")


def column_number(letters: str) -> int:
    """`A` is 0, `XFD` is 16383."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1
