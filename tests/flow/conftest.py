"""What the flow tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.harness import World


@pytest.fixture(scope="session", autouse=True)
def _no_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The simulator speaks plain HTTP, and loading the world's certificates would take 50 ms of every sync."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("certificates")))
        yield


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A company of 60 timesheets that nobody synced yet."""
    with World(tmp_path) as world:
        yield world
