"""The settings of a connection to Finance & Operations in postroad.yaml."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from postroad.sdk.secrets import Secret

Company = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,4}$", to_lower=True)]


@cache
def known_names() -> tuple[str, ...]:
    """The public names of the entities; without Arrow, which `--help` does not need."""
    text = files(__package__).joinpath("entities.txt").read_text("utf-8")
    return tuple(line.split()[1] for line in text.splitlines() if line.startswith("entity "))


class FinopsSettings(BaseModel):
    """One environment of Finance & Operations, one export project in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(
        description="The environment, such as https://acme.operations.dynamics.com.", pattern=r"^https?://[^/]+"
    )
    tenant: str = Field(min_length=1, description="The directory's tenant: its id, or a domain such as acme.com.")
    client_id: str = Field(min_length=1, description="The application that signs in.")
    client_secret: Secret = Field(description="Its secret, such as secret://FO_SECRET.")
    companies: tuple[Company, ...] = Field(min_length=1, description="The legal entities that are exported.")
    project: str = Field(
        default="Postroad",
        min_length=1,
        max_length=60,
        description="The export project with change tracking; a full export of an entity is project, space, entity.",
    )
    entities: tuple[str, ...] = Field(
        default_factory=known_names, min_length=1, description="The entities of the project, by their public names."
    )
    odata: tuple[str, ...] = Field(
        default=(),
        description="Small entities that are read whole over OData, without projects and packages.",
    )
    odata_hours: float = Field(default=8.0, ge=0, description="They are read again after so many hours.")
    sign_in_url: str = Field(
        default="https://login.microsoftonline.com", description="The directory.", pattern=r"^https?://[^/]+"
    )
    token_version: Literal["v1", "v2"] = Field(default="v2", description="The token endpoint that is asked.")
    dates: Literal["iso", "us", "eu"] = Field(
        default="iso", description="How the files write dates: 2024-03-02, 3/2/2024 or 02/03/2024."
    )
    decimal_sign: Literal[".", ","] = Field(default=".", description="The decimal sign in the files.")
    delimiter: Literal[",", ";", "\t", "|", ":"] = Field(default=",", description="Between the fields of a line.")
    qualifier: Annotated[str, StringConstraints(min_length=1, max_length=1)] = Field(
        default='"', description="The text qualifier."
    )
    encoding: Literal["utf-8", "utf-16-le", "utf-16-be", "cp1252", "ascii"] = Field(
        default="utf-8", description="Of a file that does not begin with a byte order mark."
    )
    package_hosts: tuple[str, ...] = Field(
        default=(".blob.core.windows.net",),
        description="Where packages may be fetched: hosts, or the ends of their names after a dot.",
    )
    allow_http: bool = Field(
        default=False, description="Fetch packages over http too: for a rehearsal on this machine."
    )
    poll_seconds: float = Field(default=15.0, ge=0, description="Between two looks at a running export.")
    polls: int = Field(default=8, ge=1, le=1000, description="So many looks, then the run waits without a process.")
    wait_seconds: float = Field(default=60.0, ge=0, description="How long such a run waits.")
    deadline_hours: float = Field(default=8.0, gt=0, description="An export that runs longer is a failure to look at.")
    history_days: float = Field(
        default=6.0, gt=0, description="Finance & Operations forgets its executions after seven days."
    )
    row_counts: bool = Field(
        default=True, description="Refuse a file with fewer rows than Finance & Operations says that it wrote."
    )
    watch_project: bool = Field(
        default=True,
        description="Refresh fully when somebody else has exported the project, who got its changes then.",
    )
    timeout: float = Field(default=120.0, gt=0, description="Seconds to wait for an answer.")
    burst: int = Field(default=100, ge=1, description="Calls that we allow ourselves in 5 seconds.")
    block_megabytes: float = Field(default=4.0, gt=0, le=64, description="The largest payload that a file is cut into.")
    most_package_megabytes: int = Field(default=5000, ge=1, description="The largest package.")
    most_unpacked_megabytes: int = Field(default=50_000, ge=1, description="The largest package, unpacked.")

    @property
    def base(self) -> str:
        """The environment's address without a slash; tokens are asked for it in small letters (fact sheet 1)."""
        return self.url.rstrip("/")

    @property
    def scope(self) -> str:
        """The fingerprint of what a position counts in."""
        facts = (self.base.lower(), self.project.lower(), ",".join(self.companies))
        return hashlib.sha256("|".join(facts).encode()).hexdigest()[:16]

    @field_validator("entities")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in known_names()]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is no entity that is known: {', '.join(known_names())}")
        if len(set(value)) != len(value):
            raise ValueError("an entity is named twice")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.companies)) != len(self.companies):
            raise ValueError("a company is named twice")
        other = [name for name in self.odata if name not in self.entities]
        if other:
            raise ValueError(f"'{other[0]}' is read over OData, but stands not in entities")
        if self.qualifier in (self.delimiter, self.decimal_sign):
            raise ValueError("qualifier, delimiter and decimal_sign are different characters")
        return self
