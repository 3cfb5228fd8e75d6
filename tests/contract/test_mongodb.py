"""The destination suite and more against a MongoDB-compatible server, read back by plain pymongo.

The server is SecantusDB, which is none of MongoDB's: what is said here of MongoDB itself is as its manual has it. Its
gaps that matter here: a write to a view is lost without an error, `distinct` finds nothing in a view, a name with a
dollar sign is stored, and a document that breaks two unique indexes is told of the other one than `_id`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from bson.decimal128 import Decimal128

from postroad.connectors.mongodb import connector
from postroad.connectors.mongodb.settings import MongoSettings
from postroad.records import DELETE
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Destination, Identified, Tools
from postroad.sdk.secrets import Secret
from postroad.testing import THINGS, Row, thing
from tests.conftest import Mongo
from tests.contract.lists import ReadableListsSuite
from tests.contract.texts import exact_text


def opened(mongo: Mongo, **settings: Any) -> Destination:
    """A destination on the test's database."""
    assert connector.destination is not None
    made = MongoSettings.model_validate({"url": Secret.literal(mongo.url), "database": mongo.name, **settings})
    return connector.destination(made, Tools(MemoryBudget(time.time), time.time))


class MongoSuite(ReadableListsSuite):
    """What the policies have in common."""

    settings: ClassVar[Mapping[str, Any]] = {}
    longest = Decimal("1234567890123456789012345.123456789")  # of 34 digits

    @pytest.fixture(autouse=True)
    def receiver(self, mongo: Mongo) -> None:
        """An empty database."""
        self.mongo = mongo

    def destination(self) -> Destination:
        """The same database each time."""
        return opened(self.mongo, **self.settings)

    def held(self) -> Mapping[tuple[str, int], Row]:
        """What a reader finds under the target's name."""
        found = list(self.mongo.database["things"].find(self.shown()))
        more = [name for name in ("colour: 100% (x)", "lines") if any(name in each for each in found)]
        kept = [*THINGS.names, *more]
        return {(each["company"], each["number"]): {name: each.get(name) for name in kept} for each in found}

    def shown(self) -> dict[str, Any]:
        """What a reader asks for."""
        return {}

    def expected(self, values: Row) -> Row:
        """BSON's own types."""
        return {name: self.as_bson(value) for name, value in values.items()}

    def as_bson(self, value: Any) -> Any:
        """A value as the driver gives it."""
        if isinstance(value, list):
            return [self.as_bson(each) for each in value]
        if isinstance(value, dict):
            return {name: self.as_bson(each) for name, each in value.items()}
        if isinstance(value, Decimal):
            return Decimal128(f"{value:.9f}")
        if isinstance(value, datetime):
            if value.tzinfo is None:
                return value.isoformat(timespec="microseconds")
            return value.replace(tzinfo=None, microsecond=value.microsecond // 1000 * 1000)
        return datetime.fromisoformat(value.isoformat()) if isinstance(value, date) else value


class TestMongo(MongoSuite):
    """As it is by default: keys as `_id`, hard deletes behind a view."""


class TestSoft(MongoSuite):
    """Marks instead of tombstones, and one text as `_id`."""

    settings: ClassVar = {"deletes": "soft", "id": "text"}

    def shown(self) -> dict[str, Any]:
        """Rows that are not marked."""
        return {"_deleted": None}

    @pytest.mark.parametrize("company", ["se01", "a|b", "a\\\\", "\\\\|", "", "é\n"])
    def test_a_record_is_known_by_its_text(self, company: str) -> None:
        """Whatever the separator does in it."""
        self._send([{**thing(7, 1, "x"), "company": company}])
        (found,) = self.mongo.database["things"].find()
        with closing(self.destination()) as destination:
            assert isinstance(destination, Identified)
            assert destination.key_of(self.target, found["_id"]) == [company, "7"]


class TestObjectId(MongoSuite):
    """The server's own `_id`, and texts for what BSON cuts."""

    settings: ClassVar = {"id": "objectid", "view": False, "times": "text", "dates": "text", "decimals": "text"}
    longest = ReadableListsSuite.longest

    def shown(self) -> dict[str, Any]:
        """Rows that are no tombstones."""
        return {"_deleted": None}

    def test_a_record_is_known_by_its_object_id(self) -> None:
        """Also a deleted one; an id of nobody, and what is no id, is none."""
        self._send([thing(7, 1, "x"), thing(8, 2, None, op=DELETE)])
        with closing(self.destination()) as destination:
            assert isinstance(destination, Identified)
            for found in self.mongo.database["things"].find():
                assert destination.key_of(self.target, str(found["_id"])) == [found["company"], found["number"]]
            assert destination.key_of(self.target, "0" * 24) is None
            assert destination.key_of(self.target, "se01/7") is None

    def as_bson(self, value: Any) -> Any:
        """Exact texts."""
        return exact_text(value)
