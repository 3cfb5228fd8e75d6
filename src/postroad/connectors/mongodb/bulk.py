"""One package as one unordered bulk write, and what each of its operations came to.

An insert that fails on its identity met a document that is there, or one that another worker inserted in the same
moment, perhaps an older one. So those records are looked up, and what is older, or gone again, is written once more:
only what was seen there, or written, counts. The look asks for what a majority has: an answer that rests on it is as
durable as the write that it stands for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from bson import decode
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern

from postroad.connectors.mongodb.errors import DUPLICATE, meant, not_durable, of_all, sentence
from postroad.connectors.mongodb.operations import DELETED_AT, DELETED_VERSION
from postroad.records import VERSION, Outcome

LOOKED_UP = 500  # documents in one question
ROUNDS = 4  # of writing and looking, while others write the same keys
FOREIGN = "the collection holds a document with this key that Postroad did not write: remove it, or name another target"

Documents = Collection[dict[str, Any]]
Errors = Mapping[int, Mapping[str, Any]]  # by the record's place in the package


class Bulk:
    """The writing of one package to one collection. `soft`: deletes are marks, and `where` names the target.

    Tombstones live from `now` on, not from their version's time: what is replayed may be older than they live.
    """

    def __init__(self, collection: Documents, body: pa.RecordBatch, where: str, now: datetime, *, soft: bool) -> None:
        self._collection = collection
        self._body = body
        self._where = where
        self._now = now
        self._soft = soft
        self._rejected: dict[str, list[int]] = defaultdict(list)
        self._later: list[int] = []

    def write(self) -> list[Outcome]:
        """What became of each record. Errors that are no record's fault are raised, and then all is sent again."""
        self._refuse_unsayable()
        places = pc.indices_nonzero(self._body.column("update").is_valid()).to_pylist()
        unchanged: set[int] = set()
        for number in range(ROUNDS):
            errors = self._send(places)
            self._refuse({place: error for place, error in errors.items() if error["code"] != DUPLICATE})
            doubles = {place: error for place, error in errors.items() if error["code"] == DUPLICATE}
            if not doubles:
                break
            places = self._once_more(doubles, unchanged, first=not number)
        else:
            self._later += places
        if self._body.column("update").null_count:  # deletes that are ignored
            silent = pc.and_(self._body.column("update").is_null(), self._body.column("problem").is_null())
            unchanged |= {*pc.indices_nonzero(silent).to_pylist()}
        return list(self._outcomes(unchanged))

    def _outcomes(self, unchanged: set[int]) -> Iterator[Outcome]:
        if not unchanged and not self._rejected and not self._later:
            yield Outcome(range(self._body.num_rows))
            return
        done = {*unchanged, *self._later, *(place for places in self._rejected.values() for place in places)}
        applied = [place for place in range(self._body.num_rows) if place not in done]
        if applied:
            yield Outcome(applied)
        if unchanged:
            yield Outcome(sorted(unchanged), "unchanged")
        if self._later:
            yield Outcome(sorted(self._later), "retry")
        for told, places in self._rejected.items():
            yield Outcome(sorted(places), "rejected", "refused", told)

    def _refuse_unsayable(self) -> None:
        problems = self._body.column("problem")
        if problems.null_count < len(problems):
            for place in pc.indices_nonzero(problems.is_valid()).to_pylist():
                self._rejected[problems[place].as_py()].append(place)

    def _refuse(self, errors: Errors) -> None:
        for place, error in errors.items():
            if of_all(error):
                found = meant(self._where, error["code"], error)
                raise found from None
            told = sentence(error)
            if told is None:
                self._later.append(place)
            else:
                self._rejected[told].append(place)

    def _send(self, places: Sequence[int]) -> dict[int, Mapping[str, Any]]:
        """One bulk write; the errors by place."""
        requests = list(self._requests(places))
        if not requests:
            return {}
        try:
            self._collection.bulk_write(requests, ordered=False)
        except BulkWriteError as error:
            told = error.details or {}
            for failed in told.get("writeConcernErrors", ()):
                raise not_durable(self._where, failed) from None
            return {places[each["index"]]: each for each in told.get("writeErrors", ())}
        return {}

    def _requests(self, places: Sequence[int]) -> Iterator[Any]:
        """The driver takes operations one by one, so here alone there are Python objects, some of each record."""
        rows = self._body if len(places) == self._body.num_rows else self._body.take(pa.array(places, pa.int64()))
        columns = [rows.column(name).to_pylist() for name in ("filter", "update", "deleted")]
        for wanted, update, deleted in zip(*columns, strict=True):
            found = RawBSONDocument(wanted)
            if self._soft:  # a row that may be deleted already is a pipeline of one stage
                change = RawBSONDocument(update)
                yield UpdateOne(found, change if deleted else [change], upsert=True)
            elif deleted:
                yield ReplaceOne(found, {**decode(update), DELETED_AT: self._now}, upsert=True)
            else:
                yield ReplaceOne(found, RawBSONDocument(update), upsert=True)

    def _once_more(self, errors: Errors, unchanged: set[int], *, first: bool) -> list[int]:
        """Of records whose insert failed on some unique index those to be written again.

        Those that the collection has already, or newer, are unchanged.
        """
        known = self._known([*errors])
        versions = self._body.column("version")
        deleted = self._body.column("deleted")
        again = []
        for place, error in sorted(errors.items(), key=itemgetter(0)):
            identity = self._identity(place)
            found = known.get(_told(identity))
            other = set(error.get("keyPattern", ())) != set(identity)
            if found is not None and not isinstance(found.get(VERSION.name), int):
                self._rejected[FOREIGN].append(place)
            elif found is not None and _newest(found, marks=deleted[place].as_py()) >= versions[place].as_py():
                unchanged.add(place)
            elif other and (found is None or not first):
                self._refuse({place: error})
            else:
                again.append(place)
        return again

    def _known(self, places: Sequence[int]) -> dict[Any, Mapping[str, Any]]:
        """The documents of these records, of each the identity and the versions."""
        reader = self._collection.with_options(read_concern=ReadConcern("majority"))
        identities = [RawBSONDocument(self._body.column("identity")[place].as_py()) for place in places]
        fields = list(decode(identities[0].raw))
        found: dict[Any, Mapping[str, Any]] = {}
        for start in range(0, len(identities), LOOKED_UP):
            wanted = {"$or": identities[start : start + LOOKED_UP]}
            for each in reader.find(wanted, [*fields, VERSION.name, DELETED_VERSION]):
                found[_told({name: _at(each, name) for name in fields})] = each
        return found

    def _identity(self, place: int) -> Mapping[str, Any]:
        return decode(self._body.column("identity")[place].as_py())


def _newest(found: Mapping[str, Any], *, marks: bool) -> int:
    """The version that a document stands for, to an upsert, or to a delete that sets a mark."""
    version: int = found[VERSION.name]
    return max(version, found.get(DELETED_VERSION, 0)) if marks else version


def _at(found: Mapping[str, Any], name: str) -> Any:
    """The field at the end of a dotted name; of `_id` and names without a dot the field itself."""
    value: Any = found
    for step in name.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _told(identity: Mapping[str, Any]) -> Any:
    """An identity as a value that can be compared; numbers are equal as MongoDB has them."""
    return tuple((name, _plain(value)) for name, value in identity.items())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _told(value)
    return value.bid if isinstance(value, Decimal128) else value
