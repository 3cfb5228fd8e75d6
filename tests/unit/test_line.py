from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest

from postroad.errors import ConfigError, QueueError
from postroad.wire.address import parameters
from postroad.wire.line import PREFETCH, Letter, Line
from postroad.wire.topology import Topology, connected, declare, lengths
from tests.inbox import certificate
from tests.rabbitmq import Broker

TOPOLOGY = Topology("office", "prod", ["app.books", "app.pens"])
BOOKS, PENS = map(TOPOLOGY.queue, TOPOLOGY.subscriptions)


@contextmanager
def opened(broker: Broker) -> Iterator[Line]:
    with closing(Line(parameters(broker.url, "test"))) as line:
        yield line


def letter(number: int, key: str = "app.books", exchange: str = TOPOLOGY.exchange) -> Letter:
    return Letter(exchange, key, b"%d" % number, "text/plain", str(number), {"of": "test"})


@pytest.fixture(autouse=True)
def declared(broker: Broker) -> None:
    for _ in range(2):
        declare(parameters(broker.url, "test"), TOPOLOGY)


def test_names_carry_project_and_environment(broker: Broker) -> None:
    ends = ("app.books", "app.pens", "dead", "refused")
    assert broker.queues() == [f"postroad.office@prod.{end}" for end in ends]
    assert Topology("office", None, []).queue("app.books") == "postroad.office.app.books"
    assert {each["type"] for each in broker.call("GET", f"queues/{broker.vhost}").json()} == {"quorum"}


def test_many_are_in_flight_and_each_is_confirmed(broker: Broker) -> None:
    with opened(broker) as line:
        assert line.publish([]) == []
        assert line.publish([letter(number) for number in range(300)]) == [True] * 300
        assert line.length(BOOKS) == (300, 0)
        line.consume([BOOKS])
        found: list[int] = []
        while len(found) < 300 and (each := line.next(5)):
            found.append(int(each.body))
            assert (each.queue, each.headers["of"]) == (BOOKS, "test")
            line.acknowledge(each)
        assert found == list(range(300))
        assert line.next(0) is None


def test_what_reaches_no_queue_is_told_of(broker: Broker) -> None:
    with opened(broker) as line:
        assert line.publish([letter(1), letter(2, "nobody"), letter(3)]) == [True, False, True]
        assert line.publish([letter(2)]) == [True]


def test_what_was_not_acknowledged_comes_to_another(broker: Broker) -> None:
    with opened(broker) as line:
        line.publish([letter(1), letter(2), letter(3)])
        line.consume([BOOKS])
        first, second = line.next(5), line.next(5)
        assert first is not None
        assert second is not None
        line.acknowledge(first)
        line.give_back(second)
    with opened(broker) as line:
        line.consume([BOOKS])
        found = [line.next(5) for _ in range(2)]
        assert {each.body for each in found if each is not None} == {b"2", b"3"}
        assert line.next(0.1) is None


def test_no_more_come_than_were_asked_for(broker: Broker) -> None:
    with opened(broker) as line:
        line.publish([letter(number) for number in range(PREFETCH + 2)])
        line.consume([BOOKS])
        assert line.next(5) is not None
        assert line.length(BOOKS) == (2, 1)


def test_a_queue_that_is_left_gives_back_what_had_come(broker: Broker) -> None:
    with opened(broker) as line:
        line.publish([letter(1), letter(2, "app.pens")])
        line.consume([BOOKS])
        assert line.get(PENS) is not None
        assert line.get(PENS) is None
        line.consume([PENS])
        assert line.next(0.1) is None
        assert line.length(BOOKS) == (1, 0)


def test_a_broken_line_says_so_to_whoever_waits_and_for_good(broker: Broker) -> None:
    with opened(broker) as line:
        line.consume([BOOKS])
        broker.call("DELETE", f"queues/{broker.vhost}/{BOOKS}")
        for _ in range(2):
            with pytest.raises(QueueError, match="took a queue away"):
                line.next(10)
        for act in (lambda: line.publish([letter(1)]), lambda: line.get(PENS), lambda: line.length(PENS)):
            with pytest.raises(QueueError):
                act()


def test_a_queue_that_is_otherwise_is_named(broker: Broker) -> None:
    broker.call("DELETE", f"queues/{broker.vhost}/{BOOKS}")
    with connected(parameters(broker.url, "test")) as connection:
        connection.channel().queue_declare(BOOKS, durable=True)
    with pytest.raises(ConfigError, match=f"'{BOOKS}' otherwise than Postroad declares it"):
        declare(parameters(broker.url, "test"), TOPOLOGY)


def test_lengths_of_queues_that_are_there_and_of_one_that_is_not(broker: Broker) -> None:
    with opened(broker) as line:
        line.publish([letter(1)])
    assert lengths(parameters(broker.url, "test"), [PENS, "nowhere", BOOKS]) == {PENS: 0, "nowhere": None, BOOKS: 1}


def test_a_user_without_the_right_to_declare_is_told(broker: Broker) -> None:
    user = f"reader-{broker.vhost}"
    broker.call("PUT", f"users/{user}", {"password": "s3cret", "tags": ""})
    try:
        broker.call("PUT", f"permissions/{broker.vhost}/{user}", {"configure": "", "write": ".*", "read": ".*"})
        with pytest.raises(ConfigError, match="may not declare"):
            declare(parameters(broker.url.replace("guest:guest", f"{user}:s3cret"), "test"), TOPOLOGY)
    finally:
        broker.call("DELETE", f"users/{user}")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("guest:guest", "guest:S3CRET"), "refuses our user or password"),
        (("guest:guest", "S3CRET:guest"), "refuses our user or password"),
        (("/test-", "/nosuch-"), "no such virtual host"),
        (("amqp:", "amqps:"), "TLS failed"),
        (("127.0.0.1:", "127.0.0.1:1/?"), "must be amqp://"),
        (("amqp:", "http:"), "must be amqp://"),
        (("127.0.0.1:", "127.0.0.1:S3CRET"), "must be amqp://"),
    ],
)
def test_why_there_is_no_line_is_said_without_the_secret(broker: Broker, change: tuple[str, str], says: str) -> None:
    with pytest.raises((QueueError, ConfigError), match=says) as error:
        Line(parameters(broker.url.replace(*change), "test"))
    assert "S3CRET" not in repr(error.value)


def test_an_address_is_spelt_out() -> None:
    plain = parameters("amqp://broker.example", "test")
    assert (plain.host, plain.port, plain.virtual_host, plain.ssl_options) == ("broker.example", 5672, "/", None)
    secure = parameters("amqps://us%40er:pa%3Ass@broker.example/a%2Fb", "test")
    assert (secure.port, secure.virtual_host) == (5671, "a/b")
    assert isinstance(secure.credentials, pika.PlainCredentials)
    assert (secure.credentials.username, secure.credentials.password) == ("us@er", "pa:ss")
    assert secure.ssl_options is not None
    assert secure.ssl_options.context.check_hostname
    assert secure.ssl_options.server_hostname == "broker.example"


def test_messages_survive_a_restart_of_the_broker(broker: Broker) -> None:
    """They are marked so, and lie in durable queues."""
    with opened(broker) as line:
        line.publish([letter(1)])
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    (found,) = broker.call("POST", f"queues/{broker.vhost}/{BOOKS}/get", body).json()
    assert found["properties"]["delivery_mode"] == 2
    assert all(each["durable"] for each in broker.call("GET", f"queues/{broker.vhost}").json())
    assert json.loads(found["payload"]) == 1


def test_over_tls_the_certificate_is_checked(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_before(broker, tmp_path) as (url, trusted):
        with pytest.raises(QueueError, match="TLS failed: CERTIFICATE_VERIFY_FAILED"):
            declare(parameters(url, "test"), TOPOLOGY)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        declare(parameters(url, "test"), TOPOLOGY)
        with closing(Line(parameters(url, "test"))) as line:
            assert line.publish([letter(number) for number in range(50)]) == [True] * 50
        with pytest.raises(QueueError, match="TLS failed: CERTIFICATE_VERIFY_FAILED"):
            Line(parameters(url.replace("127.0.0.1", "localhost"), "test"))


@contextmanager
def tls_before(broker: Broker, folder: Path) -> Iterator[tuple[str, Path]]:
    """The broker behind TLS, with a certificate of its own: the address, and the certificate."""
    context, trusted = certificate(folder)
    parts = urlsplit(broker.url)

    class Through(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            far = socket.create_connection((parts.hostname, parts.port))
            with suppress(OSError), far, context.wrap_socket(self.request, server_side=True) as near:
                copying = threading.Thread(target=copy, args=(far, near), daemon=True)
                copying.start()
                copy(near, far)
                copying.join(5)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Through) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        port = server.server_address[1]
        yield broker.url.replace("amqp:", "amqps:").replace(f":{parts.port}", f":{port}"), trusted
        server.shutdown()


def copy(source: socket.socket, target: socket.socket) -> None:
    """Until one of them ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
