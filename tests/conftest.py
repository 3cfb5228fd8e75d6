"""What all tests share: the servers and tools that scripts/services starts, and how Hypothesis draws."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import certifi
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConnectionFailure

from tests import azurite, rabbitmq

ROOT = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
MEMORY = Path("/dev/shm")
ROOM = 2 << 30  # bytes; four times what the tests of a run hold at once

# Temporary folders are in memory, where this machine has room: fsync costs nothing there, and the crashes of tests are
# of processes, not of power. A TMPDIR that is set already stays.
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM:
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # it may be known already; it is looked for again

# CI draws the same examples every time, so that a red run is the change's; elsewhere every run looks further.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if CI else "here")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the tables that tests hand over by `record_property("table", …)`, those of other workers too."""
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, value in report.user_properties:
            if name == "table" and report.when == "call":
                terminalreporter.write_line(f"\n{value}")


def absent(what: str, remedy: str = "scripts/services start") -> NoReturn:
    """Skip a test by the name of what it lacks; under CI nothing may be lacking."""
    message = f"{what} is absent: {remedy}"
    if CI:
        pytest.fail(message)
    pytest.skip(message)


def setting(name: str) -> str | None:
    """A server's address: from the environment, else as scripts/services wrote it."""
    env = ROOT / ".services" / "env"
    written = dict(line.split("=", 1) for line in env.read_text().splitlines()) if env.exists() else {}
    return os.environ.get(name) or written.get(name)


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """The address of an empty PostgreSQL database of this test's own."""
    server = setting("POSTROAD_TEST_POSTGRESQL")
    if server is None:
        absent("PostgreSQL")
    try:
        connection = psycopg.connect(server, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError:
        absent("PostgreSQL")
    name = f"test_{secrets.token_hex(6)}"
    with connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield f"{server.rpartition('/')[0]}/{name}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@dataclass(frozen=True)
class Mongo:
    """A database of a MongoDB-compatible server: how to reach it, its name, and a plain client's view of it.

    An application that uses `url` goes by the database's name, so that failures can be meant for it alone.
    """

    url: str
    name: str
    database: Database[dict[str, Any]]


@pytest.fixture
def mongo() -> Iterator[Mongo]:
    """An empty database of this test's own. Polled, since a driver learns of an outage sooner that way."""
    address = setting("POSTROAD_TEST_MONGODB")
    if address is None:
        absent("a MongoDB-compatible server")
    name = f"test_{secrets.token_hex(6)}"
    url = f"{address}?serverMonitoringMode=poll&heartbeatFrequencyMS=500&appName={name}"
    with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=5000) as client:
        try:
            client.admin.command("ping")
        except ConnectionFailure:
            absent("a MongoDB-compatible server")
        yield Mongo(url, name, client[name])
        client.drop_database(name)


@pytest.fixture(scope="session")
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one certificate: obstore wants some even for plain HTTP, and a machine's own are many or none."""
    return certificate_in(tmp_path_factory.mktemp("certificate"))


def certificate_in(folder: Path) -> Path:
    """The same in a folder."""
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    file = folder / "one.pem"
    file.write_text(first + end)
    return file


@pytest.fixture
def container(one_certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[azurite.Container]:
    """An empty container of this test's own in Azurite."""
    monkeypatch.setenv("SSL_CERT_FILE", str(one_certificate))
    endpoint = setting("POSTROAD_TEST_AZURITE")
    if endpoint is None or not azurite.answers(endpoint):
        absent("Azurite")
    with azurite.container(endpoint) as made:
        yield made


@pytest.fixture(scope="session")
def broker_server() -> tuple[str, str]:
    """RabbitMQ itself: its address, and that of its management API."""
    server, api = setting("POSTROAD_TEST_RABBITMQ"), setting("POSTROAD_TEST_RABBITMQ_API")
    if server is None or api is None or not rabbitmq.answers(api):
        absent("RabbitMQ")
    return server, api


@pytest.fixture
def broker(broker_server: tuple[str, str]) -> Iterator[rabbitmq.Broker]:
    """An empty virtual host of this test's own in RabbitMQ."""
    with rabbitmq.vhost(*broker_server) as made:
        yield made


@pytest.fixture(scope="session")
def strace() -> str:
    """The path of strace, where it works (a container may forbid it)."""
    return shutil.which("strace") or absent("strace")
