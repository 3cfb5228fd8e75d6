"""What a file is and whether it can be used: its format, the digest of what it holds, and its rows as a grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from postroad.connectors.excel_link.csvfile import csv_grid
from postroad.connectors.excel_link.jsonrows import json_grid
from postroad.connectors.excel_link.settings import ExcelLinkSettings
from postroad.connectors.excel_link.tables import Table
from postroad.errors import RemoteError
from postroad.sdk.sheets.archive import Archive, digest
from postroad.sdk.sheets.grid import Grid
from postroad.sdk.sheets.workbook import workbook_grid

MB = 1024 * 1024
WORKBOOKS = ("xlsx", "xlsb", "ods")
ENDINGS = {"xlsx": "xlsx", "xlsm": "xlsx", "xlsb": "xlsb", "ods": "ods", "csv": "csv", "tsv": "csv", "txt": "csv"} | {
    "json": "json"
}
ZIP, OLE = b"PK\3\4", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


@dataclass(frozen=True)
class Sizes:
    """What one file may cost: bytes as received and unpacked, and cells."""

    most_bytes: int
    most_unpacked: int
    most_cells: int

    @classmethod
    def of(cls, settings: ExcelLinkSettings) -> Sizes:
        """The limits of a connection."""
        return cls(settings.most_megabytes * MB, settings.most_unpacked_megabytes * MB, settings.most_cells)


def format_of(table: Table, path: str) -> str:
    """The declared format, else by the ending of the link's path; RemoteError if neither tells."""
    found = table.settings.format or ENDINGS.get(path.rpartition(".")[2].casefold())
    if found is None:
        raise RemoteError("the link's ending does not tell what it leads to: set the table's format")
    return found


def content_digest(body: bytes, kind: str, content_type: str, sizes: Sizes) -> str:
    """The digest of what the file holds; RemoteError if it is no file of that format, or over the limits in bytes.

    Of a workbook the parts are digested and not the zip, whose times differ with every export.
    """
    if len(body) > sizes.most_bytes:
        raise RemoteError(f"the file is larger than {sizes.most_bytes // MB} MB: raise most_megabytes if that is right")
    require_format(body, kind, content_type)
    if kind in WORKBOOKS:
        return digest(Archive(body, sizes.most_unpacked))
    return hashlib.sha256(body).hexdigest()


def require_format(body: bytes, kind: str, content_type: str) -> None:
    """RemoteError if the body is evidently something else."""
    sent = f" (sent as {content_type[:60]})" if content_type else ""
    if body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise RemoteError(
            f"a web page came instead of {kind}{sent}: an error or sign-in page; open the link in a browser, "
            "and make a new one if it has expired"
        )
    if body.startswith(OLE):
        if ENCRYPTED in body:
            raise RemoteError("the workbook is encrypted: save it without a password")
        raise RemoteError("the file is an old .xls workbook: save it as .xlsx")
    if not body:
        raise RemoteError(f"an empty body came instead of {kind}{sent}: try again, and check the link if it stays so")
    if kind in WORKBOOKS and not body.startswith(ZIP):
        raise RemoteError(f"the file is no workbook{sent}: check the link, or set the table's format")
    if kind not in WORKBOOKS and body.startswith(ZIP):
        raise RemoteError(f"the file is a zip, such as a workbook, and no {kind}{sent}: set the table's format")


def read(body: bytes, kind: str, table: Table, sizes: Sizes, *, whole: bool) -> Grid:
    """The rows of a file; RemoteError for one that cannot be used. `whole` lets no declared column be missing."""
    if kind in WORKBOOKS:
        return workbook_grid(body, kind, table.layout, sizes.most_unpacked, sizes.most_cells, whole=whole)
    if kind == "csv":
        return csv_grid(body, table, sizes.most_cells, whole=whole)
    return json_grid(body, table, sizes.most_cells, whole=whole)


def usable(body: bytes, kind: str, table: Table, sizes: Sizes) -> tuple[Grid, int]:
    """A file that can be used to its end, and the number of its rows; RemoteError for any other."""
    grid = read(body, kind, table, sizes, whole=True)
    return grid, sum(len(batch.numbers) for batch in grid.batches())
