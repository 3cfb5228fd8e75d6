"""The same files under a prefix in a container of Azurite."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from postroad.connectors.files import reading
from postroad.connectors.files.settings import FilesSettings
from postroad.connectors.files.source import FilesSource
from postroad.errors import AuthError, RemoteError
from postroad.project import Connection, Project, Sync
from postroad.records import Payload, Want
from postroad.sdk.budget import MemoryBudget
from postroad.sdk.connector import Tools
from tests import azurite
from tests.azurite import Container
from tests.flow.drop_world import DATASETS, DropWorld, outcomes
from tests.unit.files.test_formats import usual


class BlobWorld(DropWorld):
    """A drop world whose folder is a prefix in a container; its clock is the wall's, as the container's is."""

    container: Container

    def write(self, name: str, body: bytes) -> None:
        """A blob."""
        self.container._call("PUT", f"/in/{name}", body, headers={"x-ms-blob-type": "BlockBlob"})

    def project(self) -> Project:
        """The project on the container."""
        settings = FilesSettings.model_validate(given(self.container, datasets=self.datasets))
        sync = Sync("drop", tuple(settings.datasets))
        return Project("drop", self.folder, connections={"drop": Connection("drop", "files", settings)}, syncs=(sync,))


def given(container: Container, **settings: Any) -> dict[str, Any]:
    found = {"folder": f"az://{container.name}/in", "account": azurite.ACCOUNT, "account_key": azurite.KEY}
    return {**found, "endpoint": container.endpoint, "settle": "0s", **settings}


def source(container: Container, **settings: Any) -> FilesSource:
    made = FilesSettings.model_validate(given(container, **{"datasets": DATASETS, **settings}))
    return FilesSource(made, Tools(MemoryBudget(time.time), time.time))


def fetched(opened: FilesSource, name: str, cursor: Any = None) -> list[Payload]:
    feed = next(each for each in opened.discover() if each.name == name)
    return list(opened.fetch(feed, Want(cursor, tuple(each.name for each in feed.entities), feed.scope)))


def test_blobs_become_tables_and_only_what_changed_is_read(
    tmp_path: Path, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK", 100)
    world = BlobWorld(tmp_path)
    world.container = container
    world.put("vendors_1.csv", {number: f"vendor {number}" for number in range(12)})
    world.put("prices/a/prices_se01.csv", {number: f"price {number}" for number in range(9)})
    world.put("rates_1.csv", {1: "old"})
    assert set(outcomes(world.sync()).values()) == {"succeeded"}
    world.assert_law()
    landed = len(list((tmp_path / "lake" / "landing").rglob("*.*")))
    time.sleep(1.1)  # a container tells times to the second
    world.put("vendors_2.csv", {number: f"better {number}" for number in range(8, 10)})
    world.put("rates_2.csv", {2: "new"})
    world.sync()
    world.assert_law()
    assert len(list((tmp_path / "lake" / "landing").rglob("*.*"))) <= landed + 3


def test_what_a_container_refuses_is_told_without_its_key(container: Container) -> None:
    key = "c2VjcmV0" * 8
    for settings, error, words in (
        ({"account_key": key}, AuthError, "refuses us.*check account_key or sas"),
        ({"folder": "az://nowhere-at-all/in"}, RemoteError, "no such container"),
    ):
        with pytest.raises(error, match=words) as told:
            fetched(source(container, **settings), "changes")
        assert key not in str(told.value)
    steps = list(source(container, account_key=key).check())
    assert [step.ok for step in steps] == [False]


def test_a_blob_that_is_replaced_while_it_is_read_is_given_up(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK", 30)
    datasets = {"things": {"files": "*.*", "key": ["Code"], "columns": {"Code": "text"}, "holds": "snapshot"}}
    opened = source(container, datasets=datasets)

    def put(name: str, body: bytes) -> None:
        container._call("PUT", f"/in/{name}", body, headers={"x-ms-blob-type": "BlockBlob"})

    put("a.csv", b"Code\n" + b"".join(b"%d\n" % number for number in range(100)))
    feed = next(opened.discover())
    pages = opened.fetch(feed, Want(None, ("things",)))
    cursor = next(pages).cursor
    put("a.csv", b"Code\n1\n")
    with pytest.raises(RemoteError, match=r"a\.csv was replaced before it was read to its end"):
        fetched(opened, "things", cursor)
    put("b.parquet", usual())
    (page,) = fetched(opened, "things")
    assert page.identifier == "b.parquet#1"
