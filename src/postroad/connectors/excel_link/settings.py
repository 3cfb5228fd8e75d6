"""The settings of a connection of links in postroad.yaml: its tables, and the limits that files must keep."""

from __future__ import annotations

import codecs
import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from postroad.connectors.excel_link.periods import misplaced, readable
from postroad.connectors.excel_link.safety import objection
from postroad.sdk.secrets import Secret
from postroad.sdk.sheets.shapes import Caption, ColumnSettings, Name, Shape, Texts, require_apart
from postroad.sdk.zones import TimeZone

Format = Literal["xlsx", "xlsb", "ods", "csv", "json"]
ROW, LINK, PERIOD = "row", "link", "period"
EVERY = r"^[1-9]\d{0,4}[mhd]$"


def _worded(value: object) -> object:
    """A number of YAML where a text is meant."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Parameter = Annotated[str, BeforeValidator(_worded, json_schema_input_type=str | int)]


class TableSettings(Shape):
    """One table: where it is read, how it is laid out, what its columns are."""

    link: Secret | None = Field(default=None, description="The only link, such as secret://EMPLOYEE_GROUPS_LINK.")
    links: dict[Name, Secret] = Field(default_factory=dict, description="Several links by name; a column names them.")
    file: str | None = Field(default=None, description="Instead of a link, the absolute path of a file.")
    files: dict[Name, str] = Field(default_factory=dict, description="Several files by name, alone or beside links.")
    parameters: dict[str, Parameter] = Field(
        default_factory=dict, description="Parameters that are appended to each link; may hold {month} and the like."
    )
    periods: Texts = Field(
        default=(), description="Months such as 2025-01, spans such as 2025-01..2025-12 or 2025-01.., last 3 months."
    )
    format: Format | None = Field(default=None, description="Where the link's ending does not tell.")
    sheet: str | None = Field(default=None, min_length=1, description="The sheet's name; the first one if absent.")
    header_row: int = Field(default=1, ge=1, le=1000, description="The row of the captions; data begins below it.")
    columns: dict[Caption, ColumnSettings] = Field(min_length=1, description="The columns wanted, by caption.")
    order: tuple[str, ...] = Field(
        default=(), description="All captions in the order of JSON rows that are lists; the columns' if absent."
    )
    key: Texts = Field(
        min_length=1, description="The captions that tell a row; `row` for the row's number where nothing does."
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="Between the fields of a csv line.")
    encoding: str = Field(default="utf-8", description="Of a csv file.")
    decimal_sign: Literal[".", ","] = Field(default=".", description="In decimals that are written as text.")
    every: str | None = Field(default=None, pattern=EVERY, description="At most so often, as 30m, 12h or 1d.")

    @field_validator("periods")
    @classmethod
    def _months(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if not readable(text):
                raise ValueError("is no month; write 2025-01, 2025-01..2025-12, 2025-01.. or last 3 months")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            known = codecs.lookup(value)
        except LookupError:
            raise ValueError("is no encoding; write one such as utf-8, cp1252 or utf-16") from None
        if not known._is_text_encoding:  # noqa: SLF001 - the only way to tell rot13 from latin-1
            raise ValueError("is no encoding of text; write one such as utf-8, cp1252 or utf-16")
        return value

    @field_validator("file", "files")
    @classmethod
    def _absolute(cls, value: Any) -> Any:
        for path in value.values() if isinstance(value, dict) else [value] if value is not None else []:
            if not (PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()):
                raise ValueError("is no absolute path; a connection does not know the project's folder")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_places()
        self._check_captions()
        require_apart(self.column_names())
        return self

    def _check_places(self) -> None:
        several = {**self.links, **self.files}
        if (self.link is not None) + (self.file is not None) + bool(several) != 1:
            raise ValueError("needs one of link, file, or links and files")
        if len(several) != len(self.links) + len(self.files):
            raise ValueError("a name stands under links and files both; rename one")
        places = [*self.files.values(), *filter(None, [self.file])]
        places += [link.reveal() for link in self.secrets if not link.reference]
        if wrong := misplaced([*self.parameters.values(), *places], periods=bool(self.periods)):
            raise ValueError(wrong)

    def _check_captions(self) -> None:
        unknown = [caption for caption in self.key if caption not in self.columns and caption != ROW]
        if unknown:
            raise ValueError(f"key names '{unknown[0]}', which is none of the columns: {', '.join(self.columns)}")
        if len(set(self.key)) != len(self.key):
            raise ValueError("key names a column twice")
        lost = [caption for caption in self.columns if self.order and caption not in self.order]
        if lost:
            raise ValueError(f"order lacks the column '{lost[0]}'")
        if len(set(self.order)) != len(self.order):
            raise ValueError("order names a caption twice")

    def column_names(self) -> list[tuple[str, str]]:
        """Each column's name in the lake, and the caption that it has, ours first."""
        ours = [LINK] * self.named + [PERIOD] * bool(self.periods) + [ROW] * (ROW in self.key and not self.own_row)
        theirs = [(each.named(caption), caption) for caption, each in self.columns.items()]
        return [(name, f"our own '{name}'") for name in ours] + theirs

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """All links; one with a reference is looked up at each use, the others stand in the file."""
        return (*self.links.values(), *([self.link] if self.link is not None else []))

    @property
    def named(self) -> bool:
        """Whether a column names the link."""
        return bool(self.links or self.files)

    @property
    def own_row(self) -> bool:
        """Whether the file has a column of its own called row, which the key then means."""
        return ROW in self.columns


class ExcelLinkSettings(Shape):
    """Tables that exist only as links or files, and what a file may cost."""

    tables: dict[Name, TableSettings] = Field(min_length=1, description="The tables, by the name of their entity.")
    time_zone: TimeZone = Field(default="UTC", description="The zone of times that name none.")
    allow_http: bool = Field(default=False, description="Read over http:// from other hosts than this machine too.")
    redirect_hosts: tuple[str, ...] = Field(default=(), description="Other hosts to which a link may redirect.")
    most_megabytes: int = Field(default=32, ge=1, le=1024, description="The largest file, as it is received.")
    most_unpacked_megabytes: int = Field(default=256, ge=1, le=4096, description="The largest workbook, unpacked.")
    most_cells: int = Field(
        default=1_000_000, ge=1, le=100_000_000, description="Rows times columns of each sheet of a file."
    )
    burst: int = Field(default=10, ge=1, description="Calls that we allow ourselves in 5 seconds to one host.")
    calls_per_month: int | None = Field(default=None, ge=1, description="Stop for the month after so many calls.")
    timeout: float = Field(default=60.0, gt=0, description="Seconds to wait for an answer.")

    @model_validator(mode="after")
    def _safe(self) -> Self:
        """Of links that stand in the file itself; the others are looked at when they are used."""
        for name, table in self.tables.items():
            for link in table.secrets:
                wrong = None if link.reference else objection(link.reveal().strip(), allow_http=self.allow_http)
                if wrong:
                    raise ValueError(f"the link of table {name} {wrong}")
        return self

    @field_validator("redirect_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not re.fullmatch(r"[A-Za-z0-9.-]+", host):
                raise ValueError("holds something that is no host; write one such as files.example.com")
        return value
