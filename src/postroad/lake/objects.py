"""The files of a lake as objects in a container of Azure Blob Storage, through obstore.

A put is durable when it answers and atomic: nobody sees half an object, so there is nothing to flush and nothing that
a power cut could tear. A crash before the answer leaves an object that nothing refers to (litter), or blocks that no
object holds, which the store forgets within a week. Payloads, refused rows and log entries are created under the
condition that their name is free; Parquet files are streamed in blocks, under names that carry their writer's token.
A create whose answer was lost is sent again by obstore and then finds its own bytes: that is success. What the store
refuses or does not answer becomes a ConfigError or a LakeError without our credentials in it.
"""

from __future__ import annotations

import io
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import obstore
import pyarrow as pa
from deltalake.exceptions import DeltaError
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import AzureStore

from postroad.errors import ConfigError, LakeError
from postroad.telemetry import Point, Watcher, unwatched

BLOCK = 4 * 1024 * 1024  # a file that is written holds two of them in memory while a third is filled
WINDOW = 1024 * 1024  # read at once; about a row group
PATIENCE = 30.0  # seconds for which a call is repeated that was not answered
TRIES = 1000  # never reached: the ten of the libraries are used up after 3 s
COPY_POLL = 0.5
SECRETS = ("account_key", "sas_token")
MOST_TEXT = 300
REFUSED = re.compile(r"\b40[13] (Unauthorized|Forbidden)\b|\(code: 40[13]\)|Invalid Access Key")
CODE = re.compile(r"<Code>(\w+)</Code>")
COLOUR = re.compile(r"\x1b\[\d+m|↳")
NOISE = re.compile(
    r"\n\nDebug source:.*|<\?xml.*| in [\d.]+[mnµ]?s\b(, after \d+ retries)?|,?\s+(max_retries|retry_timeout)\W+\d+s?",
    re.DOTALL,
)


class ObjectStore:
    """A container, or a prefix in one, as the disk of a lake.

    `options` gives the account and its credentials under delta-rs's names. It is asked when a client is made, and again
    after a refusal, so that a rotated key is found; only the clients of obstore and delta-rs keep what it gave.
    """

    local = False

    def __init__(self, url: str, options: Callable[[], dict[str, str]], watcher: Watcher = unwatched) -> None:
        self.root = url.rstrip("/")
        self.watcher = watcher
        self.opened: dict[str, Any] = {}
        self._account = options
        self._patience = PATIENCE

    @property
    def options(self) -> dict[str, str]:
        """See `Disk.options`."""
        retries = {"max_retries": str(TRIES), "retry_timeout": f"{self._patience * 1000:.0f}ms"}
        return {**self._account(), **retries}

    @cached_property
    def _store(self) -> AzureStore:
        config: Any = self._account()  # typed by names of obstore's own, of which it takes more
        return AzureStore.from_url(
            self.root,
            config=config,
            client_options={"allow_http": config.pop("allow_http", "false") == "true"},
            retry_config={"max_retries": TRIES, "retry_timeout": timedelta(seconds=self._patience)},
        )

    def probe(self) -> None:
        """Write an object and delete it again: ConfigError or LakeError if one of the two cannot be done."""
        name = f"_check/{secrets.token_hex(8)}"
        with self.named_errors():
            obstore.put(self._store, name, b"", mode="create", use_multipart=False)
            obstore.delete(self._store, name)

    def url(self, name: str) -> str:
        """See `Disk.url`."""
        return f"{self.root}/{name}"

    def write_new(self, name: str, data: bytes, point: Point) -> None:
        """See `Disk.write_new`."""
        with self.named_errors():
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                if self.read(name) != data:
                    raise FileExistsError(f"{self.url(name)} exists already") from None
        self.watcher(point)

    def create(self, name: str) -> Any:
        """See `Disk.create`."""
        with self.named_errors():
            return _Upload(self, obstore.open_writer(self._store, name, buffer_size=BLOCK, max_concurrency=2))

    def seal(self, name: str, file: Any, point: Point) -> int:
        """See `Disk.seal`."""
        file.finish()
        self.watcher(point)
        return int(file.tell())

    def discard(self, name: str, file: Any) -> None:
        """See `Disk.discard`. Blocks that were sent belong to no object, and the store forgets them."""

    def move(self, source: str, target: str) -> None:
        """See `Disk.move`.

        A copy, whose source is deleted only when the target has its size: Azure may answer a copy that it has not made
        yet, and shows an empty target until then. A crash between the two is seen by that size too.
        """
        with self.named_errors():
            size = self._size(source)
            if size is None:
                self.size(target)
                return
            if self._size(target) != size:
                obstore.copy(self._store, source, target)
                self._await(target, size)
            self.remove(source)

    def _await(self, target: str, size: int) -> None:
        deadline = time.monotonic() + self._patience
        while self._size(target) != size:
            if time.monotonic() > deadline:
                raise LakeError(f"{self.url(target)} is still being copied; the same command again, later")
            time.sleep(COPY_POLL)

    def remove(self, name: str) -> None:
        """See `Disk.remove`."""
        with self.named_errors(), suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def read(self, name: str) -> bytes:
        """See `Disk.read`."""
        with self.named_errors():
            return bytes(obstore.get(self._store, name).bytes())

    def open(self, name: str) -> Any:
        """See `Disk.open`."""
        return pa.PythonFile(io.BufferedReader(_Ranges(self, name, self.size(name)), WINDOW), mode="r")

    def read_range(self, name: str, start: int, length: int) -> memoryview:
        """A part of an object's bytes."""
        with self.named_errors():
            return memoryview(obstore.get_range(self._store, name, start=start, length=length))

    def exists(self, name: str) -> bool:
        """See `Disk.exists`."""
        return self._size(name) is not None

    def size(self, name: str) -> int:
        """See `Disk.size`."""
        with self.named_errors():
            return int(obstore.head(self._store, name)["size"])

    def names(self, folder: str) -> Iterator[str]:
        """See `Disk.names`."""
        with self.named_errors():
            for found in obstore.list(self._store, folder):
                yield from (each["path"] for each in found)

    def make_folder(self, name: str) -> None:
        """See `Disk.make_folder`: a container has no folders."""

    def flush(self, *names: str) -> None:
        """See `Disk.flush`: what was answered is durable."""

    def _size(self, name: str) -> int | None:
        try:
            return self.size(name)
        except FileNotFoundError:
            return None

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """See `Disk.named_errors`."""
        try:
            yield
        except FileExistsError:
            raise
        except (BaseError, DeltaError, OSError) as error:
            raise self._named(error) from None

    def _named(self, error: Exception) -> Exception:
        """What an error of the store means to whoever catches it; nothing in it shows a secret."""
        text = COLOUR.sub("", str(error))
        code = CODE.search(text)
        if code is not None and code[1] == "ContainerNotFound":
            return ConfigError(f"{self.root}: there is no such container in the storage account; create it")
        if isinstance(error, FileNotFoundError):
            return FileNotFoundError(self._masked(text.partition(": Error")[0]))
        reason = self._masked(" ".join(NOISE.sub(" ", text).split()))[:MOST_TEXT]
        if code is not None:
            reason = f"{code[1]}: {reason}"
        if "builder error" in text:
            hint = "install the package ca-certificates, or name a file of them in SSL_CERT_FILE"
            return ConfigError(f"{self.root}: no certificates of authorities were found on this machine; {hint}")
        if REFUSED.search(text):
            self.__dict__.pop("_store", None)  # the next call looks the key up anew
            self.opened.clear()
            hint = "see `lake` in postroad.yaml; a key may have been changed, or a SAS token have expired"
            return ConfigError(f"{self.root} refuses us: {reason}; {hint}")
        hint = "nothing durable was lost, the same command goes on from here"
        return LakeError(f"{self.root} did not answer as it should: {reason}; {hint}")

    def _masked(self, text: str) -> str:
        account = self._account()
        given = [account[name] for name in SECRETS if name in account]
        parts = [part.partition("=")[2] for value in given for part in value.split("&") if part.startswith("sig=")]
        for secret in {*given, *parts, *map(unquote, parts)}:
            text = text.replace(secret, "***")
        return text


class _Upload(io.RawIOBase):
    """A file that is written; closing it does not make it one, `finish` does."""

    def __init__(self, store: ObjectStore, writer: obstore.WritableFile) -> None:
        self._store = store
        self._writer = writer
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        with self._store.named_errors():
            self._writer.write(view)
        self._size += len(view)
        return len(view)

    def finish(self) -> None:
        with self._store.named_errors():
            self._writer.close()


class _Ranges(io.RawIOBase):
    """An object that is read in parts."""

    def __init__(self, store: ObjectStore, name: str, size: int) -> None:
        self._store = store
        self._name = name
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        data = self._store.read_range(self._name, self._at, length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
