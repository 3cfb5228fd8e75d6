"""A prefix in a container of Azure Blob Storage, through obstore.

A blob is seen whole or not at all, and its ETag changes with its content; what is read is asked for under the ETag
that was listed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO, cast

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import AzureStore

from postroad.connectors.files.patterns import unfinished
from postroad.connectors.files.places import PIECE, ChangedError, Found
from postroad.connectors.files.settings import FilesSettings
from postroad.errors import AuthError, RemoteError
from postroad.sdk import azure

WINDOW = 1 << 20


class Blobs:
    """The blobs under a prefix."""

    def __init__(self, settings: FilesSettings) -> None:
        self._settings = settings

    @cached_property
    def _store(self) -> AzureStore:
        return azure.store(self._settings)

    def listed(self, *, deep: bool) -> Iterator[Found]:
        """See `Place`."""
        with self._named():
            if not deep:
                yield from _found(obstore.list_with_delimiter(self._store)["objects"])
                return
            for some in obstore.list(self._store):
                yield from _found(some)

    def pieces(self, file: Found) -> Iterator[bytes]:
        """See `Place`."""
        with self._named(file):
            answer = obstore.get(self._store, file.name, options={"if_match": _quoted(file.tag)})
            yield from (bytes(piece) for piece in answer.stream(min_chunk_size=PIECE))

    def opened(self, file: Found) -> BinaryIO:
        """See `Place`."""
        return cast("BinaryIO", io.BufferedReader(_Ranges(self, file), WINDOW))

    def read_range(self, file: Found, start: int, length: int) -> memoryview:
        """A part of a blob's bytes."""
        with self._named(file):
            asked: Any = {"if_match": _quoted(file.tag), "range": (start, start + length)}
            return memoryview(obstore.get(self._store, file.name, options=asked).bytes())

    def require_same(self, file: Found) -> None:
        """See `Place`."""
        with self._named(file):
            if _bare(obstore.head(self._store, file.name)["e_tag"]) != file.tag:
                raise ChangedError(file.name)

    @contextmanager
    def _named(self, file: Found | None = None) -> Iterator[None]:
        """What an error of the store means to whoever catches it."""
        try:
            yield
        except (PreconditionError, FileNotFoundError) as error:
            if file is not None:
                raise ChangedError(file.name) from None
            raise self._meant(error) from None
        except (BaseError, OSError) as error:
            raise self._meant(error) from None

    def _meant(self, error: Exception) -> RemoteError:
        found = azure.meant(error, self._settings.folder, "list and read")
        if isinstance(found, AuthError):
            self.__dict__.pop("_store", None)  # the next call looks the key up anew
        return found


def _found(listed: Any) -> Iterator[Found]:
    for each in listed:
        if not unfinished(each["path"]):
            moment = int(each["last_modified"].timestamp() * 1_000_000) * 1_000
            yield Found(each["path"], each["size"], moment, _bare(each["e_tag"]))


def _bare(tag: str | None) -> str:
    """An ETag without its quotes, which a listing leaves out and a header has."""
    return (tag or "").strip('"')


def _quoted(tag: str) -> str:
    return f'"{tag}"'


class _Ranges(io.RawIOBase):
    """A blob that is read in parts."""

    def __init__(self, blobs: Blobs, file: Found) -> None:
        self._blobs = blobs
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._file.size - self._at)
        if length <= 0:
            return 0
        data = self._blobs.read_range(self._file, self._at, length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
