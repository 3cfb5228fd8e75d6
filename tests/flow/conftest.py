"""What the flow tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from postroad.store import database
from tests.flow.harness import World
from tests.flow.post import memory_folder


@pytest.fixture(scope="session", autouse=True)
def _no_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The simulator speaks plain HTTP, and loading the world's certificates would take 50 ms of every sync."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("certificates")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _statements_compiled_once() -> Iterator[None]:
    """Each App opens an engine of its own, which would compile the same statements again: a fourth of a small sync."""
    shared: list[Engine] = []

    def opened(*arguments: Any, **named: Any) -> Engine:
        engine = create_engine(*arguments, **named)
        if engine.dialect.name == "sqlite":
            shared.append(engine)
            first = shared[0]
            engine.dialect = engine.pool._dialect = first.dialect
            engine._compiled_cache = first._compiled_cache
            del shared[1:]
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_engine", opened)
        yield


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A company of 60 timesheets that nobody synced yet."""
    with World(tmp_path) as world:
        yield world


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that costs little."""
    with memory_folder() as folder:
        yield folder
