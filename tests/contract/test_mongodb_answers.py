"""What becomes of each record at a MongoDB that refuses, fails, or is written to by several workers at once."""

from __future__ import annotations

import fcntl
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from secrets import token_hex
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from postroad.connectors.mongodb import connector
from postroad.connectors.mongodb.destination import rights
from postroad.connectors.mongodb.settings import MongoSettings
from postroad.errors import AuthError, ConfigError, PostroadError, TransientError
from postroad.records import CHANGED_AT, DELETE, OP, UPSERT, VERSION, Entity
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Destination, Tools
from postroad.sdk.secrets import Secret
from tests import inbox
from tests.conftest import ROOT, Mongo, absent

VENDORS = Entity(
    "vendors",
    ("company", "number"),
    pa.schema(
        [("company", pa.string()), ("number", pa.string()), ("name", pa.string()), ("address.city", pa.string())]
    ),
)
SECRETIVE = "Åsa's secret"  # of a record; nothing that we say may hold it


def opened(mongo: Mongo, **options: Any) -> Destination:
    """A destination on the test's database."""
    assert connector.destination is not None
    made = MongoSettings.model_validate({"url": Secret.literal(mongo.url), "database": mongo.name, **options})
    return connector.destination(made, Tools(MemoryBudget(time.time), time.time))


def vendor(number: str, version: int, name: str | None = "", **values: Any) -> dict[str, Any]:
    """A record."""
    return {"company": "se01", "number": number, "name": name, OP.name: UPSERT, VERSION.name: version, **values}


def gone(number: str, version: int) -> dict[str, Any]:
    """A delete."""
    return {**vendor(number, version, None), OP.name: DELETE}


def send(to: Destination, rows: Sequence[Mapping[str, Any]], target: Entity = VENDORS) -> list[tuple[str, str]]:
    """The answer for each record in its order, and its sentence."""
    schema = pa.schema([*target.schema, OP, CHANGED_AT, VERSION])
    batch = pa.RecordBatch.from_pylist([{**dict.fromkeys(schema.names), **row} for row in rows], schema)
    found: list[tuple[str, str]] = []
    for package in to.render(target, batch):
        answers: dict[int, tuple[str, str]] = {}
        for outcome in to.send(target, package):
            assert SECRETIVE not in outcome.sentence
            answers |= dict.fromkeys(outcome.records, (outcome.answer, outcome.sentence))
        found += [answers[place] for place in range(package.records)]
    return found


def answers(to: Destination, rows: Sequence[Mapping[str, Any]], target: Entity = VENDORS) -> list[str]:
    """The answer for each record in its order."""
    return [answer for answer, _ in send(to, rows, target)]


def held(mongo: Mongo, name: str = "vendors") -> dict[str, str]:
    """Names by number, as a reader finds them."""
    return {each["number"]: each["name"] for each in mongo.database[name].find({"_deleted": None})}


@contextmanager
def failing(mongo: Mongo, times: int = 1, **what: Any) -> Iterator[None]:
    """So many updates fail in this way. A server has one such switch, so tests beside each other take turns."""
    admin = mongo.database.client.admin
    data = {"failCommands": ["update"], "appName": mongo.name, **what}
    with Path(tempfile.gettempdir(), "postroad-fail-point.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        admin.command("configureFailPoint", "failCommand", mode={"times": times}, data=data)
        try:
            yield
        finally:
            admin.command("configureFailPoint", "failCommand", mode="off")


# What is written


def test_documents_are_as_the_page_says(mongo: Mongo) -> None:
    schema = pa.schema([*VENDORS.schema, ("people", pa.list_(pa.struct([("name", pa.string())])))])
    target = Entity("vendors", VENDORS.key, schema)
    with closing(opened(mongo)) as to:
        send(to, [vendor("V-1", 7, "Ærø", **{"address.city": "Malmö", "people": [{"name": "Åsa"}]})], target)
    (found,) = mongo.database.vendors.find({}, {"_id": 0})
    assert mongo.database["vendors.rows"].distinct("_id") == [{"company": "se01", "number": "V-1"}]
    assert found == {
        "company": "se01", "number": "V-1", "name": "Ærø", "address": {"city": "Malmö"}, "people": [{"name": "Åsa"}],
        "_changed_at": None, "_version": 7,
    }  # fmt: skip


def test_a_tombstone_holds_key_and_version_alone_and_readers_do_not_see_it(mongo: Mongo) -> None:
    with closing(opened(mongo, indexes={"vendors": [{"fields": ["name"], "unique": True}]})) as to:
        send(to, [vendor("1", 1, "one"), vendor("2", 1, "two"), vendor("3", 1, "three")])
        assert answers(to, [gone("1", 2), gone("2", 2), gone("9", 2)]) == ["applied"] * 3
        assert held(mongo) == {"3": "three"}
        assert mongo.database.vendors.count_documents({}) == 1
        stones = list(mongo.database["vendors.rows"].find({"_deleted": True}))
        assert [set(each) for each in stones] == [{"_id", "_version", "_deleted", "_deleted_at"}] * 3
        assert answers(to, [vendor("1", 1, "late"), vendor("1", 3, "back")]) == ["unchanged", "applied"]
    assert held(mongo) == {"1": "back", "3": "three"}


@pytest.mark.parametrize("options", [{}, {"id": "objectid", "view": False}, {"deletes": "soft", "id": "text"}])
def test_a_key_may_be_a_field_of_a_field(mongo: Mongo, options: dict[str, Any]) -> None:
    schema = pa.schema([("at.company", pa.string()), ("at.number", pa.string()), ("name", pa.string())])
    target = Entity("vendors", ("at.company", "at.number"), schema)
    one = {"at.company": "se01", "at.number": "1", "name": "one", OP.name: UPSERT, VERSION.name: 1}
    with closing(opened(mongo, **options)) as to:
        assert answers(to, [one], target) == ["applied"]
        assert answers(to, [one, {**one, VERSION.name: 2, "name": "two"}], target) == ["unchanged", "applied"]
        (found,) = mongo.database.vendors.find()
        assert (found["at"], found["name"]) == ({"company": "se01", "number": "1"}, "two")
        assert answers(to, [{**one, OP.name: DELETE, VERSION.name: 3, "name": None}, one], target)[0] == "applied"
        assert mongo.database.vendors.count_documents({"_deleted": None}) == 0


@pytest.mark.parametrize("options", [{"id": "objectid"}, {"deletes": "soft"}, {"view": False}])
def test_deleted_rows_do_not_meet_in_a_unique_index(mongo: Mongo, options: dict[str, Any]) -> None:
    """Not even in one that holds a field of the key, which a deleted row may have."""
    unique = {"vendors": [{"fields": ["company", "name"], "unique": True}]}
    with closing(opened(mongo, indexes=unique, **options)) as to:
        assert answers(to, [gone("1", 2), gone("2", 2), gone("3", 2)]) == ["applied"] * 3
        assert answers(to, [vendor("4", 2, "x"), vendor("5", 2, "x")]) == ["applied", "rejected"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_a_soft_delete_keeps_the_last_row_whatever_comes_first(mongo: Mongo, order: Sequence[int]) -> None:
    rows = [vendor("1", 1, "old"), vendor("1", 2, "last"), gone("1", 3)]
    with closing(opened(mongo, deletes="soft")) as to:
        for place in order:
            send(to, [rows[place]])
        (found,) = mongo.database.vendors.find()
        assert (found["name"], found["_deleted"], found["_version"], found["_deleted_version"]) == ("last", True, 2, 3)
        assert answers(to, [gone("1", 3), vendor("1", 2, "x")]) == ["unchanged"] * 2
        send(to, [vendor("1", 4, "back")])
    (found,) = mongo.database.vendors.find()
    assert found["name"] == "back"
    assert not {"_deleted", "_deleted_version"} & set(found)


def test_deletes_may_be_ignored(mongo: Mongo) -> None:
    with closing(opened(mongo, deletes="ignore")) as to:
        assert answers(to, [vendor("1", 1, "one"), gone("1", 2), gone("2", 2)]) == ["applied", "unchanged", "unchanged"]
    assert held(mongo) == {"1": "one"}


def test_joined_keys_stay_apart(mongo: Mongo) -> None:
    with closing(opened(mongo, id="text")) as to:
        send(to, [vendor("b|c", 1, "x", company="a"), vendor("c", 1, "y", company="a|b"), vendor("\\", 1, "z")])
    assert {each["_id"] for each in mongo.database.vendors.find()} == {r"a|b\|c", r"a\|b|c", "se01|\\\\"}


def test_indexes_and_the_life_of_tombstones_follow_the_settings(mongo: Mongo) -> None:
    def known(**options: Any) -> dict[str, Any]:
        with closing(opened(mongo, **options)) as to:
            send(to, [vendor("1", 1)])
        return dict(mongo.database["vendors.rows"].index_information())

    found = known(indexes={"vendors": [{"fields": ["company", "-name"]}, {"fields": ["address.city"]}]})
    assert found["postroad_company_1_name_-1"]["key"] == [("company", 1), ("name", -1)]
    assert "postroad_address.city_1" in found
    assert found["postroad_tombstones"]["expireAfterSeconds"] == 365 * 86_400
    assert known(tombstone_days=30)["postroad_tombstones"]["expireAfterSeconds"] == 30 * 86_400
    assert "postroad_tombstones" not in known(tombstone_days=None)
    with pytest.raises(ConfigError, match="another index"):
        known(indexes={"vendors": [{"fields": ["company", "-name"], "unique": True}]})


# What is refused


def test_one_bad_record_spoils_nothing_but_itself(mongo: Mongo) -> None:
    rules = {"$jsonSchema": {"properties": {"name": {"not": {"enum": [SECRETIVE]}}}}}
    mongo.database.create_collection("vendors.rows", validator=rules)
    with closing(opened(mongo, indexes={"vendors": [{"fields": ["address.city"], "unique": True}]})) as to:
        rows = [
            vendor("1", 1, "fine", **{"address.city": "Malmö"}),
            vendor("2", 1, SECRETIVE),
            vendor("3", 1, "meets the first", **{"address.city": "Malmö"}),
            vendor("4", 1, "x" * 17_000_000),
            vendor("5", 1, "fine too", **{"address.city": "Ystad"}),
        ]
        told = send(to, rows)
        assert [answer for answer, _ in told] == ["applied", "rejected", "rejected", "rejected", "applied"]
        assert told[1][1] == "the collection's validator refuses it (name)"
        assert told[2][1] == "another row has the same values in a unique index (address.city)"
        assert "16 MiB" in told[3][1]
        assert answers(to, [rows[0], rows[2], rows[4]]) == ["unchanged", "rejected", "unchanged"]
        # A newer version that is refused leaves the older one; mended, it is taken.
        assert answers(to, [vendor("5", 2, "moves", **{"address.city": "Malmö"})]) == ["rejected"]
        assert held(mongo) == {"1": "fine", "5": "fine too"}
        assert answers(to, [vendor("5", 3, "moves", **{"address.city": "Lund"})]) == ["applied"]


def test_a_decimal_that_does_not_fit_is_refused_and_not_rounded(mongo: Mongo) -> None:
    target = Entity("vendors", VENDORS.key, pa.schema([*VENDORS.schema, ("debt", pa.decimal128(38, 9))]))
    with closing(opened(mongo)) as to:
        fits, long = Decimal(10**28), Decimal("12345678901234567890123456789.123456789")
        told = send(to, [vendor("1", 1, debt=fits), vendor("2", 1, debt=long)], target)
    assert [answer for answer, _ in told] == ["applied", "rejected"]
    assert "34 digits" in told[1][1]
    (found,) = mongo.database.vendors.find()
    assert found["debt"].to_decimal() == fits


def test_what_postroad_did_not_write_is_left_alone(mongo: Mongo) -> None:
    foreign = {"_id": {"company": "se01", "number": "1"}, "name": "theirs"}
    with closing(opened(mongo)) as to:
        send(to, [vendor("0", 1, "ours")])
        mongo.database["vendors.rows"].insert_one(dict(foreign))
        told = send(to, [vendor("1", 1, "ours"), vendor("2", 1, "ours")])
        assert [answer for answer, _ in told] == ["rejected", "applied"]
        assert "Postroad did not write" in told[0][1]
    assert mongo.database["vendors.rows"].find_one({"_id": foreign["_id"]}) == foreign
    mongo.database.theirs.insert_one({"name": "theirs"})
    with closing(opened(mongo)) as to, pytest.raises(ConfigError, match="not a name"):
        send(to, [vendor("1", 9)], Entity("a..b", VENDORS.key, VENDORS.schema))
    for options, name in (({"view": False}, "theirs"), ({}, "theirs"), ({"deletes": "soft"}, "vendors")):
        with closing(opened(mongo, **options)) as to, pytest.raises(ConfigError, match="name another target"):
            send(to, [vendor("1", 9)], Entity(name, VENDORS.key, VENDORS.schema))


def test_another_setting_of_id_is_refused_before_each_record_is_there_twice(mongo: Mongo) -> None:
    for before in ("key", "text", "objectid"):
        target = Entity(f"vendors_{before}", VENDORS.key, VENDORS.schema)
        for setting in (before, "key", "text", "objectid"):
            with closing(opened(mongo, id=setting)) as to:
                if setting == before:
                    assert set(answers(to, [vendor("1", 1)], target)) <= {"applied", "unchanged"}
                    continue
                with pytest.raises(ConfigError, match="put the setting back"):
                    send(to, [vendor("1", 2)], target)
    numbered = Entity("numbered", ("number",), pa.schema([("number", pa.int64())]))
    rows = [{"number": 2**40, "_op": "upsert", "_version": 1, "_changed_at": None}]
    with closing(opened(mongo)) as to:
        assert answers(to, rows, numbered) == ["applied"]
    with closing(opened(mongo)) as to:
        assert answers(to, rows, numbered) == ["unchanged"]
    with closing(opened(mongo, id="text")) as to, pytest.raises(ConfigError, match="put the setting back"):
        send(to, rows, numbered)


# What fails


@pytest.mark.parametrize("what", [
    {"errorCode": 10107, "errorLabels": ["RetryableWriteError"]},
    {"closeConnection": True},
    {"errorCode": 91},
    {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
], ids=["not primary", "closed", "shutting down", "not durable"])  # fmt: skip
def test_an_outage_is_told_as_one_and_the_same_again_ends_well(mongo: Mongo, what: dict[str, Any]) -> None:
    rows = [vendor(str(number), 1, SECRETIVE) for number in range(3)]
    with closing(opened(mongo)) as to:
        send(to, [vendor("0", 1)])
        with failing(mongo, 2, **what), pytest.raises(TransientError) as error:
            send(to, rows)
        assert SECRETIVE not in str(error.value)
        assert set(answers(to, rows)) <= {"applied", "unchanged"}
        assert set(answers(to, rows)) == {"unchanged"}
    assert set(held(mongo)) == {"0", "1", "2"}


@pytest.mark.parametrize(("code", "kind"), [(13, AuthError), (18, AuthError), (20, ConfigError), (100, ConfigError)])
def test_what_a_person_has_to_mend_is_told(mongo: Mongo, code: int, kind: type[PostroadError]) -> None:
    with closing(opened(mongo)) as to:
        send(to, [vendor("0", 1)])
        with failing(mongo, 2, errorCode=code), pytest.raises(kind) as error:
            send(to, [vendor("1", 1, SECRETIVE)])
        assert SECRETIVE not in str(error.value)
        if kind is AuthError:  # the secret is read again, once
            with failing(mongo, 1, errorCode=code):
                assert answers(to, [vendor("1", 1, "x")]) == ["applied"]


@pytest.mark.parametrize("name", ["_deleted", "_id", "_deleted_at.day"])
def test_a_column_that_readers_would_take_for_ours_is_told(mongo: Mongo, name: str) -> None:
    """A row with `_deleted` would count as one that is."""
    target = Entity("odd", ("number",), pa.schema([("number", pa.string()), (name, pa.string())]))
    with closing(opened(mongo)) as to, pytest.raises(ConfigError, match="rename"):
        answers(to, [{"number": "1", name: "x", OP.name: UPSERT, VERSION.name: 1}], target)


@pytest.mark.parametrize(("url", "sentence"), [
    ("mongodb://us:wrong-password@127.0.0.1:1/?serverSelectionTimeoutMS=50", "did not answer"),
    ("mongodb://us:wrong-password@127.0.0.1:1/?serverSelectionTimeoutMS=50&tls=true", "did not answer"),
    ("mongodb://us:wrong@password@there/", "not understood"),
    ("postgresql://us:wrong-password@there/", "not understood"),
    ("mongodb://us:wrong-password@[there/?x", "not understood"),
    ("mongodb://us:wrong-password@there:99999/", "not understood"),
    ("mongodb://us:wrong-password@there/?tls=true&tlsCAFile=/nowhere", "not understood"),
])  # fmt: skip
def test_an_address_that_leads_nowhere_is_told_by_the_check(mongo: Mongo, url: str, sentence: str) -> None:
    with closing(opened(mongo, url=Secret.literal(url))) as to:
        (step,) = to.check()
    assert not step.ok
    assert sentence in step.sentence
    assert "wrong" not in step.sentence


def test_an_error_of_one_record_that_nobody_knows_is_no_outage(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine sends that record again, a few times, and the others are settled."""
    real = Collection.bulk_write

    def odd(self: Any, requests: list[Any], **options: Any) -> Any:
        real(self, requests[1:], **options)
        raise BulkWriteError({"writeErrors": [{"index": 0, "code": 4242, "errmsg": SECRETIVE}]})

    with closing(opened(mongo)) as to:
        send(to, [vendor("0", 1)])
        monkeypatch.setattr(Collection, "bulk_write", odd)
        assert answers(to, [vendor("1", 1), vendor("2", 1)]) == ["retry", "applied"]
        monkeypatch.undo()
        assert answers(to, [vendor("1", 1)]) == ["applied"]


def test_a_sign_in_over_tls(tmp_path: Path) -> None:
    """A right password, a wrong one, one that was changed meanwhile, and a certificate that nobody vouches for."""
    _, certificate = inbox.certificate(tmp_path)
    pair = tmp_path / "pair.pem"
    pair.write_text(certificate.read_text() + (tmp_path / "key.pem").read_text())
    with serving(tmp_path / "data", "--sync-on-commit") as plain, MongoClient[dict[str, Any]](plain) as client:
        client.app.command("createUser", "us", pwd="right", roles=["readWrite"])
    safe = ["--auth", "--tls-cert-file", str(pair), "--tls-key-file", str(pair)]
    with serving(tmp_path / "data", *safe) as url:
        rest = url.removeprefix("mongodb://")
        trusted = f"{rest}app?serverSelectionTimeoutMS=800&tls=true&tlsCAFile={certificate}"
        told = iter(["wrong", "wrong", "right", "right"])
        secret = Secret(lambda: f"mongodb://us:{next(told)}@{trusted}")
        settings = MongoSettings.model_validate({"url": secret, "database": "app"})
        assert connector.destination is not None
        with closing(connector.destination(settings, Tools(MemoryBudget(time.time), time.time))) as to:
            assert "refuses us" in list(to.check())[-1].sentence
            to.close()
            assert answers(to, [vendor("1", 1)]) == ["applied"]
            assert [each.ok for each in to.check()] == [True] * 3
        stranger = Secret.literal(f"mongodb://us:right@{rest}app?serverSelectionTimeoutMS=300&tls=true")
        settings = MongoSettings.model_validate({"url": stranger, "database": "app"})
        with closing(connector.destination(settings, Tools(MemoryBudget(time.time), time.time))) as to:
            (step,) = to.check()
        assert "CERTIFICATE_VERIFY_FAILED" in step.sentence


def test_a_driver_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connector.destination is not None
    settings = MongoSettings.model_validate({"url": Secret.literal("mongodb://there/"), "database": "app"})
    for name in [each for each in sys.modules if each.startswith("postroad.connectors.mongodb.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bson", None)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(ConfigError, match=re.escape("postroad[mongodb]")):
        connector.destination(settings, Tools(MemoryBudget(time.time), time.time))


@pytest.mark.parametrize(("database", "actions", "sentence"), [
    ("app", ["find", "insert", "update", "createIndex", "dropIndex", "createCollection", "listCollections"], ""),
    ("", ["find", "insert", "update", "createIndex", "dropIndex", "createCollection", "listCollections"], ""),
    ("app", ["find", "listCollections"], "createCollection, createIndex, dropIndex, insert, update: give it the role"),
    ("other", ["find", "insert"], "give it the role readWrite on app"),
])  # fmt: skip
def test_missing_rights_are_named(database: str, actions: list[str], sentence: str) -> None:
    """As MongoDB's manual shows them: the server of these tests lists none."""
    given = {"resource": {"db": database, "collection": ""}, "actions": actions}
    step = rights({"authenticatedUsers": [{"user": "us"}], "authenticatedUserPrivileges": [given]}, "app")
    assert step.ok == (not sentence)
    assert sentence in step.sentence


@contextmanager
def serving(data: Path, *options: str) -> Iterator[str]:
    """A server of the test's own, whose data stay; its address."""
    program = ROOT / ".services" / "mongodb" / "bin" / "secantusd-py"
    if not program.exists():
        absent("a MongoDB-compatible server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [str(program), "--host", "127.0.0.1", "--port", str(port), "--storage-path", str(data), *options]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while not reachable(port):
                assert server.poll() is None
                time.sleep(0.05)
            yield f"mongodb://127.0.0.1:{port}/"
        finally:
            server.kill()


def reachable(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# Several at once


def test_an_insert_that_lost_to_an_older_version_is_made_again(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers insert a new key in the same moment: the server lets one of them through, whichever it is.

    The last one's other worker is taken back, as when a member that nobody followed steps down.
    """
    late = [opened(mongo)]

    def raced(self: Any, requests: list[Any], **options: Any) -> Any:
        monkeypatch.undo()
        with closing(late.pop()) as other:
            send(other, [vendor("1", 1, "older"), vendor("2", 9, "newer"), gone("3", 1)])
        errors = [{"index": place, "code": 11000, "keyPattern": {"_id": 1}} for place in range(len(requests))]
        raise BulkWriteError({"writeErrors": errors})

    with closing(opened(mongo)) as to:
        send(to, [vendor("0", 1)])
        monkeypatch.setattr(Collection, "bulk_write", raced)
        rows = [vendor("1", 2, "wins"), vendor("2", 2, "loses"), vendor("3", 2, "wins"), vendor("4", 2, "wins")]
        assert answers(to, rows) == ["applied", "unchanged", "applied", "applied"]
    assert held(mongo) == {"0": "", "1": "wins", "2": "newer", "3": "wins", "4": "wins"}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each has a collection
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9), st.booleans()), min_size=1, max_size=30),
    st.integers(0, 1000),
    st.sampled_from(["hard", "soft"]),
)
def test_two_workers_in_any_order_end_as_exactly_once(
    mongo: Mongo, history: list[tuple[int, int, bool]], seed: int, deletes: str
) -> None:
    exactly_once(mongo, history, seed, deletes=deletes)


def exactly_once(mongo: Mongo, history: Sequence[tuple[int, int, bool]], seed: int, **options: Any) -> None:
    """Two workers send all versions, each in an order and in pieces of its own; the newest of each key stand."""
    draw = Random(seed)
    versions = {(number, version): deleted for number, version, deleted in history}
    rows = [gone(str(n), v) if dead else vendor(str(n), v, f"{n} at {v}") for (n, v), dead in versions.items()]
    newest = {n: max(v for m, v in versions if m == n) for n, _ in versions}
    target = Entity(f"v{token_hex(6)}", VENDORS.key, VENDORS.schema)

    def work(order: list[dict[str, Any]], at_once: int) -> None:
        with closing(opened(mongo, **options)) as to:
            for start in range(0, len(order), at_once):
                assert set(answers(to, order[start : start + at_once], target)) <= {"applied", "unchanged"}

    orders = [draw.sample(rows, len(rows)) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(work, orders, [draw.randint(1, 6) for _ in orders]))
    expected = {str(n): f"{n} at {v}" for n, v in newest.items() if not versions[n, v]}
    assert held(mongo, target.name) == expected
