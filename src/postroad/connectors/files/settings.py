"""The settings of a connection of files in postroad.yaml: where they are, what they hold, when one is whole."""

from __future__ import annotations

import codecs
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from postroad.connectors.files.patterns import places
from postroad.records import column_name
from postroad.sdk.secrets import Secret
from postroad.sdk.sheets.shapes import COLUMN, Caption, ColumnSettings, Kind, Name, Shape, Texts, require_apart
from postroad.sdk.zones import TimeZone

Format = Literal["csv", "xlsx", "xlsb", "ods", "parquet", "jsonl"]
Holds = Literal["changes", "snapshot"]
Character = Annotated[str, StringConstraints(min_length=1, max_length=1, pattern=r"^[\x20-\x7e\t]$")]
TIME = r"^\d{1,5}[smhd]$"
SNIFF = "sniff"
AZURE = "az://"
ENDINGS: dict[str, Format] = {
    "csv": "csv",
    "tsv": "csv",
    "txt": "csv",
    "xlsx": "xlsx",
    "xlsm": "xlsx",
    "xlsb": "xlsb",
    "ods": "ods",
    "parquet": "parquet",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
}


class FileColumnSettings(ColumnSettings):
    """One column of a dataset: its type alone, or an object."""

    format: str | None = Field(
        default=None,
        min_length=2,
        description="How dates or times are written as text, such as %d.%m.%Y; yyyy-mm-dd if absent.",
    )

    @model_validator(mode="after")
    def _formatted(self) -> Self:
        if self.format is not None and self.type not in ("date", "datetime"):
            raise ValueError("only a date or datetime has a format")
        if self.format is not None and not re.search(r"%[dmYyHMSbBj]", self.format):
            raise ValueError("has a format without %d, %m or %Y")
        if self.format is not None and "%z" in self.format.casefold():
            raise ValueError("has a zone in its format; times with zones are read as yyyy-mm-dd hh:mm:ss+hh:mm only")
        return self


WITH_LISTS = ("jsonl", "parquet")  # formats that have lists
ENTRY = ""  # the caption of what stands in a list of plain values


def _entries(value: object) -> object:
    """The type alone where the entries of a list are no objects."""
    return {ENTRY: value} if isinstance(value, str) else value


MemberCaption = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)]
Members = Annotated[
    dict[MemberCaption, FileColumnSettings],
    Field(min_length=1),
    BeforeValidator(_entries, json_schema_input_type=Kind | dict[MemberCaption, FileColumnSettings]),
]


class DatasetSettings(Shape):
    """One dataset: which files hold it, how they are written, what its columns are."""

    files: str = Field(
        min_length=1,
        max_length=500,
        description="The files below the folder: `*` and `?` within one folder, `**/` any folders; what {name} stands "
        "for becomes a column of the key.",
    )
    holds: Holds = Field(
        default="changes",
        description="changes: the rows of each file are put over those that are there. snapshot: the newest file (of "
        "each scope) has all rows, and what it lacks is deleted.",
    )
    scopes: Texts = Field(
        default=(),
        description="Of snapshots with a {name} in their pattern, what it may stand for, each a scope.",
    )
    removed: Literal["keep", "empty"] = Field(
        default="keep", description="What it means for a snapshot's rows that no file of its scope is there any more."
    )
    format: Format | None = Field(default=None, description="Where the ending of the files does not tell.")
    encoding: str = Field(
        default=SNIFF, description="Of csv files; sniffed: by its mark, else utf-8 if it is, else you are asked."
    )
    delimiter: Character | Literal["sniff"] = Field(
        default=SNIFF, description="Between the fields of a csv line; sniffed: the one that gives the captions."
    )
    quote: Character | None = Field(default='"', description="Around a field of a csv line that needs it.")
    header: Annotated[int, Field(ge=0, le=1000)] | Literal["sniff"] = Field(
        default=1,
        description="The line of the captions; 0 where there is none and the columns stand in the declared order; "
        "sniff: line 1 if it has the captions.",
    )
    sheet: str | None = Field(default=None, min_length=1, description="Of a workbook; the first one if absent.")
    columns: dict[Caption, FileColumnSettings] = Field(min_length=1, description="The columns wanted, by caption.")
    lists: dict[Caption, Members] = Field(
        default_factory=dict,
        description="Columns that hold lists, by caption: the members of the objects in them, or the type of values.",
    )
    key: Texts = Field(min_length=1, description="The captions, or names of our own columns, that tell a row.")
    file_as: str | None = Field(default=None, pattern=COLUMN, description="A column of ours with the file's name.")
    line_as: str | None = Field(default=None, pattern=COLUMN, description="A column of ours with the line or row.")
    decimal_sign: Literal[".", ","] = Field(default=".", description="In decimals that are written as text.")
    nulls: Texts = Field(default=(), description="Texts that mean nothing, such as NULL, beside the empty one.")
    marker: str | None = Field(
        default=None,
        min_length=1,
        description="The file that says that one is whole: {name} stands for its name, {stem} for that without ending.",
    )

    @field_validator("files")
    @classmethod
    def _below(cls, value: str) -> str:
        if value.startswith("/") or "\\" in value or ".." in value.split("/"):
            raise ValueError("leads outside of the folder; write a pattern such as vendors_*.csv or in/**/*.csv")
        twice = [name for name in places(value) if places(value).count(name) > 1]
        if twice:
            raise ValueError(f"names {{{twice[0]}}} twice")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            known = value == SNIFF or codecs.lookup(value)._is_text_encoding  # noqa: SLF001 - tells rot13 from latin-1
        except LookupError:
            known = False
        if not known:
            raise ValueError("is no encoding of text; write one such as utf-8, cp1252 or utf-16, or sniff")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_scopes()
        self._check_lists()
        self._check_key()
        require_apart(self.column_names())
        return self

    def _check_lists(self) -> None:
        kind = self.format or ENDINGS.get(self.files.rpartition(".")[2].casefold())
        if self.lists and kind is not None and kind not in WITH_LISTS:
            raise ValueError(f"lists are of JSON lines and Parquet files; a {kind} file has none")
        for caption, members in self.lists.items():
            if caption in self.columns:
                raise ValueError(f"'{caption}' is both one of the columns and one of the lists")
            if ENTRY in members and len(members) > 1:
                raise ValueError(f"the list '{caption}' has a member without a caption")
            require_apart([(each.named(name), f"{caption}.{name}") for name, each in members.items() if name != ENTRY])

    def _check_scopes(self) -> None:
        found = places(self.files)
        if self.holds == "changes" and (self.scopes or self.removed != "keep"):
            raise ValueError("only a snapshot has scopes, or can be emptied when its file is removed")
        if self.holds == "snapshot" and len(found) > 1:
            raise ValueError("a snapshot has at most one {name} in its pattern, which names its scope")
        if self.holds == "snapshot" and bool(found) != bool(self.scopes):
            raise ValueError("a snapshot needs both, or neither: a {name} in its pattern, and the scopes that it names")
        bad = [each for each in self.scopes if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}", each)]
        if bad:
            raise ValueError(f"scope '{bad[0]}' cannot be part of a name: use letters, digits, _ . and -")
        if len(set(self.scopes)) != len(self.scopes):
            raise ValueError("scopes names one twice")

    def _check_key(self) -> None:
        ours = [*filter(None, (self.file_as, self.line_as))]
        listed = [each for each in self.key if each in self.lists]
        if listed:
            raise ValueError(f"key names '{listed[0]}', which is a list; a key is made of plain columns")
        unknown = [each for each in self.key if each not in self.columns and each not in ours]
        if unknown:
            raise ValueError(
                f"key names '{unknown[0]}', which is none of the columns: {', '.join([*self.columns, *ours])}"
            )
        if len(set(self.key)) != len(self.key):
            raise ValueError("key names a column twice")
        lines_alone = self.line_as in self.key and self.file_as not in self.key
        if self.holds == "changes" and lines_alone and set(self.key) == {self.line_as}:
            raise ValueError("a line alone tells no row where several files have it: add file_as to the key")

    def column_names(self) -> list[tuple[str, str]]:
        """Each column's name in the lake, and the caption that it has, ours first."""
        ours = [*places(self.files), *filter(None, (self.file_as, self.line_as))]
        theirs = [(each.named(caption), caption) for caption, each in self.columns.items()]
        lists = [(column_name((caption,)), caption) for caption in self.lists]
        return [(name, f"our own '{name}'") for name in ours] + theirs + lists


class FilesSettings(Shape):
    """Files below one folder or blob prefix, and what a file may cost."""

    folder: str = Field(
        min_length=1, description="A folder, below the project's if relative, or az://container/prefix."
    )
    account: str | None = Field(default=None, pattern=r"^[a-z0-9]{3,24}$", description="The storage account of az://.")
    account_key: Secret | None = Field(default=None, description="Its key; else a SAS, else the machine's identity.")
    sas: Secret | None = Field(default=None, description="A SAS that may list and read.")
    endpoint: str | None = Field(
        default=None, pattern=r"^https?://[^/?#]+(/[^?#]*)?$", description="Where the account is not in Azure's cloud."
    )
    datasets: dict[Name, DatasetSettings] = Field(min_length=1, description="The datasets, by their entities' names.")
    time_zone: TimeZone = Field(default="UTC", description="The zone of times that name none.")
    settle: str = Field(default="10s", pattern=TIME, description="A file is read once it did not change for so long.")
    most_files: int = Field(default=20_000, ge=1, le=200_000, description="More files of one dataset are refused.")
    most_megabytes: int = Field(default=32, ge=1, le=1024, description="The largest workbook, as it lies there.")
    most_unpacked_megabytes: int = Field(default=256, ge=1, le=4096, description="The largest workbook, unpacked.")
    most_cells: int = Field(
        default=1_000_000, ge=1, le=100_000_000, description="Rows times columns of each sheet of a workbook."
    )

    @field_validator("folder")
    @classmethod
    def _absolute(cls, value: str, info: ValidationInfo) -> str:
        if "://" in value:
            if not re.fullmatch(r"az://[a-z0-9][a-z0-9-]{2,62}(/[^?#]*)?", value):
                raise ValueError("is no folder and no prefix in a container; write one such as az://drop/vendors")
            return value.rstrip("/")
        if PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute():
            return value
        below = (info.context or {}).get("folder")
        if below is None:
            raise ValueError("is no absolute path, and nobody said below what")
        return str(Path(below) / value)

    @model_validator(mode="after")
    def _account(self) -> Self:
        given = [self.account, self.account_key, self.sas, self.endpoint]
        if self.folder.startswith(AZURE) and self.account is None:
            raise ValueError("a prefix in a container needs its account")
        if not self.folder.startswith(AZURE) and any(each is not None for each in given):
            raise ValueError("a folder has no account; that belongs to az://")
        if self.account_key is not None and self.sas is not None:
            raise ValueError("needs one of account_key and sas")
        return self
