"""One opened connection, as everything that fetches sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from postroad.connectors.d365_finops.api import Execution
from postroad.connectors.d365_finops.blocks import Block, blocks
from postroad.connectors.d365_finops.declaration import Declaration
from postroad.connectors.d365_finops.exports import Exports
from postroad.connectors.d365_finops.faults import FileError
from postroad.connectors.d365_finops.package import Package
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.connectors.d365_finops.table import Form, texts
from postroad.records import Json

MB = 1024 * 1024


@dataclass(frozen=True)
class Piece:
    """One block of an entity's file, with what `parse` needs to read it."""

    declaration: Declaration
    block: Block
    identifier: str
    meta: dict[str, Json]


@dataclass(frozen=True)
class Session:
    """The settings of a connection and its exports."""

    settings: FinopsSettings
    exports: Exports

    @property
    def block_size(self) -> int:
        """How many bytes a block has at most, while its file is cut."""
        return max(1, int(self.settings.block_megabytes * MB))

    def exports_of(self, declaration: Declaration, company: str) -> bool:
        """Whether an export of this company is the one that an entity's rows are taken from.

        A shared entity is exported whole whatever the company (fact sheet 2.4), so the first one tells it.
        """
        return not declaration.shared or company == self.settings.companies[0]

    def pieces(
        self, package: Package | None, execution: Execution, declaration: Declaration, size: int
    ) -> Iterator[Piece]:
        """The blocks of an entity's file; FileError if it cannot be used."""
        name = None if package is None else package.file(declaration)
        if package is not None and self.settings.row_counts:
            self._require_rows(package, name, execution, declaration)
        if package is not None and name is not None:
            if name.casefold().endswith((".xlsx", ".xls", ".xml")):
                raise FileError(
                    f"{declaration.name} is exported as {name.rpartition('.')[2]}: set its source format to CSV-Unicode"
                )
            for number, block in enumerate(self._blocks(package, name, size)):
                self._require_key(declaration, block)
                meta = {
                    "company": execution.company,
                    "captions": list(block.captions),
                    "delimiter": self.settings.delimiter,
                    "qualifier": self.settings.qualifier,
                    "execution": execution.id,
                    "file": name,
                    "block": number,
                }
                yield Piece(declaration, block, f"{execution.id},{declaration.name},{number}", meta)

    def _require_rows(self, package: Package, name: str | None, execution: Execution, declaration: Declaration) -> None:
        """FileError for a file with fewer rows than the system says that it wrote; more are lines of broken ones."""
        wrote = self.exports.rows(execution).get(declaration.label.casefold(), 0)
        counted = 0 if name is None else package.rows[name]
        if counted is None or counted >= wrote:
            return
        # A stray text qualifier hides rows from a plain count: what is taken and what is refused tell them apart.
        found = 0 if name is None else self._lines(package, name, declaration)
        if found < wrote:
            raise FileError(
                f"the file of {declaration.name} has {found:,} rows, and Finance & Operations says that it wrote "
                f"{wrote:,}; if it counts otherwise, set row_counts to false"
            )

    def _lines(self, package: Package, name: str, declaration: Declaration) -> int:
        """How many rows would be taken from a file, and lines of it refused."""
        several = [each.caption for each in declaration.fields if each.kind == "m"]
        count = 0
        for block in self._blocks(package, name, self.block_size):
            form = Form(block.captions, self.settings.delimiter, self.settings.qualifier)
            found = texts(block.text, form, block.captions[:1], several)
            count += len(found.places) + len(found.broken)
        return count

    def _blocks(self, package: Package, name: str, size: int) -> Iterator[Block]:
        settings = self.settings
        return blocks(package.pieces(name), settings.encoding, settings.delimiter, settings.qualifier, size)

    def _require_key(self, declaration: Declaration, block: Block) -> None:
        lost = [name for name in declaration.own_key if name.upper() not in block.captions]
        if lost:
            raise FileError(
                f"the file of {declaration.name} has no column {lost[0].upper()}, which is part of its key: map it in "
                "the project again"
            )
