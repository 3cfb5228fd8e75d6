"""Records that are too many for an event: a file of JSON in a folder or a container, and a claim check in the event.

That is the extension "Dataref (Claim Check)" of CloudEvents: `dataref` says where the data are. A file is named by its
message and by what it holds, so it never changes, and a copy of the message finds it there. It is durable before the
event is published: a crash before leaves nothing, a crash after leaves a file that no event names, and the same message
is sent again. Nobody here deletes one: its readers know when they are done, and a rule of the storage does it by age.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import AzureStore

from postroad.connectors.rabbitmq.settings import AZURE, ClaimSettings
from postroad.errors import AuthError, ConfigError, RemoteError, TransientError
from postroad.sdk import azure

PROBE = "postroad-check.json"
Attributes = dict[str, str | int | bool]


class Store(Protocol):
    """Where files are put. RemoteError if one cannot be, and ConfigError if we may not."""

    def put(self, name: str, data: bytes) -> str:
        """Write a file, durably, if there is none of that name; where it is."""
        ...


def opened(settings: ClaimSettings) -> Store:
    """The store that the settings name; asks nobody."""
    return _Container(settings) if settings.folder.startswith(AZURE) else _Folder(Path(settings.folder))


def claim(store: Store, where: str, data: bytes) -> Attributes:
    """Put the data of an event below `where`; the attributes by which a reader finds them and knows them again."""
    digest = hashlib.sha256(data).hexdigest()
    reference = store.put(f"{where}-{digest[:16]}.json", data)
    return {"dataref": reference, "datasha256": digest, "databytes": len(data)}


class _Folder:
    """A folder, such as a share that consumers mount too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, data: bytes) -> str:
        path = self._folder / name
        with self._named():
            if not self._folder.is_dir():  # never made by us: it may be a share that is not mounted
                raise RemoteError(f"claims: there is no folder {self._folder}: make or mount it")
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._write(path, data)
        return path.as_uri()

    def _write(self, path: Path, data: bytes) -> None:
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with new.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        for folder in path.relative_to(self._folder).parents:
            _sync(self._folder / folder)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise ConfigError(f"claims: {self._folder}: {error.strerror}: let Postroad write there") from None
        except OSError as error:
            raise TransientError(f"claims: {self._folder}: {error.strerror}") from None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Container:
    """A container of Azure Blob Storage, or a prefix in one. A put is durable when it answers."""

    def __init__(self, settings: ClaimSettings) -> None:
        self._settings = settings

    def put(self, name: str, data: bytes) -> str:
        try:
            self._put(name, data)
        except AuthError:
            self.__dict__.pop("_store", None)  # the key may be a new one: look it up once more
            self._put(name, data)
        return f"{self._settings.folder.rstrip('/')}/{name}"

    def _put(self, name: str, data: bytes) -> None:
        try:
            obstore.put(self._store, name, data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            pass
        except (BaseError, OSError) as error:
            raise azure.meant(error, f"claims: {self._settings.folder}", "to create blobs") from None

    @cached_property
    def _store(self) -> AzureStore:
        return azure.store(self._settings)
