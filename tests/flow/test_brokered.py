"""Deliveries whose messages come from a broker, with faults and kills on both sides of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pyarrow.parquet as pq
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.app import App
from postroad.engine import brokered
from postroad.errors import TransientError
from postroad.telemetry import Point
from postroad.wire.envelope import MOST_BYTES
from tests import rabbitmq
from tests.flow.doomed import Side, Trap
from tests.flow.post import HERE, Post, memory_folder, small_messages
from tests.flow.test_deliveries import failing, refusing, steps
from tests.rabbitmq import Broker

P = Point
POINTS = {P.MESSAGES_PUBLISHING, P.MESSAGES_PUBLISHED, P.MESSAGE_GIVEN_UP}
QUEUE, DEAD, REFUSED = (f"postroad.post.{end}" for end in (HERE, "dead", "refused"))
UNTAKEN = 6.0


@pytest.fixture
def post(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    small_messages(monkeypatch)
    with memory_folder() as folder:
        yield begun(folder, broker)


def begun(folder: Path, broker: Broker) -> Post:
    folder.mkdir(exist_ok=True)
    post = Post(folder, queue=broker.url)
    post.change({number: f"book {number}" for number in range(1, 8)})
    return post


def publish(post: Post) -> None:
    """Dispatch and publish, and take nothing."""

    def work(app: App) -> None:
        app.deliveries.dispatch()
        with app.deliveries._routes(None) as routes, app.deliveries._drain(routes) as drain:
            drain.publish()

    post.do(work)


def raw(broker: Broker, work: Callable[[Any], Any]) -> Any:
    """Something on the broker with nothing of ours."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        return work(channel)


def bodies(broker: Broker, queue: str) -> list[bytes]:
    """What lies in a queue, which then is empty."""

    def work(channel: Any) -> list[bytes]:
        return [body for _, _, body in iter(lambda: channel.basic_get(queue, auto_ack=True), (None, None, None))]

    found: list[bytes] = raw(broker, work)
    return found


def put(broker: Broker, *messages: bytes) -> None:
    raw(broker, lambda channel: [channel.basic_publish("postroad.post", HERE, body) for body in messages])


def drained(post: Post) -> Any:
    """What one delivery did; the law holds."""
    done = post.deliver()[HERE]
    post.assert_law()
    return done


def test_every_change_arrives_over_the_broker(post: Post, broker: Broker) -> None:
    publish(post)
    assert broker.queues() == [QUEUE, DEAD, REFUSED]
    assert drained(post).messages == 3
    post.change({1: None, 2: "changed", 9: "new"})
    assert drained(post).messages == 1
    assert bodies(broker, QUEUE) == []
    assert post.said == []


def test_every_point_is_crashed(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    small_messages(monkeypatch)
    points = (P.MESSAGES_PUBLISHING, P.MESSAGES_PUBLISHED, P.MESSAGE_TAKEN, P.PACKAGE_SENT, P.MESSAGE_SETTLED)
    with memory_folder() as folder:
        post = begun(folder, broker)
        for number, (point, side) in enumerate((point, side) for point in points for side in Side):
            post.change(dict.fromkeys(range(number % 3, 8), f"{point} {side}") | {number % 8: None})
            trap = Trap(point, 1, side)
            post.deliver(trap)
            assert trap.fired, point
            assert drained(post).problem is None
    assert bodies(broker, REFUSED) == []


@pytest.mark.parametrize("side", Side)
def test_a_kill_while_a_message_is_put_back_or_taken_back(post: Post, broker: Broker, side: Side) -> None:
    post.faults["app"] = failing(TransientError("down"))
    trap = Trap(P.MESSAGE_PUT_BACK, 1, side)
    post.deliver(trap)
    post.faults.clear()
    publish(post)
    given_up(broker)
    given = Trap(P.MESSAGE_GIVEN_UP, 1, side)
    post.now += 400
    post.do(lambda app: app.deliveries.deliver(), given)
    assert trap.fired
    assert given.fired
    post.settle()
    post.assert_law()


def test_with_the_books_on_postgresql(broker: Broker, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills on both sides of each point, a refusal, an outage, a purged queue."""
    small_messages(monkeypatch, 2)
    with memory_folder() as folder:
        post = Post(folder, server=postgresql_url, queue=broker.url)
        for point in (*sorted(POINTS - {P.MESSAGE_GIVEN_UP}), P.MESSAGE_TAKEN, P.PACKAGE_SENT, P.MESSAGE_SETTLED):
            for side in Side:
                post.change(dict.fromkeys(range(post.commits % 3, 6), f"{point} {side}") | {post.commits % 6: None})
                trap = Trap(point, 1, side)
                post.deliver(trap)
                assert trap.fired
        post.faults["app"] = refusing("last")
        post.change({1: "last", 2: "not last?"})
        post.deliver()
        post.faults["app"] = failing(TransientError("down"))
        post.change({4: "later"})
        post.deliver()
        publish(post)
        bodies(broker, QUEUE)
        post.settle()
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))
        post.assert_law()


def given_up(broker: Broker, most: int = 9) -> int:
    """A consumer that refuses what it gets, as one that dies over and over; how many that were."""

    def work(channel: Any) -> int:
        for count in range(most):
            method, _, _ = channel.basic_get(QUEUE)
            if method is None:
                return count
            channel.basic_reject(method.delivery_tag, requeue=False)
        return most

    count: int = raw(broker, work)
    return count


def test_what_the_broker_gave_up_comes_back(post: Post, broker: Broker) -> None:
    publish(post)
    assert given_up(broker) == 3
    assert drained(post).messages == 3
    found = post.look("select before, after, actor, reason from moves where actor = 'broker'")
    assert found == [("queued", "queued", "broker", "given up by the broker: rejected")] * 3


def test_what_it_gives_up_again_and_again_is_halved_and_held(post: Post, broker: Broker) -> None:
    """As what workers die over: a record alone is poison in the end, the others arrive."""
    for _ in range(5):
        publish(post)
        assert given_up(broker) == 3
    assert post.deliver()[HERE].rejected == 1
    assert {row["cause"] for row in post.rejected()} == {"poison"}
    assert len(post.received()) == 6
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    post.assert_law()


def test_a_purged_queue_costs_nothing(post: Post, broker: Broker) -> None:
    publish(post)
    assert len(bodies(broker, QUEUE)) == 3
    assert drained(post).messages == 3


def test_a_broker_that_lost_everything(post: Post, broker: Broker) -> None:
    publish(post)
    for method in ("DELETE", "PUT"):
        broker.call(method, f"vhosts/{broker.vhost}")
    assert drained(post).messages == 3


@pytest.mark.parametrize("lost", [f"queues/{{vhost}}/{QUEUE}", "vhosts/{vhost}"])
def test_what_is_taken_away_while_a_worker_is_at_work_is_made_again(post: Post, broker: Broker, lost: str) -> None:
    def take_away() -> None:
        broker.call("DELETE", lost.format(vhost=broker.vhost))
        broker.call("PUT", f"vhosts/{broker.vhost}")

    post.at_send = take_away
    done = post.deliver()[HERE].messages
    post.change({1: "again"})
    assert done + drained(post).messages == 4


def test_what_comes_twice_is_sent_once(post: Post, broker: Broker) -> None:
    publish(post)
    found = bodies(broker, QUEUE)
    put(broker, *found, *found, *reversed(found))
    assert drained(post).messages == 3
    put(broker, *found)
    assert drained(post).messages == 0
    post.change({1: "again"})
    assert drained(post).messages == 1
    assert post.look("select max(leases), count(*) from messages where status = 'acknowledged'") == [(0, 4)]
    assert bodies(broker, QUEUE) == bodies(broker, REFUSED) == []


def test_hostile_messages_are_kept_aside_and_stop_nobody(post: Post, broker: Broker) -> None:
    publish(post)
    found = bodies(broker, QUEUE)
    event = json.loads(found[0])

    def other(**changes: Any) -> bytes:
        return json.dumps({**event, **changes}).encode()

    number, _, receipt = event["id"].partition("-")
    hostile = [
        b"", b"\x00\xff", b"{}", b"[" * 100_000, b"9" * (MOST_BYTES + 1), found[0][:-1], other(specversion="2"),
        other(source="postroad://other#queue"), other(type="org.postroad.records.v1"), other(id="1; drop table x"),
        other(id=f"99999-{receipt}"), other(id=f"{10**17}-{receipt}"), other(id=f"{number}-{'0' * 16}"), other(id="é"),
        other(data={"digest": "0" * 64}), other(data={"digest": "å"}), other(data={"digest": 7}), other(data=[1]),
        other(data=None), other(id=f"{int(number) + 1}-{receipt}"),
    ]  # fmt: skip
    put(broker, *(each for pair in zip(hostile, [*found, *found] * 9, strict=False) for each in pair))
    assert drained(post).messages == 3
    kept = bodies(broker, REFUSED)
    assert sorted(kept) == sorted(each[:MOST_BYTES] for each in hostile)
    assert len([line for line in post.said if "is refused and kept" in line]) == len(hostile)
    assert not any("drop table" in line or receipt in line for line in post.said)


def test_the_reason_stands_beside_what_was_refused(post: Post, broker: Broker) -> None:
    put_first = b"not for you"
    publish(post)
    put(broker, put_first)
    drained(post)
    status = post.do(lambda app: app.deliveries.queue())
    assert (status.problem, status.refused, status.refused_queue) == (None, 1, REFUSED)
    method, properties, body = raw(broker, lambda channel: channel.basic_get(REFUSED, auto_ack=True))
    assert (method is not None, body) == (True, put_first)
    assert properties.headers.items() >= {
        brokered.REASON: "it is no JSON in UTF-8", brokered.BYTES: len(put_first), brokered.CAME_BY: QUEUE,
    }.items()  # fmt: skip


def test_a_dead_letter_that_is_hostile_is_kept_aside_too(post: Post, broker: Broker) -> None:
    publish(post)
    (whole, *_) = bodies(broker, QUEUE)
    died = pika.BasicProperties(headers={brokered.DIED: [1]})
    raw(broker, lambda channel: [channel.basic_publish("", DEAD, body, died) for body in (b"{}", whole)])
    publish(post)
    assert bodies(broker, REFUSED) == [b"{}"]
    assert post.look("select reason from moves where actor = 'broker'") == [("given up by the broker: unknown",)]
    drained(post)


def test_headers_that_python_has_no_value_for_end_no_connection(
    post: Post, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timestamp in the year 36812, tables in tables: pika 1.4.4 dies of them, and would again of each delivery."""
    publish(post)
    deep = b""
    for _ in range(2000):
        deep = b"\x01xF" + struct.pack(">I", len(deep)) + deep
    headers = [b"\x01xT" + struct.pack(">Q", 1 << 40), deep]

    def encode_table(pieces: list[bytes], _: object) -> int:
        header = headers.pop(0)
        headers.append(header)
        pieces.append(struct.pack(">I", len(header)) + header)
        return 4 + len(header)

    def work(channel: Any) -> None:
        monkeypatch.setattr(pika.data, "encode_table", encode_table)
        for exchange, key in (("postroad.post", HERE), ("", DEAD)):
            for _ in headers:
                channel.basic_publish(exchange, key, b"hostile", pika.BasicProperties(headers={"x": 1}))
        monkeypatch.undo()

    raw(broker, work)
    assert drained(post).messages == 3
    assert bodies(broker, REFUSED) == [b"hostile"] * 4


def test_a_broker_that_is_down_costs_only_time(post: Post, broker: Broker) -> None:
    post.queue = "amqp://127.0.0.1:1/nowhere"
    done = post.deliver()[HERE]
    assert (done.messages, done.problem) == (0, "the broker did not answer: Connection refused")
    assert post.do(lambda app: app.deliveries.queue()).problem == done.problem
    assert not next(iter(post.do(lambda app: list(app.deliveries.check_queue())))).ok
    assert post.statuses()[0].lag == 7
    post.queue = broker.url
    assert drained(post).messages == 3


def test_a_worker_waits_for_a_broker_that_is_down(post: Post, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer from try to try, and it goes on as soon as there is one, and says so once."""
    said: list[str] = []
    with post.open() as app, app.deliveries._routes(None) as routes, app.deliveries._drain(routes) as drain:
        monkeypatch.setattr(app.reporter, "say", said.append)
        queue = drain._queue
        assert isinstance(queue, brokered.BrokeredQueue)
        there = queue._broker
        queue._broker = brokered.Broker(app.project.queue.literal("amqp://127.0.0.1:1"), there.topology, there.source)  # type: ignore[union-attr]
        waits = []
        for _ in range(3):
            queue._again_at = 0.0
            waits.append(app.deliveries._round(drain, routes))
        assert waits == [2, 4, 8]
        assert 2 < app.deliveries._round(drain, routes) <= 8  # it is left alone for so long
        queue._broker, queue._again_at = there, 0.0
        assert app.deliveries._round(drain, routes) == 2
        app.deliveries._round(drain, routes)
        assert said.count("the broker answers again") == 1
    post.assert_law()


def test_what_lies_with_a_frozen_worker_is_taken_by_another(post: Post, broker: Broker) -> None:
    """Before the broker notices; when it wakes it finds them settled."""
    publish(post)
    with post.open() as app, app.deliveries._routes(None) as routes, app.deliveries._drain(routes) as frozen:
        done = frozen.some(1)
        assert (done, post.deliver()[HERE].messages) == (1, 0)
        for _ in range(2):  # of what is published again the frozen one may be handed some
            post.now += UNTAKEN
            done += post.deliver()[HERE].messages
        assert done == 3
        assert not frozen.some()
    post.assert_law()
    assert bodies(broker, QUEUE) == []


def test_paused_and_resumed(post: Post, broker: Broker) -> None:
    publish(post)
    post.do(lambda app: app.deliveries.pause(HERE))
    assert post.deliver()[HERE].messages == 0
    post.change({20: "later"})
    post.do(lambda app: app.deliveries.resume(HERE))
    assert drained(post).messages == 4


def test_an_outage_of_the_receiver_empties_the_broker_of_its_messages(post: Post, broker: Broker) -> None:
    """They wait in the database, and are published again when it is time."""
    post.faults["app"] = failing(TransientError("down"))
    assert "down" in post.deliver()[HERE].problem
    assert post.deliver()[HERE].messages == 0
    post.faults.clear()
    post.now += 400
    assert drained(post).messages == 3


def test_a_refused_record_is_listed_and_retried(post: Post) -> None:
    post.faults["app"] = refusing("book 4")
    assert post.deliver()[HERE].rejected == 1
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    post.assert_law()


@settings(max_examples=3, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, min_size=3, max_size=8))
def test_any_history_ends_equal(broker_server: tuple[str, str], history: list[Callable[[Post], Any]]) -> None:
    """As without a broker: changes, refusals, outages, crashes, frozen workers, late joins."""
    with memory_folder() as folder, rabbitmq.vhost(*broker_server) as broker, pytest.MonkeyPatch.context() as patch:
        small_messages(patch, 2)
        post = begun(folder, broker)
        for step in history:
            step(post)
        post.change({9: "end"})
        post.settle()
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))
        post.assert_law()
        assert not post.rejected()


def test_a_consumer_that_knows_only_the_standards_reads_our_messages(post: Post, broker: Broker) -> None:
    """pika, the CNCF's SDK and pyarrow: the rows are where the events say."""
    publish(post)
    rows: dict[int, str] = {}
    places = []
    for body in bodies(broker, QUEUE):
        event = JSONFormat().read(CloudEvent, body)
        assert (event.get_source(), event.get_type()) == ("postroad://post#queue", "org.postroad.message.v1")
        assert (event.get_subject(), event.get_extension("subscription")) == ("toy.books", HERE)
        places.append((event.get_extension("batch"), event.get_extension("batches"), event.get_extension("lastbatch")))
        data: Any = event.get_data()
        for each in data["slices"]:
            file = pq.read_table(post.folder / "lake" / each["path"])
            found = file.slice(each["first"], each["rows"]).select(["id", "text"]).to_pylist()
            rows |= {row["id"]: row["text"] for row in found}
        assert event.get_extension("records") == sum(each["rows"] for each in data["slices"])
    assert rows == post.books
    assert sorted(places) == [(1, 3, False), (2, 3, False), (3, 3, True)]
    drained(post)
