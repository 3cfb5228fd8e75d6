"""The lake of a project: what its files and the environment say of it, and the disk that holds it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from postroad.project.model import AZURE, Project
from postroad.project.model import LAKE as DEFAULT_LAKE
from postroad.project.nodes import Node, Notes
from postroad.project.variables import Filler
from postroad.telemetry import Watcher, unwatched

if TYPE_CHECKING:
    from postroad.lake.disk import Disk
    from postroad.lake.objects import ObjectStore

LAKE = "lake"
ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"
CREDENTIALS = {"key": "AZURE_STORAGE_ACCOUNT_KEY", "sas": "AZURE_STORAGE_SAS_TOKEN"}


def spelt_out(root: Node) -> Node:
    """The root of a file with its lake as a mapping, so that an environment's `lake: az://…` keeps the account."""
    lake = root.child(LAKE)
    if lake is None or not isinstance(lake.value, str):
        return root
    return replace(root, value={**root.value, LAKE: replace(lake, value={"url": lake})})


def require_own_books(base: Node, overlay: Node, notes: Notes) -> None:
    """Note an environment with a lake of its own and no database: the books of one lake are not those of another."""
    mine, before = _url(overlay), _url(base)
    if mine is None or mine.value == (before.value if before is not None else DEFAULT_LAKE):
        return
    database = base.child("database")
    per_machine = database is not None and "$" in str(database.value)
    if overlay.child("database") is None and not per_machine:
        sentence = "this environment has a lake of its own and shares the database of postroad.yaml"
        notes.mistake(mine.spot, "shared-database", sentence, "write database: … beside it")


def completed(root: Node, filler: Filler) -> Node:
    """The filled root with the account and credentials of its lake, which may come from the environment."""
    lake, url = root.child(LAKE), _url(root)
    if lake is None or url is None or not isinstance(url.value, str):
        return root
    given = dict(lake.value)
    if not url.value.startswith(AZURE):
        # What another file says belongs to another lake.
        others = [name for name, node in given.items() if node.key.file != url.key.file]
        filler.forget([given.pop(name).spot for name in others])
    elif _absent(lake, "account"):
        name = filler.variables.get(ACCOUNT)
        if name is None:
            hint = f"write lake: {{url: az://…, account: …}}, or set {ACCOUNT}"
            filler.notes.mistake(lake.key, "no-account", "lake.account is missing: the storage account of az://", hint)
        given["account"] = Node(name, url.spot, url.key, literal=False)
    if url.value.startswith(AZURE) and all(_absent(lake, name) for name in (*CREDENTIALS, "identity")):
        given |= _credentials(url, filler)
    return replace(root, value={**root.value, LAKE: replace(lake, value=given)})


def open_disk(project: Project, watcher: Watcher = unwatched) -> Disk:
    """The disk that holds a project's lake."""
    if project.lake_folder is None:
        return open_store(project, watcher)
    from postroad.lake.disk import LocalDisk  # reading a project's files needs no Arrow

    return LocalDisk(project.lake_folder, watcher)


def open_store(project: Project, watcher: Watcher = unwatched) -> ObjectStore:
    """The object store that holds a project's lake."""
    from postroad.lake.objects import ObjectStore  # obstore is for lakes that lie on one

    assert project.storage is not None
    return ObjectStore(project.lake, project.storage.options, watcher)


def _url(root: Node) -> Node | None:
    lake = root.child(LAKE)
    return lake.child("url") if lake else None


def _absent(lake: Node, name: str) -> bool:
    node = lake.child(name)
    return node is None or node.value is None


def _credentials(url: Node, filler: Filler) -> dict[str, Node]:
    for name, variable in CREDENTIALS.items():
        secret = filler.secret(variable, url.spot)
        if secret is not None:
            return {name: Node(secret, url.spot, url.key, literal=False)}
    return {}
