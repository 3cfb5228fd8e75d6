"""How large a sheet becomes in memory, counted before a reader allocates it, and where its error cells are."""

from __future__ import annotations

from dataclasses import dataclass, field

from postroad.errors import RemoteError

MOST_ROWS, MOST_COLUMNS = 1_048_576, 16_384


@dataclass
class Extent:
    """What a scan found in one sheet. Rows and columns count from 0; `errors` are texts such as #REF! by cell.

    Readers of workbooks make one block from the first to the last cell that holds something: a cell at XFD1048576
    would cost them hundreds of gigabytes.
    """

    first_row: int = MOST_ROWS
    last_row: int = -1
    first_column: int = MOST_COLUMNS
    last_column: int = -1
    text: int = 0  # characters of shared texts, as often as cells use them
    errors: dict[tuple[int, int], str] = field(default_factory=dict)

    def add(self, row: int, column: int) -> None:
        """A cell that holds something."""
        if not (0 <= row < MOST_ROWS and 0 <= column < MOST_COLUMNS):
            raise RemoteError(
                "a cell of the workbook lies outside any sheet: the file is damaged or hostile; it is refused"
            )
        self.last_row = max(self.last_row, row)
        self.last_column = max(self.last_column, column)
        self.first_row = min(self.first_row, row)
        self.first_column = min(self.first_column, column)

    @property
    def cells(self) -> int:
        """The cells of the block."""
        if self.last_row < 0:
            return 0
        return (self.last_row - self.first_row + 1) * (self.last_column - self.first_column + 1)

    def require(self, what: str, most_cells: int, most_text: int) -> None:
        """RemoteError if the sheet is over the limits."""
        if self.cells > most_cells:
            raise RemoteError(
                f"{what} reaches from row {self.first_row + 1:,} to row {self.last_row + 1:,} over "
                f"{self.last_column - self.first_column + 1:,} columns, {self.cells:,} cells, more than most_cells = "
                f"{most_cells:,}: clear stray cells far away, or raise it"
            )
        if self.text > most_text:
            raise RemoteError(
                f"the texts of {what} come to {self.text:,} characters: raise most_unpacked_megabytes if that is right"
            )
