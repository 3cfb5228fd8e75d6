"""The destination suite over a real RabbitMQ, whose consumer is written against the documents of others alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pika
import pyarrow as pa
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from postroad.connectors.rabbitmq import connector
from postroad.connectors.rabbitmq.claims import PROBE
from postroad.connectors.rabbitmq.receipts import read_receipt
from postroad.connectors.rabbitmq.settings import RabbitmqSettings
from postroad.errors import AuthError, BatchRefusedError, ConfigError, RemoteError, StateError, TransientError
from postroad.records import DELETE, OP, VERSION, Entity, Facts, Package, Receipt
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Destination, HandsOver, Tools
from postroad.sdk.secrets import Secret
from postroad.testing import KEY, Row, thing
from tests.azurite import ACCOUNT, Container
from tests.azurite import KEY as KEY_OF_AZURITE
from tests.contract.lists import ListsSuite
from tests.contract.texts import exact_text
from tests.inbox import certificate
from tests.rabbitmq import Broker
from tests.tcp_proxy import TcpProxy, tls_front

REPLIES = "replies"
FACTS = Facts("17-abc", "acme/prod", "erp.things", 2, 3, datetime(2026, 11, 21, 18, 30, tzinfo=UTC))


def opened(url: str | Secret, **settings: Any) -> Destination:
    """A destination on a virtual host."""
    assert connector.destination is not None
    secret = url if isinstance(url, Secret) else Secret.literal(url)
    tools = Tools(MemoryBudget(lambda: 0.0), lambda: 0.0)
    return connector.destination(RabbitmqSettings(**{"url": secret, "receipts": REPLIES, **settings}), tools)


class Consumer:
    """Another team's: keeps what it reads in a dictionary, a version older than what it has aside."""

    def __init__(self, url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()
        self.records: dict[tuple[Any, ...], Row] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, queue: str = "things") -> tuple[pika.BasicProperties, Any] | None:
        """The next event."""
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        if method is None:
            return None
        assert properties is not None
        assert properties.content_type == "application/cloudevents+json"
        return properties, JSONFormat().read(CloudEvent, body or b"")

    def read(self, queue: str = "things") -> None:
        """Everything there is."""
        while (found := self.get(queue)) is not None:
            event = found[1]
            key = json.loads(event.get_attributes()["entitykey"])
            for record in event.get_data():
                place = tuple(record[each] for each in key)
                if self.records.get(place, {VERSION.name: 0})[VERSION.name] < record[VERSION.name]:
                    self.records[place] = record

    def reply(self, body: bytes) -> None:
        """A receipt."""
        self.channel.basic_publish("", REPLIES, body)


def receipt(subject: str, data: object = None, **more: object) -> bytes:
    """As a consumer writes it."""
    known = {"specversion": "1.0", "type": "org.postroad.receipt.v1", "source": "/app", "id": "1", "subject": subject}
    return json.dumps({**known, "data": data, **more}).encode()


def collect(destination: Destination, *verdicts: Any) -> list[Receipt]:
    """The receipts that are given; each verdict in its turn, the last one for all after it."""
    found: list[Receipt] = []

    def settle(each: Receipt) -> Any:
        found.append(each)
        return verdicts[min(len(found), len(verdicts)) - 1]

    assert isinstance(destination, HandsOver)
    destination.receipts(settle)
    return found


def packages(destination: Destination, rows: list[Row], target: Entity = ListsSuite.target) -> Iterator[Package]:
    """Rows, rendered, with the facts of a message."""
    schema = pa.schema([*target.schema, (OP.name, pa.string()), ("_changed_at", pa.timestamp("us", "UTC")), VERSION])
    batch = pa.RecordBatch.from_pylist([{**dict.fromkeys(schema.names), **row} for row in rows], schema)
    for package in destination.render(target, batch):
        yield replace(package, facts=FACTS)


def send(destination: Destination, rows: list[Row], target: Entity = ListsSuite.target) -> None:
    """One message."""
    for package in packages(destination, rows, target):
        destination.send(target, package)


class TestRabbitmq(ListsSuite):
    """Events on a quorum queue, read by pika and the CNCF's own SDK."""

    answer = "handed_over"
    lists_targets = False

    @pytest.fixture(autouse=True)
    def receiver(self, broker: Broker) -> Iterator[None]:
        """An empty virtual host, and a consumer that remembers."""
        self.url = broker.url
        with Consumer(broker.url) as self.consumer:
            yield

    def destination(self) -> Destination:
        """The same virtual host each time."""
        return opened(self.url)

    def held(self) -> Mapping[tuple[str, int], Row]:
        """What the consumer holds once it has read everything."""
        self.consumer.read()
        kept = {key: row for key, row in self.consumer.records.items() if row[OP.name] != DELETE}
        names = list(dict.fromkeys(name for row in kept.values() for name in row if name[0] != "_"))
        return {(key[0], key[1]): {name: row.get(name) for name in names} for key, row in kept.items()}

    def expected(self, values: Row) -> Row:
        """Exact texts."""
        return {name: exact_text(value) for name, value in values.items()}


def test_an_event_says_what_it_is_and_is_kept_by_the_broker(broker: Broker) -> None:
    """Facts of the message, for routing; where receipts go; nothing of a record but its company."""
    with closing(opened(broker.url, company="company")) as destination, Consumer(broker.url) as consumer:
        send(destination, [thing(1, 5, "secret words"), thing(2, 6, None, op=DELETE)])
        send(destination, [thing(3, 7), {**thing(4, 7), "company": "no01"}])
        first, second = consumer.get(), consumer.get()
    assert first is not None
    assert second is not None
    properties, event = first
    assert (properties.message_id, properties.reply_to, properties.delivery_mode) == ("17-abc", REPLIES, 2)
    attributes = event.get_attributes()
    told = {name: attributes[name] for name in ("id", "source", "type", "subject", "target", "entitykey")}
    assert told == {
        "id": "17-abc", "source": "postroad://acme/prod", "type": "org.postroad.records.v1", "subject": "erp.things",
        "target": "things", "entitykey": '["company","number"]',
    }  # fmt: skip
    counted = [attributes[name] for name in ("batch", "batches", "lastbatch", "records", "company")]
    assert counted == [2, 3, False, 2, "se01"]
    assert "secret words" not in str(attributes)
    assert "company" not in second[1].get_attributes()
    one, other = event.get_data()
    assert (one["Select"], one["_op"], one["_version"], one["_changed_at"]) == ("secret words", "upsert", 5, None)
    assert {name for name, value in other.items() if value is not None} == {*KEY, "_op", "_version"}
    kinds = {each["name"]: each["type"] for each in broker.call("GET", f"queues/{broker.vhost}").json()}
    assert kinds == dict.fromkeys(("things", REPLIES, f"{REPLIES}.refused"), "quorum")


def test_a_queue_of_theirs_is_taken_as_it_is_and_an_exchange_of_theirs_too(broker: Broker) -> None:
    with Consumer(broker.url) as consumer:
        consumer.channel.queue_declare("things", arguments={"x-max-priority": 3})
        consumer.channel.exchange_declare("partner", "topic")
        consumer.channel.queue_declare("all")
        consumer.channel.queue_bind("all", "partner", "#")
        with closing(opened(broker.url)) as one, closing(opened(broker.url, exchange="partner")) as other:
            send(one, [thing(1, 1, "one")])
            send(other, [thing(2, 1, "two")])
        consumer.read()
        consumer.read("all")
        assert [row["Select"] for row in consumer.records.values()] == ["one", "two"]


def test_what_reaches_no_queue_is_told_to_a_person(broker: Broker) -> None:
    """An exchange without a queue for the target, and one that is not there; a column that is not there."""
    with Consumer(broker.url) as consumer:
        consumer.channel.exchange_declare("partner", "direct")
    with closing(opened(broker.url, exchange="partner")) as destination, pytest.raises(ConfigError, match="no queue"):
        send(destination, [thing(1, 1)])
    with closing(opened(broker.url, exchange="nobody")) as destination:
        with pytest.raises(ConfigError, match="no exchange 'nobody'"):
            send(destination, [thing(1, 1)])
        assert [(step.step, step.ok) for step in destination.check()][-1] == ("queues and exchange", False)
    with closing(opened(broker.url, company="firm")) as destination, pytest.raises(ConfigError, match="column firm"):
        send(destination, [thing(1, 1)])


def test_what_is_too_big_is_refused_so_that_its_halves_are_sent(broker: Broker) -> None:
    with closing(opened(broker.url, most_kilobytes=16)) as destination, pytest.raises(BatchRefusedError, match="most"):
        send(destination, [thing(1, 1, "x" * 20_000)])


def test_what_is_too_big_goes_into_a_file_that_its_event_names(broker: Broker, tmp_path: Path) -> None:
    """A copy of the message names the same file; small messages stay whole."""
    settings = {"most_kilobytes": 16, "claims": {"folder": str(tmp_path)}}
    with closing(opened(broker.url, **settings)) as destination, Consumer(broker.url) as consumer:
        assert [(each.step, each.ok) for each in destination.check()][-1] == ("claims", True)
        for _ in range(2):
            send(destination, [thing(1, 1, "x" * 20_000), thing(2, 1)])
        send(destination, [thing(3, 1, "y")])
        first, again, small = (consumer.get() for _ in range(3))
    assert first is not None
    assert again is not None
    assert small is not None
    attributes = first[1].get_attributes()
    assert attributes["dataref"] == again[1].get_attributes()["dataref"]
    assert (first[1].get_data(), attributes["records"]) == (None, 2)
    body = Path(url2pathname(urlsplit(attributes["dataref"]).path)).read_bytes()
    assert (attributes["databytes"], attributes["datasha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert [row["Select"] for row in json.loads(body)] == ["x" * 20_000, ""]
    assert ("dataref" in small[1].get_attributes(), small[1].get_data()[0]["Select"]) == (False, "y")
    assert sorted(each.name for each in tmp_path.rglob("*.json")) == [Path(attributes["dataref"]).name, PROBE]


def test_a_container_takes_them_too_and_a_changed_key_is_found(broker: Broker, container: Container) -> None:
    keys = [base64.b64encode(b"another key").decode(), KEY_OF_AZURITE]
    place = {"folder": f"{container.url}/for/partner", "account": ACCOUNT, "endpoint": container.endpoint}
    given = {"most_kilobytes": 16, "claims": {**place, "account_key": Secret(lambda: keys.pop(0))}}
    with closing(opened(broker.url, **given)) as destination, Consumer(broker.url) as consumer:
        send(destination, [thing(1, 1, "x" * 20_000)])
        found = consumer.get()
        assert found is not None
        reference = found[1].get_attributes()["dataref"]
        assert json.loads(container.read(reference.removeprefix(f"{container.url}/")))[0]["Select"] == "x" * 20_000


def test_claims_that_cannot_be_written_are_told_and_nothing_is_published(
    broker: Broker, container: Container, tmp_path: Path
) -> None:
    wrong = base64.b64encode(b"another key").decode()
    place = {"account": ACCOUNT, "endpoint": container.endpoint, "account_key": Secret.literal(wrong)}
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"folder": str(tmp_path / "none")}, RemoteError, "make or mount it"),
        ({"folder": container.url, **place}, AuthError, "refuses us"),
        (
            {"folder": "az://nothing-here", **place, "account_key": Secret.literal(KEY_OF_AZURITE)},
            RemoteError,
            "no such",
        ),
        ({"folder": container.url, **place, "endpoint": "http://127.0.0.1:1/x"}, TransientError, "did not answer"),
    ]
    for given, error, sentence in cases:
        with closing(opened(broker.url, most_kilobytes=16, claims=given)) as destination:
            with pytest.raises(error, match=sentence) as caught:
                send(destination, [thing(1, 1, "x" * 20_000)])
            assert wrong not in repr(caught.value)
            last = [*destination.check()][-1]
            assert (last.step, last.ok) == ("claims", False)
    assert "things" not in broker.queues()


@pytest.mark.parametrize(
    "given",
    [
        {"folder": "claims"},
        {"folder": "az://c"},
        {"folder": "/srv/claims", "account": "acme"},
        {"folder": "az://c", "account": "acme", "account_key": "k", "sas": "s"},
    ],
)
def test_where_claims_go_is_said_whole(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="claims"):
        opened("amqp://127.0.0.1/x", claims=given)


def test_without_receipts_the_brokers_word_is_all_there_is(broker: Broker) -> None:
    with closing(opened(broker.url, receipts=False)) as destination, Consumer(broker.url) as consumer:
        (package,) = packages(destination, [thing(1, 1)])
        (outcome,) = destination.send(ListsSuite.target, package)
        assert (outcome.answer, outcome.cause) == ("applied", "confirmed")
        assert collect(destination, "settled") == []
        assert [step.sentence for step in destination.check()][-1].startswith("none")
        found = consumer.get()
        assert found is not None
        assert found[0].reply_to is None
    assert broker.queues() == ["things"]


def test_a_package_without_its_facts_is_a_bug(broker: Broker) -> None:
    with closing(opened(broker.url)) as destination:
        (package,) = packages(destination, [thing(1, 1)])
        with pytest.raises(StateError, match="facts"):
            destination.send(ListsSuite.target, replace(package, facts=None))


# Outages


def test_a_broker_that_is_down_is_an_outage(broker: Broker) -> None:
    for url in ("amqp://127.0.0.1:1/x", "amqp://nowhere.invalid/x"):
        with closing(opened(url)) as destination:
            with pytest.raises(TransientError, match="does not answer"):
                send(destination, [thing(1, 1)])
            (step,) = destination.check()
            assert (step.step, step.ok) == ("reach the broker", False)
            assert not step.sentence.endswith("Error")  # what the system says, and no name of a library's


@pytest.fixture
def line(broker: Broker) -> Iterator[tuple[TcpProxy, str]]:
    """A way to the broker that can be cut, and the address on it."""
    host, port = re.findall(r"@(.+):(\d+)/", broker.url)[0]
    with TcpProxy(host, int(port)) as proxy:
        yield proxy, broker.url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")


def test_a_connection_that_was_given_up_meanwhile_is_made_anew(broker: Broker, line: tuple[TcpProxy, str]) -> None:
    """Between two messages, as after a restart of the broker; the queue may be gone too."""
    proxy, url = line
    with closing(opened(url)) as destination, Consumer(broker.url) as consumer:
        send(destination, [thing(1, 1, "one")])
        assert consumer.get()
        consumer.channel.queue_delete("things")
        send(destination, [thing(3, 1, "three")])
        proxy.cut()
        send(destination, [thing(2, 1, "two")])
        proxy.cut()
        consumer.reply(receipt("1-a"))
        assert len(collect(destination, "settled")) == 1
        consumer.read()
        assert [row["Select"] for row in consumer.records.values()] == ["three", "two"]


def test_a_confirm_that_is_lost_is_an_outage_and_the_same_again_does_no_harm(
    broker: Broker, line: tuple[TcpProxy, str]
) -> None:
    """The broker has the event, and its word does not come back."""
    proxy, url = line
    with closing(opened(url)) as destination, Consumer(broker.url) as consumer:
        send(destination, [thing(1, 1, "one")])
        consumer.read()
        proxy.lose_answers()
        with pytest.raises(TransientError, match="does not answer"):
            send(destination, [thing(1, 2, "two")])
        consumer.read()
        assert [row["Select"] for row in consumer.records.values()] == ["two"]
        proxy.lose_answers(lost=False)
        send(destination, [thing(1, 2, "two")])
        consumer.read()
        assert [row["Select"] for row in consumer.records.values()] == ["two"]


def test_a_changed_secret_is_found(broker: Broker) -> None:
    """Whoever is refused reads it again; a wrong one is told without it."""
    wrong = re.sub(r"guest:guest", "guest:wrong-password", broker.url)
    answers = [wrong]
    destination = opened(Secret(lambda: answers[0]))
    (step,) = destination.check()
    assert "refuses our user" in step.sentence
    assert "wrong-password" not in step.sentence
    with pytest.raises(AuthError, match="refuses our user") as caught:
        send(destination, [thing(1, 1, "x")])
    assert "wrong-password" not in repr(caught.value)
    assert caught.value.__cause__ is None
    answers[0] = broker.url
    send(destination, [thing(1, 1, "x")])
    destination.close()
    with closing(opened(broker.url + secrets.token_hex(2))) as lost, pytest.raises(AuthError, match="virtual host"):
        send(lost, [thing(1, 1)])


def test_tls_is_checked(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that the machine does not trust is for a person; one that it does carries records."""
    context, trusted = certificate(tmp_path)
    host, port = re.findall(r"@(.+):(\d+)/", broker.url)[0]
    with tls_front(host, int(port), context) as secure, Consumer(broker.url) as consumer:
        url = broker.url.replace("amqp:", "amqps:").replace(f"{host}:{port}", f"127.0.0.1:{secure}")
        with closing(opened(url)) as destination:
            with pytest.raises(ConfigError, match="not to be trusted"):
                send(destination, [thing(1, 1, "one")])
            monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
            send(destination, [thing(1, 1, "one")])
        consumer.read()
        assert [row["Select"] for row in consumer.records.values()] == ["one"]


def test_a_missing_right_is_told(broker: Broker) -> None:
    """A user who may enter, and do nothing."""
    name = f"guest-{secrets.token_hex(4)}"
    broker.call("PUT", f"users/{name}", {"password": "word", "tags": ""})
    try:
        nothing = {"configure": "^$", "write": "^$", "read": "^$"}
        broker.call("PUT", f"permissions/{broker.vhost}/{name}", nothing)
        url = broker.url.replace("guest:guest", f"{name}:word")
        with Consumer(broker.url) as consumer:
            consumer.channel.exchange_declare("partner", "fanout")
        for settings in ({}, {"exchange": "partner", "receipts": False}):
            with closing(opened(url, **settings)) as destination:
                with pytest.raises(AuthError, match="refuses us"):
                    send(destination, [thing(1, 1)])
                assert all(step.step for step in destination.check())
    finally:
        broker.call("DELETE", f"users/{name}")


@pytest.mark.parametrize("url", ["http://u:pass@there", "amqp://", "amqp://u:pass@there:port/", "amqp://u:pass@x/?a=1"])
def test_a_url_that_means_nothing_is_told_by_the_check(url: str) -> None:
    """Without the url, which may hold a password."""
    (step,) = opened(url).check()
    assert not step.ok
    assert "amqp://USER" in step.sentence
    assert "there" not in step.sentence
    assert "pass@" not in step.sentence


@pytest.mark.parametrize("wrong", [
    {"receipts": True}, {"receipts": "a b"}, {"receipts": ""}, {"receipt_within": "0h"}, {"most_kilobytes": 1},
])  # fmt: skip
def test_settings_say_whether_receipts_come(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        opened("amqp://there", **wrong)
    with pytest.raises(ValueError, match="receipts"):
        RabbitmqSettings.model_validate({"url": "amqp://there"})


def test_without_its_client_a_person_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("postroad.connectors.rabbitmq.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pika", None)
    with pytest.raises(ConfigError, match=r"postroad\[rabbitmq\]"):
        opened("amqp://there")


# Receipts


def test_a_receipt_is_acknowledged_after_it_was_settled_and_put_aside_where_it_is_refused(broker: Broker) -> None:
    """What is for later is there again, as is all that was not settled when we crashed."""
    with closing(opened(broker.url)) as destination, Consumer(broker.url) as consumer:
        send(destination, [thing(1, 1)])
        for each in ("1-a", "2-b", "3-c"):
            consumer.reply(receipt(each))
        assert [each.identifier for each in collect(destination, "settled", "refused", "later")] == [
            "1-a",
            "2-b",
            "3-c",
        ]
        assert [each.identifier for each in collect(destination, "later")] == ["3-c"]

        def crash(_: Receipt) -> Any:
            raise KeyboardInterrupt

        assert isinstance(destination, HandsOver)
        with pytest.raises(KeyboardInterrupt):
            destination.receipts(crash)
        assert [each.identifier for each in collect(destination, "settled")] == ["3-c"]
        assert collect(destination, "settled") == []
        assert [step.sentence for step in destination.check()][-1].endswith("1 were refused and lie in replies.refused")
        method, _, body = consumer.channel.basic_get(f"{REPLIES}.refused")
        assert (method is not None, body) == (True, receipt("2-b"))


@pytest.mark.parametrize(("body", "sentence"), [
    (b"", "JSON"),
    (b"[]", "no event"),
    (b"\xff{}", "UTF-8"),
    (b"{" * 100_000, "nested"),
    (b'{"a":' * 9_000 + b"1" + b"}" * 9_000, "nested"),
    (b" " * (2 << 20), "bytes"),
    (receipt("1-a", type="other"), "type org.postroad"),
    (receipt(""), "subject"),
    (receipt("1-a", []), "data"),
    (receipt("1-a", {"rejected": {}}), "data"),
    (receipt("1-a", {"rejected": ["x"]}), "number"),
    (receipt("1-a", {"rejected": [{"record": "0"}]}), "number"),
    (receipt("1-a", {"rejected": [{"record": True}]}), "number"),
])  # fmt: skip
def test_a_receipt_that_cannot_be_read_is_told_without_its_words(body: bytes, sentence: str) -> None:
    found = read_receipt(body)
    assert sentence in found.problem
    assert not found.rejected


def test_what_a_receipt_says_is_shown_as_plain_text() -> None:
    said = [{"record": 0, "cause": "no_shelf", "sentence": "so\x1b[2J " + "x" * 900}, {"record": 1, "cause": "Ö\n"}]
    one, other = read_receipt(receipt("1-a", {"rejected": said})).rejected
    assert (one.cause, one.sentence[:8], len(one.sentence)) == ("no_shelf", "so [2J x", 500)
    assert (other.cause, other.sentence) == ("refused", "the consumer gave no reason")
    assert read_receipt(receipt("1-a", {"rejected": [], "more": 1})) == Receipt("1-a", [])
    assert read_receipt(receipt("1-a")) == Receipt("1-a", [])
