"""Columns that hold lists: the entries of all rows are read as columns, as cells are, and put back into lists.

A row with one entry that cannot be read is refused whole, so that no list is ever shorter than it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.files.settings import ENTRY
from postroad.errors import RemoteError
from postroad.sdk.casting import Bad, true_rows
from postroad.sdk.sheets.cells import Converted
from postroad.sdk.sheets.columns import Column

T = pa.types
NO_OBJECTS = (list, str, int, float, Decimal)  # what else stands in parsed JSON
NO_LIST = Bad("wrong_type", "is no list")


@dataclass(frozen=True)
class ListColumn:
    """One declared column of lists: its caption, its name in the lake, and the members of the objects in it.

    A list of plain values has one member, without a caption.
    """

    caption: str
    name: str
    members: tuple[Column, ...]

    @property
    def plain(self) -> bool:
        """Whether what stands in it are no objects."""
        return self.members[0].caption == ENTRY

    @cached_property
    def type(self) -> pa.DataType:
        """Its Arrow type."""
        return pa.list_(self.members[0].type if self.plain else pa.struct(self.fields))

    @cached_property
    def fields(self) -> list[pa.Field]:
        """The members as they are in the lake."""
        return [pa.field(each.name, each.type, metadata={"source": each.caption}) for each in self.members]


def of_values(
    values: Sequence[Any], column: ListColumn, read: Callable[[Sequence[Any], Column], Converted]
) -> Converted:
    """The column of parsed JSON. `read` makes a column of the values of a member."""
    refused = {row: why for row, value in enumerate(values) if (why := _unfit(value, column)) is not None}
    lists: list[Any] = [None if row in refused else value for row, value in enumerate(values)]
    lengths = pa.array([None if each is None else len(each) for each in lists], pa.int32())
    flat = [*chain.from_iterable(filter(None, lists))]
    missing = pa.array([each is None for each in flat], pa.bool_())
    made = [read(flat if column.plain else [member(each, one.caption) for each in flat], one) for one in column.members]
    return _assembled(column, lengths, missing, made, refused)


def of_array(values: pa.Array, column: ListColumn, read: Callable[[pa.Array, Column], Converted]) -> Converted:
    """The column of one of a Parquet file. A member that its type lacks is null."""
    if not _fits(values.type, column) or T.is_null(values.type):
        refused = dict.fromkeys(true_rows(pc.is_valid(values)), NO_LIST)
        return Converted(pa.nulls(len(values), column.type), refused)
    lengths, flat = pc.list_value_length(values).cast(pa.int32()), pc.list_flatten(values)
    found = [flat if column.plain else found_in(flat, each.caption) for each in column.members]
    made = [
        read(pa.nulls(len(flat)) if values is None else values, each)
        for values, each in zip(found, column.members, strict=True)
    ]
    return _assembled(column, lengths, pc.is_null(flat), made, {})


def member(found: Mapping[str, Any] | None, caption: str) -> Any:
    """A member of an object of JSON, or a member of a member; None if it is not there."""
    if found is None or caption in found or "." not in caption:
        return None if found is None else found.get(caption)
    value: Any = found
    for step in caption.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def found_in(rows: pa.Array, caption: str) -> pa.Array | None:
    """The same of structures of Parquet, null where those around it are; None if their type lacks it."""
    path = _path(rows.type, caption)
    return None if path is None else pc.struct_field(rows, path)


def captions_of(schema: pa.Schema) -> list[str]:
    """The captions of a Parquet file: its columns, and the members of those that are structures."""
    inner = [
        f"{field.name}.{each}"
        for field in schema
        if T.is_struct(field.type)
        for each in captions_of(pa.schema(list(field.type)))
    ]
    return [*schema.names, *(each for each in inner if each not in schema.names)]


def require_lists(lists: Sequence[ListColumn], schema: pa.Schema, name: str) -> None:
    """RemoteError unless the columns of a Parquet file are lists as declared, or without any value."""
    for column in lists:
        kind = _kind(pa.struct(list(schema)), column.caption)
        if not _fits(kind, column):
            what = "plain values" if column.plain else "objects"
            raise RemoteError(f"{name} has a column '{column.caption}' that is {kind}, and no list of {what}")
        entries = kind.value_type if _is_list(kind) else kind
        missing = [each.caption for each in column.members if T.is_struct(entries) and not _path(entries, each.caption)]
        if missing:
            there = ", ".join(f"'{field.name}'" for field in entries)
            raise RemoteError(f"{name} has no '{missing[0]}' in its lists '{column.caption}'; it has {there}")


def _unfit(value: Any, column: ListColumn) -> Bad | None:
    if value is None:
        return None
    if not isinstance(value, list):
        return NO_LIST
    for at, each in enumerate(value, 1):
        if isinstance(each, (dict, list) if column.plain else NO_OBJECTS):
            return Bad("wrong_type", f"entry {at} is {'no plain value' if column.plain else 'no object'}")
    return None


def _assembled(
    column: ListColumn, lengths: pa.Array, missing: pa.Array, made: Sequence[Converted], refused: Mapping[int, Bad]
) -> Converted:
    """Lists of these lengths (null: no list) of entries, some of which are null."""
    counts = pc.fill_null(lengths, 0)
    ends = pc.cumulative_sum(counts)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    if column.plain:
        entries = made[0].array
    else:
        entries = pa.StructArray.from_arrays([each.array for each in made], fields=column.fields, mask=missing)
    found = Converted(pa.ListArray.from_arrays(offsets, entries, mask=pc.is_null(lengths)), dict(refused))
    if any(each.bad or each.ambiguous for each in made):
        _tell(found, column, made)
    return found


def _tell(found: Converted, column: ListColumn, made: Sequence[Converted]) -> None:
    """What is wrong with entries, or told of them, as facts of their rows. Loops over these entries, which are few."""
    rows = pc.list_parent_indices(found.array)
    starts = found.array.offsets
    for each, converted in zip(column.members, made, strict=True):
        place = "" if column.plain else f", {each.caption},"
        for at, why in sorted(converted.bad.items()):
            row = rows[at].as_py()
            entry = at - starts[row].as_py() + 1
            found.bad.setdefault(row, Bad(why.cause, f"entry {entry}{place} {why.sentence}"))
        for at, text in sorted(converted.ambiguous.items()):
            row = rows[at].as_py()
            told = f"[{at - starts[row].as_py()}]{'' if column.plain else '.' + each.name} {text}"
            before = found.ambiguous.get(row)
            found.ambiguous[row] = told if before is None else f"{before}; {told}"


def _fits(kind: pa.DataType, column: ListColumn) -> bool:
    """Whether such a column can be read. Where all lists are empty, or all are null, writers may know no type."""
    if not _is_list(kind) or T.is_null(kind.value_type):
        return bool(_is_list(kind) or T.is_null(kind))
    return not T.is_nested(kind.value_type) if column.plain else bool(T.is_struct(kind.value_type))


def _is_list(kind: pa.DataType) -> bool:
    return bool(T.is_list(kind) or T.is_large_list(kind) or T.is_fixed_size_list(kind))


def _kind(kind: pa.DataType, caption: str) -> pa.DataType:
    for step in _path(kind, caption) or ():
        kind = kind.field(step).type
    return kind


def _path(kind: pa.DataType, caption: str) -> list[str] | None:
    """Where a member stands in a structure, or in structures in it; None if it is not there."""
    if T.is_struct(kind) and kind.get_field_index(caption) >= 0:
        return [caption]
    path = caption.split(".")
    for step in path:
        if not T.is_struct(kind) or kind.get_field_index(step) < 0:
            return None
        kind = kind.field(step).type
    return path
