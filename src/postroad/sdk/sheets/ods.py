"""The content of an ods workbook, looked through before the reader, as `xlsx` does (ODF 1.2, part 1, 9 and 19)."""

from __future__ import annotations

from postroad.errors import RemoteError
from postroad.sdk.sheets.archive import Archive
from postroad.sdk.sheets.extent import MOST_COLUMNS, MOST_ROWS, Extent
from postroad.sdk.sheets.markup import Attributes, local, scan

CONTENT = "content.xml"
MANIFEST = "META-INF/manifest.xml"
VALUES = ("value", "string-value", "date-value", "time-value", "boolean-value")
MOST_SPACES = 32_767


def extents(archive: Archive, most_cells: int, most_text: int) -> dict[str, Extent]:
    """The extent of each sheet by its name; RemoteError if the content is hostile or over the limits.

    The reader repeats rows and cells as they ask for it (`number-rows-repeated`), all sheets at once.
    """
    if CONTENT not in archive or MANIFEST not in archive:
        raise RemoteError("the file is a zip but no ods workbook: it has no content.xml; set its format")
    content = _Content(most_cells, most_text)
    for name in archive.names():
        if name.casefold() == CONTENT:
            scan(archive.chunks(name), content.element, content.text)
        elif name.casefold().endswith(".xml"):
            scan(archive.chunks(name))
    content.finish_table()
    return content.found


class _Content:
    """Watches the elements of the content go by."""

    def __init__(self, most_cells: int, most_text: int) -> None:
        self.found: dict[str, Extent] = {}
        self._most_cells, self._most_text = most_cells, most_text
        self._name = ""
        self._extent: Extent | None = None
        self._row = self._next_row = 0  # the first of the rows that the current element stands for
        self._column = self._next_column = 0
        self._filled = self._wrong = False
        self._length = 0
        self._shown = ""

    def element(self, name: str, attributes: Attributes) -> None:
        """See `scan`."""
        if name == "table":
            self.finish_table()
            self._name = local(attributes, "name") or ""
            self._extent = self.found[self._name] = Extent()
            self._next_row = 0
        elif name == "table-row":
            self._finish_cell()
            self._row = self._next_row
            self._next_row += _repeats(local(attributes, "number-rows-repeated"), MOST_ROWS)
            self._next_column = 0
        elif name in ("table-cell", "covered-table-cell"):
            self._finish_cell()
            self._cell(attributes)
        elif name == "s":
            self._length += _repeats(local(attributes, "c"), MOST_SPACES)

    def text(self, text: str) -> None:
        """See `scan`."""
        self._length += len(text)
        if self._wrong:
            self._shown += text.strip()

    def finish_table(self) -> None:
        """Hold the sheet that ends against the limits."""
        self._finish_cell()
        if self._extent is not None:
            self._extent.require(f"sheet {self._name}", self._most_cells, self._most_text)
        self._extent = None

    def _cell(self, attributes: Attributes) -> None:
        self._column = self._next_column
        self._next_column += _repeats(local(attributes, "number-columns-repeated"), MOST_COLUMNS)
        kind = local(attributes, "value-type")
        self._filled = kind is not None or any(local(attributes, each) is not None for each in (*VALUES, "formula"))
        self._length = max((len(local(attributes, each) or "") for each in (*VALUES, "formula")), default=0)
        self._wrong, self._shown = _is_error(attributes), ""

    def _finish_cell(self) -> None:
        """Take account of the last cell, as often as it is repeated."""
        filled, self._filled = self._filled, False
        if not filled or self._extent is None:
            return
        self._extent.add(self._row, 0)  # The reader gathers each row from its first column.
        self._extent.add(self._next_row - 1, self._next_column - 1)
        times = (self._next_row - self._row) * (self._next_column - self._column)
        self._extent.text += times * self._length
        # At once, since a later sheet or row would be gathered on top of what is over the limits.
        self._extent.require(f"sheet {self._name}", self._most_cells, self._most_text)
        if self._wrong:
            for row in range(self._row, self._next_row):
                for column in range(self._column, self._next_column):
                    self._extent.errors[row, column] = self._shown or "#N/A"


def _is_error(attributes: Attributes) -> bool:
    """LibreOffice's own mark; the reader shows an error cell as an empty text."""
    return any(key.endswith(":value-type") and value == "error" for key, value in attributes.items())


def _repeats(text: str | None, most: int) -> int:
    if text is None:
        return 1
    if not text.isdecimal() or len(text) > 8 or int(text) > most:
        raise RemoteError(
            "a cell of the workbook is repeated beyond any sheet: the file is damaged or hostile; it is refused"
        )
    return int(text)
