"""Source data formats: how the files of a package are written (fact sheet 3.2); a user can add some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

CODECS: Mapping[int, tuple[str, bytes]] = {
    1200: ("utf-16-le", b"\xff\xfe"),
    1201: ("utf-16-be", b"\xfe\xff"),
    1252: ("cp1252", b""),
    12000: ("utf-32-le", b"\xff\xfe\x00\x00"),
    12001: ("utf-32-be", b"\x00\x00\xfe\xff"),
    20127: ("ascii", b""),
    65001: ("utf-8", b"\xef\xbb\xbf"),
}
"""Code pages, with the codec and byte order mark of each; switch `utf8_bom` decides on the last one."""

DELIMITERS = (",", ";", "\t", "|", ":")


@dataclass(frozen=True)
class SourceFormat:
    """A source data format. `time_zone` is the one that times are rendered in."""

    name: str
    kind: Literal["csv", "excel"] = "csv"
    code_page: int = 1200
    column_delimiter: str = ","
    row_delimiter: str = "\r\n"
    qualifier: str = '"'
    header: bool = True
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.code_page not in CODECS:
            raise ValueError(f"no code page {self.code_page}; there are: {', '.join(map(str, CODECS))}")
        if self.column_delimiter not in DELIMITERS:
            raise ValueError("a column delimiter is a comma, semicolon, tab, vertical bar or colon")
        if self.kind not in {"csv", "excel"}:
            raise ValueError("a format's kind is 'csv' or 'excel'")

    @property
    def extension(self) -> str:
        """The end of a file's name."""
        return "xlsx" if self.kind == "excel" else "txt" if self.column_delimiter == "\t" else "csv"


BUILT_IN = (
    SourceFormat("CSV-Unicode"),
    SourceFormat("CSV", code_page=20127),
    SourceFormat("Tab-Unicode", column_delimiter="\t"),
    SourceFormat("EXCEL", kind="excel"),
)
