"""The storage account that packages are fetched from: another port, signed links that expire, byte ranges (2.4)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

from postroad.connectors.d365_finops.simulator import outages
from postroad.connectors.d365_finops.simulator.mistakes import RefusedError
from postroad.connectors.d365_finops.simulator.switches import DAY, Switches
from postroad.sdk.simulator import Answer, Clock, FaultTable, Request, Simulator

PIECE = 1 << 20
ACCOUNT = "devstoreaccount1"
CONTAINER = "dmf"


@dataclass(frozen=True)
class Blob:
    """A stored package, under one or more names."""

    path: Path
    size: int
    etag: str
    created: float
    until: float  # when it is deleted


class BlobStore(Simulator):
    """Answers GET of signed links. A link is only good for its blob, from its start to its expiry."""

    def __init__(self, host: str, port: int, clock: Clock, faults: FaultTable) -> None:
        super().__init__(host, port, clock)
        self.faults = faults
        self._secret = secrets.token_bytes(32)
        self._blobs: dict[str, Blob] = {}

    def link(self, path: Path, created: float, switches: Switches) -> str:
        """A new link to a package, under a new name."""
        name = "{" + str(uuid.uuid4()).upper() + "}"
        size = path.stat().st_size if path.exists() else 0
        tag = hashlib.sha256(f"{path.name} {size}".encode()).hexdigest()[:15].upper()
        self._blobs[name] = Blob(path, size, f'"0x8{tag}"', created, created + switches.package_days * DAY)
        now = self.clock.now()
        signed = {"sv": "2014-02-14", "sr": "b"}
        signed |= {"st": _time(now), "se": _time(now + switches.link_minutes * 60), "sp": "r"}
        place = f"/{ACCOUNT}/{CONTAINER}/{name}"
        signed["sig"] = self._signature(place, signed)
        return f"{self.base_url}{quote(place)}?{urlencode(signed)}"

    def drop(self, path: Path | None = None) -> int:
        """Delete a package under all its names, or all that are too old; how many names."""
        now = self.clock.now()
        every = list(self._blobs.items())
        gone = [name for name, blob in every if (blob.until <= now if path is None else blob.path == path)]
        for name in gone:
            self._blobs.pop(name).path.unlink(missing_ok=True)
        return len(gone)

    def answer(self, request: Request) -> Answer:
        """Answer one request under the faults that strike it."""
        struck = self.faults.take(["blob"])
        request.facts |= {"roots": ["blob"], "faults": [fault.kind for fault in struck]}
        try:
            given = next(filter(None, map(outages.refusal, struck)), None)
        except RefusedError as refused:
            given = self._error(refused.status, "ServerBusy", refused.message)
        answer = given or self._answer(request, {fault.kind for fault in struck})
        for fault in struck:
            answer = outages.on_the_wire(fault, answer)
        return answer

    def _answer(self, request: Request, kinds: set[str]) -> Answer:
        place = unquote(request.path)
        if request.method != "GET":
            return self._error(405, "UnsupportedHttpVerb", "The resource doesn't support specified Http Verb.")
        if "authorization" in request.headers:
            return self._error(
                401, "InvalidAuthenticationInfo", "Authentication information is not given in the correct format."
            )
        refused = self._refused(place, dict(request.query), "sas_expired" in kinds)
        if refused is not None:
            return refused
        blob = self._blobs.get(place.rpartition("/")[2])
        if blob is None or "blob_gone" in kinds or blob.until <= self.clock.now() or not blob.path.exists():
            return self._error(404, "BlobNotFound", "The specified blob does not exist.")
        wanted = request.headers.get("if-match")
        if wanted not in {None, "*", blob.etag}:
            return self._error(
                412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met."
            )
        asked = None if "ignore_range" in kinds else request.headers.get("x-ms-range", request.headers.get("range"))
        return self._content(blob, asked, request)

    def _refused(self, place: str, query: dict[str, str], expired: bool) -> Answer | None:
        signature = query.pop("sig", "")
        now = _time(self.clock.now())
        if not hmac.compare_digest(signature, self._signature(place, query)):
            return self._error(403, "AuthenticationFailed", _REFUSED, "Signature did not match.")
        if expired or not query.get("st", "") <= now < query.get("se", ""):
            span = f"Start [{query.get('st')}] - Expiry [{query.get('se')}] - Current [{now}]"
            return self._error(
                403, "AuthenticationFailed", _REFUSED, f"Signature not valid in the specified time frame: {span}"
            )
        return None

    def _content(self, blob: Blob, asked: str | None, request: Request) -> Answer:
        first, last = 0, blob.size - 1
        headers = {
            "ETag": blob.etag,
            "Accept-Ranges": "bytes",
            "x-ms-blob-type": "BlockBlob",
            "x-ms-version": "2014-02-14",
        }
        headers["Last-Modified"] = formatdate(blob.created, usegmt=True)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
        status = 200
        if found is not None:
            first, last = int(found[1]), min(int(found[2] or last), last)
            if first > last:
                return self._error(
                    416, "InvalidRange", "The range specified is invalid for the current size of the resource."
                )
            headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
            status = 206
        request.facts["range"] = asked
        length = last - first + 1
        return Answer(_pieces(blob.path, first, length), status, "application/zip", headers, length=length)

    def _error(self, status: int, code: str, message: str, detail: str = "") -> Answer:
        now = datetime.fromtimestamp(self.clock.now(), UTC).isoformat()
        shown = f"<AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>" if detail else ""
        body = (
            f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}\n'
            f"RequestId:{uuid.uuid4()}\nTime:{now}</Message>{shown}</Error>"
        )
        return Answer(body.encode(), status, "application/xml", {"x-ms-error-code": code})

    def _signature(self, place: str, signed: dict[str, str]) -> str:
        text = "\n".join([place, *(f"{name}={value}" for name, value in sorted(signed.items()))])
        return base64.b64encode(hmac.digest(self._secret, text.encode(), "sha256")).decode()


_REFUSED = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
    "including the signature."
)


def _pieces(path: Path, first: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while length > 0 and (piece := file.read(min(PIECE, length))):
            length -= len(piece)
            yield piece


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
