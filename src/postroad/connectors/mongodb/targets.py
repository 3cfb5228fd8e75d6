"""The collection of a target: made, with its view and its indexes, before the first message is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from bson.objectid import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database
from pymongo.errors import OperationFailure

from postroad.connectors.mongodb.operations import DELETED, DELETED_AT, DELETED_VERSION, ID
from postroad.connectors.mongodb.settings import Index, MongoSettings
from postroad.errors import ConfigError
from postroad.records import VERSION, Entity

ROWS = ".rows"
SHOWN = [{"$match": {DELETED: {"$exists": False}}}]
TOMBSTONES = "postroad_tombstones"
KEY = "postroad_key"
EXISTS = 48
CONFLICTS = {85, 86}
OWN = {ID, DELETED, DELETED_AT, DELETED_VERSION}
DAY = 86_400  # seconds
LONGEST_NAME = 200  # bytes, of 255 that a server takes for database and collection together

Db = Database[dict[str, Any]]


def rows_name(target: str, settings: MongoSettings) -> str:
    """The collection that holds the documents of a target."""
    return target + ROWS if settings.deletes == "hard" and settings.view else target


def prepare(database: Db, target: Entity, settings: MongoSettings) -> None:
    """Make what is missing; ConfigError if something else is there in its place."""
    if len(target.name.encode()) > LONGEST_NAME or "$" in target.name or target.name.startswith("system."):
        raise ConfigError(f"'{target.name}' cannot be the name of a collection: name another target")
    _require_columns(target, settings)
    rows = rows_name(target.name, settings)
    found = {each["name"]: each for each in database.list_collections(filter={"name": {"$in": [target.name, rows]}})}
    for name, each in found.items():
        if (each["type"] == "view") != (name != rows):
            raise ConfigError(
                f"{target.name} is there already, and is {'a view' if each['type'] == 'view' else 'a collection'}, "
                f"which `deletes: {settings.deletes}` does not write: name another target, or see `view`"
            )
    for order in (ASCENDING, DESCENDING) if rows in found else ():
        _require_ours(rows, database[rows].find_one({}, [VERSION.name], sort=[(ID, order)]), target, settings)
    _index(database, rows, target, settings)
    if rows == target.name:
        return
    if target.name not in found:
        _view(database, target.name, rows)
    elif found[target.name]["options"].get("viewOn") != rows:
        raise ConfigError(f"{target.name} is a view of something else than {rows}: name another target, or drop it")


def _require_columns(target: Entity, settings: MongoSettings) -> None:
    """A row with a field that only deleted ones have would be written, and seen by nobody."""
    own = OWN - {ID} if settings.id == "key" and target.key == (ID,) else OWN
    taken = sorted(own & {name.partition(".")[0] for name in target.schema.names})
    if taken:
        raise ConfigError(f"Postroad has fields {', '.join(taken)} of its own: rename these columns in the delivery")


def _require_ours(rows: str, document: Mapping[str, Any] | None, target: Entity, settings: MongoSettings) -> None:
    """ConfigError for a document of somebody else, or one whose `_id` is of another kind than ours will be.

    Of all documents those with the first and the last `_id` are looked at: kinds of values do not mix in that order.
    Under another kind each record would be there twice.
    """
    if document is None:
        return
    if not isinstance(document.get(VERSION.name), int):
        raise ConfigError(f"collection {rows} is there already and is none of ours: name another target, or rename it")
    kind = _kind(target, settings)
    if kind is not None and not isinstance(document[ID], kind):
        raise ConfigError(
            f"collection {rows} has documents with another kind of _id than `id: {settings.id}` makes: put the "
            "setting back, or name another target"
        )


def _kind(target: Entity, settings: MongoSettings) -> type | None:
    """What an `_id` is in Python; None for a key of one field that has no type of its own in BSON."""
    if settings.id == "objectid":
        return ObjectId
    if settings.id == "key" and len(target.key) > 1:
        return Mapping
    only = target.schema.field(target.key[0]).type
    if settings.id == "text" or pa.types.is_string(only):
        return str
    return int if pa.types.is_integer(only) else None


def _view(database: Db, name: str, rows: str) -> None:
    try:
        database.create_collection(name, check_exists=False, viewOn=rows, pipeline=SHOWN)
    except OperationFailure as error:
        if error.code != EXISTS:  # another worker was faster
            raise


def _index(database: Db, rows: str, target: Entity, settings: MongoSettings) -> None:
    collection = database[rows]
    wanted = [_model(each, target) for each in settings.indexes.get(target.name, ())]
    if settings.id == "objectid":
        wanted.append(IndexModel([(name, 1) for name in target.key], name=KEY, unique=True))
    try:
        if wanted:
            collection.create_indexes(wanted)
    except OperationFailure as error:
        if error.code in CONFLICTS:
            raise ConfigError(f"collection {rows} has another index on the same fields: drop it, or ours") from None
        raise
    days = settings.tombstone_days if settings.deletes == "hard" else None
    kept = collection.index_information().get(TOMBSTONES)
    seconds = None if days is None else days * DAY
    if kept is not None and kept.get("expireAfterSeconds") != seconds:
        collection.drop_index(TOMBSTONES)  # to change it would take more rights
        kept = None
    if kept is None and seconds is not None:
        collection.create_index(DELETED_AT, name=TOMBSTONES, expireAfterSeconds=seconds)


def _model(wanted: Index, target: Entity) -> IndexModel:
    """A unique index leaves tombstones out: they have no field but the key's, and a row has all of its fields."""
    kept = {name: {"$exists": True} for name, _ in wanted.keys if name not in target.key}
    if not wanted.unique or not kept:
        return IndexModel(wanted.keys, name=wanted.name, unique=wanted.unique)
    return IndexModel(wanted.keys, name=wanted.name, unique=True, partialFilterExpression=kept)
