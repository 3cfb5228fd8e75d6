"""Azurite as tests see it: a container of their own, and its blobs read by plain HTTP, with nothing of the product."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx

ACCOUNT = "devstoreaccount1"
# The key of every Azurite that ever ran, published by Microsoft.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # gitleaks:allow
VERSION = "2021-12-02"


@dataclass
class Container:
    """One container. `mirror` keeps a copy of its blobs in a folder, each fetched once for every change."""

    endpoint: str
    name: str
    sas: str
    etags: dict[str, str] = field(default_factory=dict)
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, verify=False, timeout=30))

    @property
    def url(self) -> str:
        """As postroad.yaml names it."""
        return f"az://{self.name}"

    def options(self) -> dict[str, str]:
        """As delta-rs and obstore know it."""
        at = {"azure_storage_endpoint": self.endpoint, "allow_http": "true"}
        return {"account_name": ACCOUNT, "account_key": KEY, **at}

    def blobs(self) -> dict[str, str]:
        """The names of all blobs with their ETags."""
        found: dict[str, str] = {}
        marker = ""
        while True:
            answer = self._call("GET", "", restype="container", comp="list", marker=marker)
            tree = ET.fromstring(answer.content)
            for blob in tree.iter("Blob"):
                found[blob.findtext("Name") or ""] = blob.findtext("Properties/Etag") or ""
            marker = tree.findtext("NextMarker") or ""
            if not marker:
                return found

    def read(self, name: str) -> bytes:
        """One blob's bytes."""
        return self._call("GET", f"/{quote(name)}").content

    def write(self, name: str, data: bytes) -> None:
        """Put one blob, over whatever is there."""
        self._call("PUT", f"/{quote(name)}", data, {"x-ms-blob-type": "BlockBlob"})

    def delete(self, name: str) -> None:
        """Delete one blob."""
        self._call("DELETE", f"/{quote(name)}")

    def mirror(self, folder: Path) -> Path:
        """Make a folder hold what the container holds."""
        blobs = self.blobs()
        for name in self.etags.keys() - blobs.keys():
            (folder / name).unlink()
        for name, etag in blobs.items():
            if self.etags.get(name) != etag:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.read(name))
        self.etags = blobs
        return folder

    def _call(
        self, method: str, path: str, data: bytes = b"", headers: dict[str, str] | None = None, **query: str
    ) -> httpx.Response:
        address = f"{self.endpoint}/{self.name}{path}?{self.sas}&{urlencode(query)}"
        answer = self.client.request(method, address, content=data, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


def answers(endpoint: str) -> bool:
    """Whether somebody answers there."""
    try:
        httpx.get(endpoint, timeout=5)
    except httpx.TransportError:
        return False
    return True


@contextmanager
def container(endpoint: str) -> Iterator[Container]:
    """A new container, deleted afterwards."""
    name = f"test-{secrets.token_hex(6)}"
    made = Container(endpoint, name, signed("", "rwdlacup", 24))
    made._call("PUT", "", restype="container")
    try:
        yield made
    finally:
        made._call("DELETE", "", restype="container")
        made.client.close()


def signed(container: str, permissions: str, hours: float) -> str:
    """A SAS token for a container, or for the whole account, signed as Microsoft documents it."""
    now = datetime.now(UTC).replace(microsecond=0)
    start, end = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (now - timedelta(hours=1), now + timedelta(hours=hours)))
    parts = {"sv": VERSION, "sp": permissions, "st": start, "se": end, "spr": "https,http"}
    if container:
        parts |= {"sr": "c"}
        said = [permissions, start, end, f"/blob/{ACCOUNT}/{container}", "", "", "https,http", VERSION, "c"] + [""] * 7
    else:
        parts |= {"ss": "b", "srt": "sco"}
        said = [ACCOUNT, permissions, "b", "sco", start, end, "", "https,http", VERSION, "", ""]
    mac = hmac.new(base64.b64decode(KEY), "\n".join(said).encode(), hashlib.sha256)
    return urlencode({**parts, "sig": base64.b64encode(mac.digest()).decode()})
