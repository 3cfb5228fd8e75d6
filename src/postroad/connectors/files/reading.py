"""One file as pages, in its order: each a payload's body, and what `parse` must know to read it alone.

Text files are cut into blocks of whole rows and are UTF-8 from here on. A page is numbered in its file; the same file
gives the same pages again, so that after a kill the pages that landed are read past and not landed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from postroad.connectors.files import parquetfile, workbooks
from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.dialect import form_of
from postroad.connectors.files.encodings import as_utf8, encoding_of
from postroad.connectors.files.places import Found, Place
from postroad.connectors.files.settings import ENDINGS, WITH_LISTS, FilesSettings, Format
from postroad.connectors.files.settled import values_of
from postroad.errors import RemoteError
from postroad.records import Json
from postroad.sdk.blocks import Cutter

BLOCK = 4 << 20  # bytes of one page of a text file
HEAD = 1 << 18  # bytes in which captions must stand, and by which a file tells what it is
NOTHING, VANISHED = "nothing", "vanished"  # formats of pages that hold no part of a file
ZIP, OLE, PARQUET = b"PK", b"\xd0\xcf\x11\xe0", b"PAR1"


@dataclass(frozen=True)
class Page:
    """A part of a file, JSON-able facts beside it."""

    body: bytes
    meta: Mapping[str, Json]


class Reading:
    """One reading of one file. Its `digest` is known once all pages were taken."""

    def __init__(self, settings: FilesSettings, place: Place, dataset: DeclaredDataset, file: Found) -> None:
        self._settings = settings
        self._place = place
        self._dataset = dataset
        self._file = file
        self._hash = hashlib.sha256()
        self.format = format_of(dataset, file.name)
        self.facts: dict[str, Json] = {
            "format": self.format,
            "file": file.name,
            "values": dict(values_of(dataset, file.name)),
        }

    @property
    def digest(self) -> str:
        """Of the bytes that were read."""
        return self._hash.hexdigest()[:32]

    def pages(self) -> Iterator[Page]:
        """The pages; RemoteError for a file that cannot be used, ChangedError for one that changes meanwhile."""
        if self._dataset.lists and self.format not in WITH_LISTS:
            raise RemoteError(
                f"{self._file.name} is {self.format}, which has no lists: declare its dataset without, or under a "
                "pattern of its own"
            )
        pages = {"csv": self._csv, "jsonl": self._lines, "parquet": self._parquet}.get(self.format, self._workbook)
        return pages()

    def left(self, landed: int) -> Iterator[tuple[int, Page, bool]]:
        """The pages behind those that landed, with their numbers, and whether one is the last of the file."""
        before: Page | None = None
        number = 0
        for number, page in enumerate(self.pages(), 1):
            if before is not None and number - 1 > landed:
                yield number - 1, before, False
            before = page
        if before is not None and number > landed:
            yield number, before, True

    def _pieces(self) -> Iterator[bytes]:
        for piece in self._place.pieces(self._file):
            self._hash.update(piece)
            yield piece

    def _csv(self) -> Iterator[Page]:
        name, settings = self._file.name, self._dataset.settings
        head, pieces = _headed(self._pieces())
        require_format(head, self.format, name)
        encoding, mark = encoding_of(head, settings.encoding, name)
        if len(head) == mark and settings.holds == "changes":
            return  # An export without changes often is a file without anything; a snapshot has captions at least.
        text, pieces = _headed(as_utf8(pieces, encoding, mark, name))
        form = form_of(text.decode("utf-8", "replace"), self._dataset, name)
        facts = {**self.facts, "encoding": encoding, "form": {**vars(form), "captions": list(form.captions)}}
        quote = form.quote.encode() if form.quote is not None else None
        for block in Cutter(form.newline.encode(), quote).blocks(pieces, BLOCK, name):
            yield Page(block.body, {**facts, "line": block.line})

    def _lines(self) -> Iterator[Page]:
        name = self._file.name
        head, pieces = _headed(self._pieces())
        require_format(head, self.format, name)
        encoding, mark = encoding_of(head, self._dataset.settings.encoding, name)
        for block in Cutter().blocks(as_utf8(pieces, encoding, mark, name), BLOCK, name):
            yield Page(block.body, {**self.facts, "encoding": encoding, "line": block.line})

    def _parquet(self) -> Iterator[Page]:
        for _ in self._pieces():
            pass  # Read once for its digest: its columns are read here and there.
        with self._place.opened(self._file) as opened:
            for each in parquetfile.slices(opened, self._file.size, self._dataset, self._file.name):
                self._place.require_same(self._file)
                yield Page(each.body, {**self.facts, "line": each.row})

    def _workbook(self) -> Iterator[Page]:
        name = self._file.name
        body = workbooks.whole(self._pieces(), self._settings, name)
        try:
            grid = workbooks.grid_of(body, self.format, self._dataset, self._settings, complete=True)
            for _ in grid.batches():
                pass  # To its end, so that one that cannot be used is known before it lands.
        except RemoteError as error:
            raise RemoteError(f"{name}: {error}") from None
        yield Page(body, self.facts)


def vanished(name: str, pages: int) -> Page:
    """What lands in place of the rest of a file that is there no more."""
    return Page(name.encode(), {"format": VANISHED, "file": name, "pages": pages, "values": {}})


def digest_of(place: Place, file: Found) -> str:
    """The digest of a file as it lies there."""
    whole = hashlib.sha256()
    for piece in place.pieces(file):
        whole.update(piece)
    return whole.hexdigest()[:32]


def format_of(dataset: DeclaredDataset, name: str) -> Format:
    """The declared format, else by the file's ending; RemoteError if neither tells."""
    found = dataset.settings.format or ENDINGS.get(name.rpartition(".")[2].casefold())
    if found is None:
        raise RemoteError(f"{name} does not tell by its ending what it is: set the dataset's format")
    return found


def require_format(head: bytes, kind: str, name: str) -> None:
    """RemoteError if a text file is evidently something else."""
    if head.startswith(ZIP):
        raise RemoteError(f"{name} is a zip, such as a workbook, and no {kind}: set the dataset's format")
    if head.startswith(OLE):
        raise RemoteError(f"{name} is an old .xls workbook or an encrypted one, and no {kind}: save it as .xlsx")
    if head.startswith(PARQUET):
        raise RemoteError(f"{name} is a Parquet file and no {kind}: set the dataset's format")
    if head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise RemoteError(f"{name} is a web page or XML and no {kind}: look into it, and export it again")


def _headed(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes of a file, and all of it."""
    first = []
    length = 0
    for piece in pieces:
        first.append(piece)
        length += len(piece)
        if length >= HEAD:
            break
    whole = b"".join(first)
    return whole[:HEAD], chain([whole], pieces)
