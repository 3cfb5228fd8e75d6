"""Records as the operations of one bulk write: for each a filter with the guard, and what is written where it matches.

    identity   the fields that tell the document: `_id`, or the key's fields where `_id` is an ObjectId
    filter     the identity, and a version that is older than the record's
    update     the whole document, or the tombstone without its date; with soft deletes a pipeline's one stage, or
               operators; null: nothing is written
    deleted    which of them is a delete
    version    the record's
    problem    why a record cannot be sent

All updates insert what they do not find. So a document that is there and not older makes the filter miss, and the
insert fails on its identity: MongoDB decides between any two versions of a key, in one document, whoever sends them.
That is why a deleted row stays as a tombstone in the same collection. With tombstones in a collection of their own two
workers could pass each other between the two, and one that dies between them would leave a row that rose again.

A soft delete has a version of its own, `_deleted_version`, so that the row's last values arrive whatever comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.mongodb import encode
from postroad.connectors.mongodb.encode import B, Forms
from postroad.connectors.mongodb.settings import MongoSettings
from postroad.errors import ConfigError
from postroad.records import CHANGED_AT, DELETE, OP, VERSION, Entity

ID = "_id"
DELETED = "_deleted"
DELETED_AT = "_deleted_at"
DELETED_VERSION = "_deleted_version"
LARGEST = 16 * 1024 * 1024  # bytes of a document
AT_ONCE = 16 * 1024 * 1024  # bytes of records, about, in one package
MOST = 1_000  # records of one, so that a slow server answers in time
SEPARATOR = "|"
TRUE = b"\1"


def cut(records: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The records in pieces that make one package each."""
    each = max(records.nbytes // max(records.num_rows, 1), 1)
    rows = max(1, min(MOST, AT_ONCE // each))
    for start in range(0, records.num_rows, rows):
        yield records.slice(start, rows)


def operations(target: Entity, records: pa.RecordBatch, settings: MongoSettings) -> pa.RecordBatch:
    """The operations of these records in their order; ConfigError if a column has no form in a document."""
    deleted = pc.equal(records.column(OP.name), DELETE)
    if not pc.any(deleted).as_py():
        return _Writer(target, records, settings).upserts()
    gone = _Writer(target, records.filter(deleted), settings).deletes()
    kept = _Writer(target, records.filter(pc.invert(deleted)), settings).upserts()
    places = pa.concat_arrays([pc.indices_nonzero(deleted), pc.indices_nonzero(pc.invert(deleted))])
    return pa.concat_batches([gone, kept]).take(pc.sort_indices(places))


def identities(target: Entity, records: pa.RecordBatch, settings: MongoSettings) -> pa.Array:
    """What tells the documents of these keys, as filters."""
    return encode.document(_identity(target.key, records, settings)[0], records.num_rows)


class _Writer:
    """Upserts alone, or deletes alone."""

    def __init__(self, target: Entity, records: pa.RecordBatch, settings: MongoSettings) -> None:
        self._target = target
        self._records = records
        self._rows = records.num_rows
        self._settings = settings
        self._forms = forms_of(settings)
        self._version = encode.column(VERSION.name, records.column(VERSION.name), self._forms).data

    def upserts(self) -> pa.RecordBatch:
        """The record as a document."""
        identity, bad = self._identity()
        own = [] if self._settings.id == "objectid" else identity
        columns, more = encode.tree(nested(self._target.schema.names, self._records), self._forms)
        changed = encode.column(CHANGED_AT.name, self._records.column(CHANGED_AT.name), self._forms).data
        whole = self._document([*own, *columns, changed, self._version])
        if self._settings.deletes == "soft":
            update = self._document([self._stage(whole, _still_deleted(self._records.column(VERSION.name)))])
        else:
            update = whole
        return self._batch(identity, [], update, encode.either([bad, more]), whole, deleted=False)

    def deletes(self) -> pa.RecordBatch:
        """The tombstone, or the mark, or nothing."""
        identity, bad = self._identity()
        mark = encode.constant(DELETED, b"\x08", TRUE)
        versions = self._records.column(VERSION.name)
        guard: list[Any] = []
        update = pa.nulls(self._rows, B)
        if self._settings.deletes == "hard":
            own = self._key() if self._settings.id == "objectid" else identity
            update = self._document([*own, self._version, mark])
        elif self._settings.deletes == "soft":
            version = encode.column(DELETED_VERSION, versions, self._forms).data
            found = [] if self._settings.id == "objectid" else self._key()  # the filter sets these otherwise
            update = self._document([
                self._subdocument("$set", [mark, version]),
                self._subdocument("$setOnInsert", [*found, encode.constant(VERSION.name, b"\x12", bytes(8))]),
            ])  # fmt: skip
            newer = self._subdocument("$not", [encode.column("$gte", versions, self._forms).data])
            guard = [self._subdocument(DELETED_VERSION, [newer])]
        return self._batch(identity, guard, update, bad, update, deleted=True)

    def _batch(
        self, identity: list[Any], guard: list[Any], update: pa.Array, bad: Any, whole: pa.Array, *, deleted: bool
    ) -> pa.RecordBatch:
        versions = self._records.column(VERSION.name)
        older = self._subdocument(VERSION.name, [encode.column("$lt", versions, self._forms).data])
        size = pc.fill_null(pc.greater(pc.binary_length(whole), LARGEST), False)
        problem = pc.if_else(
            size, "its document is larger than the 16 MiB that MongoDB takes", pa.scalar(None, pa.string())
        )
        if bad is not None:
            problem = pc.if_else(bad, f"a decimal {encode.TOO_LONG}", problem)
        return pa.RecordBatch.from_pydict({
            "identity": self._document(identity),
            "filter": self._document([*identity, older, *guard]),
            "update": pc.if_else(problem.is_null(), update, pa.scalar(None, B)),
            "deleted": pa.repeat(deleted, self._rows),
            "version": versions,
            "problem": problem,
        })  # fmt: skip

    def _identity(self) -> tuple[list[Any], Any]:
        return _identity(self._target.key, self._records, self._settings)

    def _key(self) -> list[Any]:
        return encode.tree(nested(self._target.key, self._records), self._forms)[0]

    def _stage(self, literal: pa.Array, then: pa.Array) -> pa.Array:
        """`{$replaceWith: {$mergeObjects: [{$literal: …}, …]}}`."""
        first = self._document([encode.element("$literal", literal)])
        return self._subdocument("$replaceWith", [encode.array("$mergeObjects", [first, then])])

    def _document(self, elements: Sequence[Any]) -> pa.Array:
        return encode.document(elements, self._rows)

    def _subdocument(self, name: str, elements: Sequence[Any]) -> pa.Array:
        return encode.subdocument(name, elements, self._rows)


def _identity(key: Sequence[str], records: pa.RecordBatch, settings: MongoSettings) -> tuple[list[Any], Any]:
    """The elements that tell a document, as a filter takes them, and the rows whose key BSON cannot say."""
    columns, forms = [records.column(name) for name in key], forms_of(settings)
    if settings.id == "text":
        return [encode.column(ID, _joined(columns), forms).data], None
    if settings.id == "key" and len(key) == 1:
        only = encode.column(ID, columns[0], forms)
        return [only.data], only.bad
    if settings.id == "objectid":
        found = [encode.column(name, each, forms) for name, each in zip(key, columns, strict=True)]
        return [each.data for each in found], encode.either([each.bad for each in found])
    elements, bad = encode.tree(nested(key, records), forms)
    return [encode.subdocument(ID, elements, records.num_rows)], bad


def forms_of(settings: MongoSettings) -> Forms:
    """Which form decimals, days and instants take in a connection's documents."""
    return Forms(settings.decimals, settings.dates, settings.times)


def nested(names: Sequence[str], records: pa.RecordBatch) -> encode.Tree:
    """Columns by their names; a dotted one, `address.city`, is a field of a sub-document."""
    found: dict[str, Any] = {}
    for name in names:
        *path, last = [encode.require_name(step, name) for step in name.split(".")]
        place: Any = found
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise _same(name)
        if last in place:
            raise _same(name)
        place[last] = records.column(name)
    return found


def _same(name: str) -> ConfigError:
    return ConfigError(f"column {name} and another one are the same field of a document: rename one of them")


def _still_deleted(versions: pa.Array) -> pa.Array:
    """`{$cond: [{$gt: ["$_deleted_version", version]}, {_deleted, _deleted_version}, {}]}` as a document's operator."""
    rows = len(versions)
    field = encode.text("0", f"${DELETED_VERSION}")
    condition = encode.raw_array("$gt", [field, encode.column("1", versions, Forms()).data], rows)
    mark = [encode.constant(DELETED, b"\x08", TRUE), encode.text(DELETED_VERSION, f"${DELETED_VERSION}")]
    choices = [encode.document([condition], rows), encode.document(mark, rows), encode.document([], rows)]
    return encode.document([encode.array("$cond", choices)], rows)


def _joined(columns: Sequence[pa.Array]) -> pa.Array:
    """Key values as one text. What looks like the separator is escaped, so that no two keys become one."""
    texts = [encode.as_text(each) for each in columns]
    if len(texts) > 1:
        texts = [pc.replace_substring(each, "\\", "\\\\") for each in texts]
        texts = [pc.replace_substring(each, SEPARATOR, f"\\{SEPARATOR}") for each in texts]
    return pc.binary_join_element_wise(*texts, SEPARATOR)
