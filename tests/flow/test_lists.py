"""Orders with their lines, from a drop folder to receivers: the lines arrive embedded, and are part of their order."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pika
import pytest
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from deltalake import DeltaTable

from postroad.connectors.http.simulator import DEMO_SECRET, DEMO_TOKEN, ApiSimulator
from postroad.telemetry import Point
from tests.conftest import Mongo
from tests.flow.doomed import Side, Trap
from tests.flow.drop_world import DropWorld, outcomes
from tests.flow.lake_reader import read_table
from tests.flow.post import memory_folder
from tests.rabbitmq import Broker
from tests.shell import Shell

PROJECT = """\
project: shop
lake: ./lake
database: sqlite:///postroad.db
connections:
  drop:
    connector: files
    folder: ./drop
    settle: 0s
    datasets:
      orders:
        files: "orders_*.jsonl"
        holds: snapshot
        key: order
        columns: {order: text, customer: text}
        lists:
          lines: {item: text, quantity: decimal, due: date}
          tags: text
  appdb:
    connector: mongodb
    url: secret://MONGODB_URL
    database: MONGODB_NAME
    indexes: {orders: [{fields: [lines.item]}]}
  books: {connector: sql, url: "sqlite:///books.db"}
"""
FLOW = """\
sync:
  - {from: drop, entities: [orders]}
deliver:
  - {dataset: drop.orders, to: appdb.orders}
  - {dataset: drop.orders, to: books.orders}
"""
A: dict[str, Any] = {"item": "A", "quantity": "2.5", "due": "2026-12-01"}
B: dict[str, Any] = {"item": "B", "quantity": 3, "due": None}
ORDERS: dict[str, dict[str, Any]] = {
    "SO-1": {"customer": "Åsa", "lines": [A, B], "tags": ["new", "large"]},
    "SO-2": {"customer": "Bo", "lines": [B], "tags": []},
    "SO-3": {"customer": "Cy", "lines": [], "tags": None},
    "SO-4": {"customer": "Di", "lines": None, "tags": ["x", None]},
}


@pytest.fixture
def shell(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    """The project, and a shell in it."""
    with memory_folder() as folder:
        monkeypatch.setenv("MONGODB_URL", mongo.url)
        (folder / "postroad.yaml").write_text(PROJECT.replace("MONGODB_NAME", mongo.name))
        (folder / "flows").mkdir()
        (folder / "flows" / "orders.yaml").write_text(FLOW)
        (folder / "drop").mkdir()
        yield Shell(folder, monkeypatch)


def put(folder: Path, number: int, orders: dict[str, dict[str, Any]]) -> None:
    """The newest file, which holds all orders."""
    path = folder / "drop" / f"orders_{number}.jsonl"
    path.write_text("".join(json.dumps({"order": order, **row}) + "\n" for order, row in orders.items()))
    moment = time.time() - 100 + number
    os.utime(path, (moment, moment))


def line(found: dict[str, Any]) -> dict[str, Any]:
    """A line as plain pymongo shows it."""
    due = None if found["due"] is None else datetime.fromisoformat(found["due"]).replace(tzinfo=UTC)
    quantity = Decimal128(f"{float(found['quantity']):.9f}")
    return {**found, "quantity": quantity, "due": due}


def assert_held(mongo: Mongo, orders: dict[str, dict[str, Any]]) -> None:
    """The documents are the orders that were dropped, with their lines in them."""
    found = mongo.database.get_collection("orders", CodecOptions(tz_aware=True)).find({})
    held = {each["_id"]: {name: each[name] for name in ("customer", "lines", "tags")} for each in found}
    lines = {order: row["lines"] and [line(each) for each in row["lines"]] for order, row in orders.items()}
    assert held == {order: {**row, "lines": lines[order]} for order, row in orders.items()}


def assert_told(shell: Shell, orders: dict[str, dict[str, Any]]) -> None:
    """The table's lines are those that were dropped, as SQLite reads them."""
    with closing(sqlite3.connect(shell.folder / "books.db")) as books:
        held = books.execute(
            """select "order", value ->> 'item', value ->> 'quantity', value ->> 'due' from orders, json_each(lines)
            where not _deleted order by "order", key"""
        ).fetchall()
    assert held == [
        (order, each["item"], f"{float(each['quantity']):.9f}", each["due"])
        for order, row in sorted(orders.items())
        for each in row["lines"] or ()
    ]


def counts(done: Any) -> tuple[int, ...]:
    """New, changed, deleted; and what was delivered."""
    rows = done["datasets"]["drop.orders"]
    return rows["new"], rows["changed"], rows["deleted"], done["deliveries"]["appdb.orders"]["records"]


def test_lines_are_embedded_and_a_changed_line_is_a_changed_order(shell: Shell, mongo: Mongo) -> None:
    put(shell.folder, 1, ORDERS)
    assert counts(shell.json("run")) == (4, 0, 0, 4)
    assert_held(mongo, ORDERS)
    put(shell.folder, 2, ORDERS)  # nothing changed: nobody is told
    assert counts(shell.json("run")) == (0, 0, 0, 0)
    more = [A, {**B, "quantity": 4}]
    orders = {**ORDERS, "SO-1": {**ORDERS["SO-1"], "lines": more}, "SO-5": ORDERS["SO-2"]}
    put(shell.folder, 3, orders)
    assert counts(shell.json("run")) == (1, 1, 0, 2)
    assert_held(mongo, orders)
    removed = {**orders, "SO-1": {**orders["SO-1"], "lines": [A]}, "SO-3": {**orders["SO-3"], "lines": None}}
    del removed["SO-2"]
    put(shell.folder, 4, removed)
    assert counts(shell.json("run")) == (0, 2, 1, 3)
    assert_held(mongo, removed)
    assert_told(shell, removed)
    assert shell.json("verify", "books.orders")["equal"]
    assert {each["_id"] for each in mongo.database.orders.find({"lines.item": "B"})} == {"SO-5"}
    assert shell.json("verify", "appdb.orders")["equal"]
    mongo.database["orders.rows"].update_one({"_id": "SO-1"}, {"$set": {"lines.0.quantity": Decimal128("9")}})
    (different,) = shell.json("verify", "appdb.orders", code=3)["different"]
    assert (different["key"], different["fields"]) == ('["SO-1"]', ["lines"])
    history = [(row["_op"], row["lines"] and len(row["lines"])) for row in _history(shell) if row["order"] == "SO-1"]
    assert history == [("upsert", 2), ("upsert", 2), ("upsert", 1)]
    assert '[{"item": "A", "quantity": "2.500000000", "due": "2026-12-01"}]' in shell("trace", "drop.orders", "SO-1")
    (row,) = shell.json(
        "query",
        """select list_sum([x.quantity for x in lines]) as total from drop.orders
        where "order" = 'SO-5'""",
    )
    assert row == {"total": "3.000000000"}


def test_a_member_that_is_declared_later_is_added_and_one_that_is_lost_is_told(shell: Shell, mongo: Mongo) -> None:
    put(shell.folder, 1, ORDERS)
    shell("run")
    settings = shell.folder / "postroad.yaml"
    settings.write_text(settings.read_text().replace("{item: text,", "{item: text, price: decimal,"))
    # A worker that starts before the run that widens the lake reads what is there.
    assert shell.json("verify", "appdb.orders")["equal"]
    put(shell.folder, 2, {**ORDERS, "SO-2": {**ORDERS["SO-2"], "lines": [{**B, "price": "7.25"}]}})
    assert "new columns: lines.price" in shell("run")
    held = {**line(B), "due": None, "price": Decimal128("7.250000000")}
    assert mongo.database.orders.find_one({"_id": "SO-2"}, ["lines"]) == {"_id": "SO-2", "lines": [held]}
    assert len(_history(shell)) == 5, "others did not change"
    assert shell.json("verify", "appdb.orders")["equal"]
    prices = "select lines[1].price as price from drop.orders_changes where \"order\" = 'SO-2' order by _version"
    assert [row["price"] for row in shell.json("query", prices)] == [None, "7.250000000"]
    put(shell.folder, 3, {"SO-2": ORDERS["SO-2"]})
    others = {
        "{item: text, price: decimal, quantity: decimal}": "lines.due is date32[day] in the lake, and its declaration",
        "{item: int, price: decimal, quantity: decimal, due: date}": "lines.item is string in the lake and int64 in",
        "text": "column lines is list<",
    }
    for written, told in others.items():
        settings.write_text(PROJECT.replace("{item: text, quantity: decimal, due: date}", written))
        assert told in shell("run", code=2)
    # What the declaration lacks is in the lake still, and is delivered.
    settings.write_text(PROJECT.replace("due: date}", "price: decimal}").replace("MONGODB_NAME", mongo.name))
    flow = shell.folder / "flows" / "orders.yaml"
    flow.write_text(FLOW.replace("appdb.orders", "appdb.others"))
    shell("run", code=2)
    assert mongo.database.others.find_one({"_id": "SO-1"}, ["lines.due"]) == {
        "_id": "SO-1",
        "lines": [{"due": datetime(2026, 12, 1)}, {"due": None}],  # noqa: DTZ001 (as pymongo shows it)
    }


def test_cleaning_takes_a_list_whole(shell: Shell, mongo: Mongo) -> None:
    put(shell.folder, 1, ORDERS)
    flow = shell.folder / "flows" / "orders.yaml"
    cleaned = "select: [lines], rename: {lines: content.lines}, where: lines is not null}"
    flow.write_text(FLOW.replace("appdb.orders}", f"appdb.orders, {cleaned}"))
    shell("run")
    found = mongo.database.get_collection("orders", CodecOptions(tz_aware=True)).find({})
    held = {each["_id"]: each["content"]["lines"] for each in found}
    assert held == {order: [line(each) for each in ORDERS[order]["lines"]] for order in ("SO-1", "SO-2", "SO-3")}
    flow.write_text(FLOW.replace("appdb.orders}", "appdb.others, where: lines = 'A'}"))
    assert "where: lines holds lists or structures" in shell("check", code=2)


OTHERS = """\
  shop:
    connector: http
    url: SHOP_URL
    token: SHOP_TOKEN
    sign: [SHOP_SECRET]
    versions: compared
    answer: {results: items, id: order, status: state, accepted: [ok], unchanged: [known], message: error}
  partner: {connector: rabbitmq, url: PARTNER_URL, receipts: false}
"""


def test_other_programs_get_lists_as_json(shell: Shell, broker: Broker) -> None:
    """An API by HTTP, and whoever reads a queue."""
    put(shell.folder, 1, ORDERS)
    texts = [{**each, "quantity": f"{float(each['quantity']):.9f}"} for each in (A, B)]
    with ApiSimulator(["order"]) as api:
        settings = shell.folder / "postroad.yaml"
        others = OTHERS.replace("SHOP_URL", api.base_url).replace("SHOP_TOKEN", DEMO_TOKEN)
        others = others.replace("SHOP_SECRET", DEMO_SECRET)
        settings.write_text(settings.read_text() + others.replace("PARTNER_URL", broker.url))
        flow = shell.folder / "flows" / "orders.yaml"
        flow.write_text(FLOW.replace("appdb", "shop").replace("books", "partner"))
        done = shell.json("run")["deliveries"]
        assert {to: each["records"] for to, each in done.items()} == {"shop.orders": 4, "partner.orders": 4}
        told = {each["order"]: (each["lines"], each["tags"]) for each in api.rows("orders")}
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        _, _, body = connection.channel().basic_get("orders", auto_ack=True)
    read = {each["order"]: (each["lines"], each["tags"]) for each in json.loads(body or b"")["data"]}
    assert told == read
    assert told["SO-1"] == (texts, ["new", "large"])
    assert [told[f"SO-{number}"] for number in (2, 3, 4)] == [([texts[1]], []), ([], None), (None, ["x", None])]


@pytest.mark.parametrize("holds", ["snapshot", "changes"])
def test_a_list_that_is_declared_later_or_no_more_overwrites_nothing(tmp_path: Path, holds: str) -> None:
    without = {"files": "orders_*.jsonl", "key": ["order"], "columns": {"order": "text", "n": "int"}, "holds": holds}
    declared = {**without, "lists": {"lines": {"item": "text"}}}
    one, two = {"order": "1", "n": 1, "lines": [{"item": "A"}]}, {"order": "2", "n": 1, "lines": []}
    world = DropWorld(tmp_path, {"orders": without})

    def held(settings: dict[str, Any]) -> dict[str, Any]:
        world.datasets = {"orders": settings}
        assert set(outcomes(world.sync()).values()) == {"succeeded"}
        return {row["order"]: (row["n"], row.get("lines")) for row in world.rows("orders")}

    world.write("orders_1.jsonl", b"\n".join(json.dumps(each).encode() for each in (one, two)))
    assert held(without) == {"1": (1, None), "2": (1, None)}
    assert held(declared) == {"1": (1, [{"item": "A"}]), "2": (1, [])}
    later = ({**one, "n": 2, "lines": []}, two, {"order": "3", "n": 5, "lines": [{"item": "Z"}]})
    world.write("orders_2.jsonl", b"\n".join(json.dumps(each).encode() for each in later))
    assert held(without) == {"1": (2, [{"item": "A"}]), "2": (1, []), "3": (5, None)}
    assert held(declared) == {"1": (2, []), "2": (1, []), "3": (5, [{"item": "Z"}])}


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("nth", [1, 2])
def test_a_member_is_added_whenever_the_run_that_adds_it_is_killed(tmp_path: Path, side: Side, nth: int) -> None:
    """To the changes first, then to the table."""
    declared = {"files": "orders_*.jsonl", "key": ["order"], "columns": {"order": "text"}}
    world = DropWorld(tmp_path, {"orders": {**declared, "lists": {"lines": {"item": "text"}}}})
    world.write("orders_1.jsonl", b'{"order": "1", "lines": [{"item": "A", "count": 2}]}')
    world.sync()
    world.datasets = {"orders": {**declared, "lists": {"lines": {"count": "int", "item": "text"}}}}
    trap = Trap(Point.COLUMNS_ADDED, nth, side)
    world.sync(trap)
    assert trap.fired
    assert [row["lines"][0]["item"] for row in world.rows("orders")] == ["A"]
    assert set(outcomes(world.sync()).values()) == {"succeeded"}
    for what, rows in (("tables", 1), ("changes", 2)):
        found = world.rows("orders", what)
        assert len(found) == rows
        assert found[-1]["lines"] == [{"item": "A", "count": 2}]
    columns = DeltaTable(str(tmp_path / "lake" / "tables" / "drop" / "orders")).to_pyarrow_table(columns=["lines"])
    assert columns.to_pylist() == [{"lines": [{"item": "A", "count": 2}]}]


def _history(shell: Shell) -> list[dict[str, Any]]:
    return read_table(shell.folder / "lake" / "changes" / "drop" / "orders").rows()
