"""Landing: raw payloads as received, compressed, one file each.

Written by the `land` stage before the payload's row in tracking. A crash between the two leaves a file that tracking
does not list: litter, shown by `check`; the next run fetches that payload again under another name.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

from postroad.errors import StateError
from postroad.lake.disk import Disk
from postroad.telemetry import Point

LEVEL = -1  # zstd: half the time of level 1 for a fifth more bytes


class Landing:
    """Payload files below `landing/` of a lake."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def put(self, folder: str, name: str, body: bytes) -> tuple[str, int, str]:
        """Write a payload durably; its path, size in bytes uncompressed, and the digest (SHA-256) of the file."""
        path = f"landing/{folder}/{name}.zst"
        packed = pa.Codec("zstd", LEVEL).compress(body, asbytes=True)
        self._disk.write_new(path, packed, Point.PAYLOAD_FILE)
        return path, len(body), hashlib.sha256(packed).hexdigest()

    def get(self, path: str, size: int, digest: str) -> bytes:
        """Read a payload back; StateError if it is gone or is not what was written."""
        try:
            packed = self._disk.read(path)
        except FileNotFoundError:
            message = f"the landed payload {path} is gone; restore it or run a full refresh of its entity"
            raise StateError(message) from None
        except OSError as error:
            raise StateError(f"the landed payload {path} cannot be read: {error}") from error
        if hashlib.sha256(packed).hexdigest() != digest:
            raise StateError(f"the landed payload {path} is not what was written: its digest differs")
        body: bytes = pa.Codec("zstd").decompress(packed, decompressed_size=size, asbytes=True)
        return body
