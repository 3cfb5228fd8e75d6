"""How the lines of a csv file are written: captions, delimiter and line ends, declared or told by its first lines."""

from __future__ import annotations

import csv
import difflib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from postroad.connectors.files.datasets import DeclaredDataset
from postroad.connectors.files.settings import SNIFF
from postroad.errors import RemoteError
from postroad.sdk import csvrows

DELIMITERS = (",", ";", "\t", "|")
SHOWN = 40  # captions in a sentence
MOST_WIDE = 10_000


@dataclass(frozen=True)
class Form:
    """The columns of a file by position ("" for one without a caption), and how its lines are written.

    `skip` lines stand before the first row. JSON-able by `vars`, since each block must be readable alone.
    """

    captions: tuple[str, ...]
    delimiter: str
    quote: str | None
    newline: str
    skip: int

    @property
    def of_rows(self) -> csvrows.Form:
        """The same for who reads rows."""
        return csvrows.Form(len(self.captions), self.delimiter, self.quote, self.newline)


def form_of(head: str, dataset: DeclaredDataset, name: str) -> Form:
    """The form of a file that begins so; RemoteError if it is not what was declared."""
    settings = dataset.settings
    newline = "\r" if "\r" in head and "\n" not in head else "\n"
    lines = _Lines(head, settings.quote)
    if settings.header == SNIFF:
        first = _best(lines, 1, dataset)
        wanted = {each.caption for each in dataset.columns}
        if first is None or not wanted & set(first[0]):
            return _without_captions(lines, dataset, newline, name)
    elif settings.header == 0:
        return _without_captions(lines, dataset, newline, name)
    row = 1 if settings.header == SNIFF else int(settings.header)
    found = _best(lines, row, dataset)
    if found is None:
        raise RemoteError(f"{name} ends before line {row}, which should hold the captions: check header")
    captions, delimiter, skip = found
    _require_columns(dataset, captions, f"{name} line {row}")
    return Form(tuple(captions), delimiter, settings.quote, newline, skip)


@dataclass(frozen=True)
class _Lines:
    """The first lines of a file, split by one delimiter or another."""

    head: str
    quote: str | None

    def row(self, number: int, delimiter: str) -> tuple[list[str], int] | None:
        """The fields of a row, and the number of the line that it ends on; None if there is no such row."""
        text = io.StringIO(self.head, newline="")
        if self.quote is None:
            reader = csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        else:
            reader = csv.reader(text, delimiter=delimiter, quotechar=self.quote)
        try:
            for at, fields in enumerate(reader, 1):
                if at == number:
                    return fields, reader.line_num
        except csv.Error:
            return None
        return None


def _best(lines: _Lines, row: int, dataset: DeclaredDataset) -> tuple[list[str], str, int] | None:
    """The captions by the delimiter that gives most of the declared ones, that delimiter, and the lines so far."""
    declared = dataset.settings.delimiter
    wanted = {each.caption for each in dataset.columns}
    best: tuple[int, int, list[str], str, int] | None = None
    for delimiter in DELIMITERS if declared == SNIFF else (declared,):
        found = lines.row(row, delimiter)
        if found is not None:
            captions = [caption_of(field) for field in found[0]]
            score = (len(wanted & set(captions)), len(captions))
            if best is None or score > best[:2]:
                best = (*score, captions, delimiter, found[1])
    return None if best is None else best[2:]


def _without_captions(lines: _Lines, dataset: DeclaredDataset, newline: str, name: str) -> Form:
    captions = tuple(each.caption for each in dataset.columns)
    declared = dataset.settings.delimiter
    if declared != SNIFF:
        return Form(captions, declared, lines.quote, newline, 0)
    for delimiter in DELIMITERS:
        found = lines.row(1, delimiter)
        if found is None or len(found[0]) == len(captions):
            return Form(captions, delimiter, lines.quote, newline, 0)
    raise RemoteError(
        f"{name} has no captions, and no delimiter gives its first line the {len(captions)} declared columns: set "
        "delimiter and columns, or header if it has captions"
    )


def caption_of(field: str) -> str:
    """A caption as it is compared: spaces at its ends, and hard spaces, are nobody's intention."""
    return " ".join(field.split())


def _require_columns(dataset: DeclaredDataset, captions: Sequence[str], where: str) -> None:
    require_columns([each.caption for each in dataset.columns], captions, where)
    if len(captions) > MOST_WIDE:
        raise RemoteError(f"{where} has {len(captions):,} columns: is it a csv file?")


def require_columns(declared: Sequence[str], captions: Sequence[str], where: str) -> None:
    """RemoteError unless each declared column stands once among the captions; it lists what is there instead."""
    counts = Counter(captions)
    twins = [each for each in declared if counts[each] > 1]
    if twins:
        raise RemoteError(f"{where} has the caption '{twins[0]}' twice: rename one of the columns in the file")
    missing = [each for each in declared if not counts[each]]
    if not missing:
        return
    known = [caption for caption in captions if caption]
    listed = ", ".join(f"'{_short(each)}'" for each in known[:SHOWN]) or "nothing"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    hints = [near for each in missing for near in difflib.get_close_matches(each, known, 1)]
    hint = f"; did you mean {' and '.join(f'{_short(each)!r}' for each in hints)}?" if hints else ""
    columns = " and ".join(f"'{each}'" for each in missing)
    raise RemoteError(f"{where} has no column {columns}; it has {listed}{more}{hint}")


def _short(caption: str) -> str:
    return caption if len(caption) <= 60 else f"{caption[:57]}..."
