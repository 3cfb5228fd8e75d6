"""Reading a target back: documents become Arrow again, typed as the dataset has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.read_concern import ReadConcern

from postroad.connectors.mongodb.encode import Forms, said_as_text
from postroad.connectors.mongodb.operations import DELETED, ID, forms_of, identities
from postroad.connectors.mongodb.settings import MongoSettings
from postroad.connectors.mongodb.targets import Db, rows_name
from postroad.records import VERSION, Entity
from postroad.sdk.casting import cast_deep

ROWS = 10_000  # of a batch of keys
KEYS = 500  # of one question
LIVE = {DELETED: {"$exists": False}, VERSION.name: {"$gt": 0}}
# A year that Python has not is no error here, but a value that differs.
CODEC: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)

T = pa.types
Found = Sequence[Mapping[str, Any]]


def keys(database: Db, target: Entity, settings: MongoSettings) -> Iterator[pa.RecordBatch]:
    """The live keys of a target with their versions."""
    fields = [*(target.schema.field(name) for name in target.key), VERSION]
    with _reader(database, target, settings).find(LIVE, [field.name for field in fields]) as cursor:
        while found := list(islice(cursor, ROWS)):
            yield _batch(found, fields, settings)


def read(database: Db, target: Entity, wanted: pa.Table, settings: MongoSettings) -> pa.RecordBatch:
    """The live records of some keys, with the columns that any of them has."""
    reader = _reader(database, target, settings)
    found: list[Mapping[str, Any]] = []
    for start in range(0, wanted.num_rows, KEYS):
        some = wanted.slice(start, KEYS).combine_chunks().to_batches()[0]
        chosen = [RawBSONDocument(each) for each in identities(target, some, settings).to_pylist()]
        found += reader.find({**LIVE, "$or": chosen})
    fields = [field for field in target.schema if not found or any(_has(each, field.name) for each in found)]
    return _batch(found, [*(_as_kept(field, settings) for field in fields), VERSION], settings)


def key_of(database: Db, target: Entity, identity: str, settings: MongoSettings) -> Sequence[Any] | None:
    """The key of the document with that `_id`; None where the `_id` is the key, or there is no such document."""
    if settings.id == "text" and len(target.key) > 1:
        return _split(identity)
    if settings.id != "objectid" or not ObjectId.is_valid(identity):
        return None
    found = _reader(database, target, settings).find_one({ID: ObjectId(identity)}, list(target.key))
    return None if found is None else [_at(found, name) for name in target.key]


def _split(identity: str) -> list[str]:
    """What `operations` joined: a bar of a value is `\\|`, a backslash two."""
    fields = re.findall(r"(?:^|\|)((?:\\.|[^\\|])*)", identity, re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", field, flags=re.DOTALL) for field in fields]


def _reader(database: Db, target: Entity, settings: MongoSettings) -> Any:
    name = rows_name(target.name, settings)
    return database.get_collection(name, codec_options=CODEC, read_concern=ReadConcern("majority"))


def _as_kept(field: pa.Field, settings: MongoSettings) -> pa.Field:
    """The type that says how exactly a value is kept."""

    def kept(kind: pa.DataType) -> pa.DataType:
        exact = settings.times != "date" or not T.is_timestamp(kind) or kind.tz is None
        return kind if exact or kind.unit not in {"us", "ns"} else pa.timestamp("ms", kind.tz)

    return field.with_type(_leaves(field.type, kept))


def _leaves(kind: pa.DataType, made: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """A type with another one for each plain type in it."""
    if T.is_list(kind) or T.is_large_list(kind):
        return pa.list_(_leaves(kind.value_type, made))
    if T.is_struct(kind):
        return pa.struct([each.with_type(_leaves(each.type, made)) for each in kind])
    return made(kind)


def _has(found: Mapping[str, Any], name: str) -> bool:
    *path, last = name.split(".")
    for step in path:
        found = found.get(step, {})
        if not isinstance(found, Mapping):
            return False
    return last in found


def _batch(found: Found, fields: Sequence[pa.Field], settings: MongoSettings) -> pa.RecordBatch:
    forms = forms_of(settings)
    arrays = [_array([_at(each, field.name) for each in found], field, forms) for field in fields]
    return pa.RecordBatch.from_arrays(arrays, [field.name for field in fields])


def _array(values: list[Any], field: pa.Field, forms: Forms) -> pa.Array:
    """A column. One that somebody else wrote into, so that it cannot be read as ours, is one of texts."""
    try:
        if T.is_nested(field.type):
            said = _leaves(field.type, lambda kind: pa.string() if said_as_text(kind, forms) else kind)
            return cast_deep(pa.array(values, said), field.type)
        if any(isinstance(value, str) for value in values):
            return pa.array(values, pa.string()).cast(field.type)
        return pa.array(values, field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _at(found: Mapping[str, Any], name: str) -> Any:
    value: Any = found
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return _plain(value)


def _plain(value: Any) -> Any:
    """A value as Arrow takes it."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
