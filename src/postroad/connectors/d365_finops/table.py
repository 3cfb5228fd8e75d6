"""The rows of a block as columns of text, and what of it is no row.

A text qualifier that is not doubled, or a line break outside of one, costs the line that holds it and no other (fact
sheet 3.2): see `sdk.csvrows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from postroad.sdk import csvrows
from postroad.sdk.casting import cast_or_find

STRING = pa.string()


@dataclass(frozen=True)
class Form:
    """How the lines of a block are written."""

    captions: tuple[str, ...]
    delimiter: str
    qualifier: str


@dataclass(frozen=True)
class Broken:
    """What is no row: its place in the payload, why, and its text."""

    place: int
    cause: str
    sentence: str
    raw: str


@dataclass(frozen=True)
class Texts:
    """The columns wanted, by name, each row's place in the payload, and what is no row."""

    columns: Mapping[str, pa.Array]
    places: pa.Array
    broken: Sequence[Broken]


def texts(body: bytes, form: Form, wanted: Sequence[str], lines: Sequence[str]) -> Texts:
    """The columns of a block; `lines` are those whose values may have several lines. A place is a line, from 0."""
    several = frozenset(place for place, caption in enumerate(form.captions) if caption in lines)
    found = csvrows.texts(body, csvrows.Form(len(form.captions), form.delimiter, form.qualifier, several=several), 0)
    columns, no_text = {}, set()
    for name in wanted:
        columns[name], rows = cast_or_find(found.columns[form.captions.index(name)], STRING)
        no_text |= {*rows}
    broken = [Broken(each.line, each.why.cause, f"the line {each.why.sentence}", each.raw) for each in found.refused]
    if not no_text:
        return Texts(columns, found.lines, broken)
    broken += [
        Broken(found.lines[row].as_py(), "bad_text", "the row holds bytes that are no text", found.raw(row))
        for row in sorted(no_text)
    ]
    good = pc.invert(pc.is_in(pa.arange(0, len(found.lines)), pa.array(sorted(no_text), pa.int64())))
    return Texts({name: each.filter(good) for name, each in columns.items()}, found.lines.filter(good), broken)
