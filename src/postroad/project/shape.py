"""The shape of the project's files, as pydantic models: what may be written, its defaults, and its descriptions."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from postroad.errors import ConfigError
from postroad.project.days import WORDS, since_day
from postroad.project.model import (
    AZURE,
    BEGINNING,
    CURRENT,
    DATABASE,
    KEEP_MESSAGES,
    LAKE,
    MANAGED_IDENTITY,
    POSTGRESQL,
    SQLITE,
    Allowance,
    MailServer,
    Notify,
    StorageAccount,
)
from postroad.sdk.secrets import Secret

# Names become folder and table names: the letters that every file system, Spark and SQL take unquoted.
NAME = r"^[A-Za-z][A-Za-z0-9_]*$"
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=64)]


def _allowance(value: object) -> object:
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value) if isinstance(value, str) else None
    if percent and float(percent[1]) <= 100:
        return Allowance(rows=0, percent=float(percent[1]))
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Allowance(rows=value, percent=0)
    raise PydanticCustomError("allowance", "must be a number of rows, or a share such as 10% of at most 100%")


def _every(value: object) -> object:
    found = re.fullmatch(r"(\d{1,6})\s*([mhd])", value) if isinstance(value, str) else None
    if found is None or not int(found[1]):
        raise PydanticCustomError("every", "must be a time such as 30m, 12h or 7d")
    return int(found[1]) * {"m": 60.0, "h": 3600.0, "d": 86_400.0}[found[2]]


def _often(value: object) -> object:
    words = {"hourly": "1h", "daily": "1d", "weekly": "7d"}
    return 0.0 if value == "always" else _every(words.get(value, value) if isinstance(value, str) else value)


def _since(value: str) -> str:
    try:
        since_day(value, time.time())
    except ConfigError:
        raise PydanticCustomError("since", f"must be {WORDS}") from None
    return value


def _start(value: object) -> object:
    if value in (CURRENT, BEGINNING):
        return value
    with suppress(ValueError):
        if isinstance(value, str) and date.fromisoformat(value).isoformat() == value:
            return value
    raise PydanticCustomError("start", f"must be {CURRENT}, {BEGINNING}, or a day such as 2026-10-01")


Rows = Annotated[
    Allowance,
    BeforeValidator(_allowance),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"}]}),
]


Every = Annotated[float, BeforeValidator(_every), WithJsonSchema({"type": "string", "pattern": r"^\d{1,6}\s*[mhd]$"})]


Often = Annotated[
    float,
    BeforeValidator(_often),
    WithJsonSchema({"type": "string", "pattern": r"^(always|hourly|daily|weekly|\d{1,6}\s*[mhd])$"}),
]


Start = Annotated[
    str,
    BeforeValidator(_start),
    WithJsonSchema({"type": "string", "pattern": rf"^({CURRENT}|{BEGINNING}|\d{{4}}-\d\d-\d\d)$"}),
]


class Shape(BaseModel):
    """A file or part of one; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ConnectionShape(Shape):
    """A configured remote system: its connector, and the settings that this connector documents."""

    model_config = ConfigDict(extra="allow")
    connector: str = Field(description="The kind of system.")


LAKE_MEANT = "must be a folder, or az://CONTAINER or az://CONTAINER/PREFIX in Azure Blob Storage"
CONTAINER = r"az://(?=[a-z0-9-]{3,63}(?:/|$))[a-z0-9]+(?:-[a-z0-9]+)*(?:/(?!\.)[\w.=-]+)*/?"
OTHER_NAMES = re.compile(r"(azure|abfss?|adl|wasbs?)://|https://[^/]*\.(blob|dfs)\.")


class LakeShape(Shape):
    """Where the lake lies; a text alone is its `url`. All but `url` is for az:// only."""

    url: str = Field(min_length=1, description="A folder, relative to the project's; or az://CONTAINER/PREFIX.")
    account: str | None = Field(default=None, pattern=r"^[a-z0-9]{3,24}$", description="The storage account's name.")
    key: Secret | None = Field(default=None, description="The account's key, such as secret://STORAGE_KEY.")
    sas: Secret | None = Field(
        default=None, description="A SAS token instead of the key, such as secret://STORAGE_SAS."
    )
    identity: Literal["managed_identity", "azure_cli"] | None = Field(
        default=None,
        description="Who signs in where there is neither key nor sas: this machine, or who called az login.",
    )
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^?#]+$",
        description="Where the account answers, if it is not Azure's public cloud.",
    )

    @field_validator("url")
    @classmethod
    def _known_place(cls, url: str) -> str:
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
            return url
        if OTHER_NAMES.match(url):
            raise PydanticCustomError(
                "lake", LAKE_MEANT, {"hint": "write az://CONTAINER/PREFIX, and account beside it"}
            )
        if not re.fullmatch(CONTAINER, url, re.ASCII):
            raise PydanticCustomError(
                "lake", LAKE_MEANT, {"hint": "3 to 63 of a-z, 0-9 and single '-' name a container"}
            )
        return url.rstrip("/")

    @model_validator(mode="after")
    def _one_way_in(self) -> LakeShape:
        given = [name for name in ("key", "sas", "identity") if getattr(self, name) is not None]
        if len(given) > 1:
            context = {
                "given": " and ".join(given),
                "hint": f"an environment drops the project's by `{given[0]}: null`",
            }
            raise PydanticCustomError("lake", "{given} exclude each other", context)
        if not self.url.startswith(AZURE) and (given or self.account or self.endpoint):
            raise PydanticCustomError("lake", "a lake in a folder has only a url; the rest is for az://")
        return self

    @property
    def storage(self) -> StorageAccount | None:
        """The account, if the lake lies in one."""
        if self.account is None:
            return None
        return StorageAccount(self.account, self.key, self.sas, self.identity or MANAGED_IDENTITY, self.endpoint)


def _lake(value: object) -> object:
    if isinstance(value, str):
        return {"url": value}
    if not isinstance(value, dict | LakeShape):
        raise PydanticCustomError("lake_type", LAKE_MEANT)
    return value


Lake = Annotated[
    LakeShape,
    BeforeValidator(_lake),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, LakeShape.model_json_schema()]}),
]


# What every mail server takes: ASCII, no quoted names, no spaces (RFC 5321, dot-string and domain).
ADDRESS = r"^(?:mailto:(?://)?)?[A-Za-z0-9!#%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$"
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _address(value: str) -> str:
    if not re.fullmatch(ADDRESS, value, re.ASCII):
        raise PydanticCustomError("address", "must be an address such as mailto://it-support@acme.example")
    return re.sub("^mailto:(//)?", "", value)


def _addresses(value: object) -> object:
    return [value] if isinstance(value, str) else value


Address = Annotated[str, AfterValidator(_address), WithJsonSchema({"type": "string", "pattern": ADDRESS})]
Addresses = Annotated[
    list[Address],
    BeforeValidator(_addresses),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": ADDRESS},
                {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": ADDRESS}},
            ]
        }
    ),
]


class SmtpShape(Shape):
    """The server that takes the mail. Encrypted unless it is on this machine; a server that signs in has to be."""

    host: str = Field(default="localhost", pattern=r"^[A-Za-z0-9._:-]+$", description="Its name or address.")
    port: int | None = Field(default=None, ge=1, le=65535, description="587 unless said; 465 for tls, 25 for none.")
    security: Literal["starttls", "tls", "none"] | None = Field(
        default=None, description="starttls unless said, or none for a server on this machine."
    )
    user: str | None = Field(default=None, min_length=1, description="Who signs in, where the server wants that.")
    password: Secret | None = Field(default=None, description="The user's password, such as secret://SMTP_PASSWORD.")

    @model_validator(mode="after")
    def _signs_in_safely(self) -> SmtpShape:
        if (self.user is None) != (self.password is None):
            raise PydanticCustomError("smtp", "user and password belong together")
        if self.user is not None and self.server.security == "none" and self.host not in THIS_MACHINE:
            raise PydanticCustomError(
                "smtp", "the password would cross the network in the clear", {"hint": "write security: starttls or tls"}
            )
        return self

    @property
    def server(self) -> MailServer:
        """The server, spelt out."""
        security = self.security or ("none" if self.host in THIS_MACHINE else "starttls")
        return MailServer(self.host, self.port or PORTS[security], security, self.user, self.password)


def _queue(value: object) -> object:
    if isinstance(value, str) and not re.match(r"amqps?://.", value):
        raise PydanticCustomError("queue", "must be amqp://USER:PASSWORD@HOST/VHOST, or amqps://… with TLS")
    return value


Queue = Annotated[Secret, BeforeValidator(_queue)]


def _or_null(schema: dict[str, object]) -> dict[str, object]:
    return {"anyOf": [schema, {"type": "null"}]}


class NotifyShape(Shape):
    """Who is told by e-mail of failures, recoveries, rejected rows, parked closes, drift and entities out of step."""

    to: Addresses = Field(min_length=1, description="An address such as mailto://it-support@acme.example, or several.")
    sender: Address | None = Field(
        None, alias="from", description="The sender; the first of the addresses unless said."
    )
    smtp: Annotated[SmtpShape, WithJsonSchema(SmtpShape.model_json_schema())] = Field(
        default_factory=SmtpShape,
        description="The server that takes the mail; one on this machine unless said.",
    )

    @property
    def notify(self) -> Notify:
        """The same without what may be left out."""
        to = tuple(dict.fromkeys(self.to))
        return Notify(to, self.sender or to[0], self.smtp.server)


class ProjectShape(Shape):
    """postroad.yaml, with an environment's overlay merged in."""

    project: Name = Field(description="The project's name.")
    lake: Lake = Field(LakeShape(url=LAKE), description="The data lake: a folder, relative to the project's; or az://…")
    database: str = Field(DATABASE, description="The tracking database: sqlite:///FILE or postgresql://…")
    queue: Queue | None = Field(
        None, description="The broker that hands out messages: amqp://… or amqps://…; the database unless said."
    )
    connections: dict[Name, ConnectionShape] = Field(default_factory=dict, description="The remote systems, by name.")
    protected: bool = Field(False, description="Ask a person before any write-back.")
    keep_messages: Every = Field(
        KEEP_MESSAGES, description="How long a message is remembered once it is settled: 7d or 90d; 30d unless said."
    )
    notify: Annotated[NotifyShape | None, WithJsonSchema(_or_null(NotifyShape.model_json_schema()))] = Field(
        None, description="Who is told by e-mail what a person should know; nobody unless said."
    )

    @field_validator("database")
    @classmethod
    def _known(cls, database: str) -> str:
        if not re.match(f"{SQLITE}(?!:memory:)[^?]+$|{POSTGRESQL}.", database):
            raise PydanticCustomError("database", "must be sqlite:///FILE or postgresql://…")
        return database


class ReloadShape(Shape):
    """The rows from a day on are read anew, compared, and what is gone is deleted."""

    since: Annotated[str, AfterValidator(_since)] = Field(
        description="A day such as 2026-10-01, or last_month, this_month, this_year, or so many days back as 30d."
    )
    every: Every = Field(86_400.0, description="How often: 30m, 12h or 7d; once a day unless said.")


class SyncShape(Shape):
    """Entities of one connection that are kept in step in the lake."""

    connection: str = Field(alias="from", description="The connection to read from.")
    entities: list[str] = Field(min_length=1, description="The entities to sync, by their remote names.")
    max_deletes: Rows = Field(
        default_factory=Allowance, description="Park a close that deletes more: rows, or a share as 10%."
    )
    max_changes: Rows | None = Field(
        None,
        description="Park a close that adds, changes and deletes more: rows, or a share as 10%; no bound unless said.",
    )
    reload: ReloadShape | None = Field(None, description="Read the newest part of the entities anew now and then.")
    stale_after: Every | None = Field(
        None, description="Tell of an entity that is out of step for so long: 30m, 12h or 7d; a day unless said."
    )
    sweep_deletes: Often | None = Field(
        None,
        description="Read all keys so often, as daily, 12h or always (at each run), and delete the rows that are gone.",
    )


# Of `<connection>.<name>`; a name in a dataset is an entity's, which may be any.
PAIR = r"^[A-Za-z][A-Za-z0-9_]*\..+$"
TARGET = r"^[A-Za-z][A-Za-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*$"


# Those that begin with an underscore are ours.
Column = Annotated[str, StringConstraints(pattern=r"^[^\W_]\w*$", max_length=128)]


# At a receiver that has fields in fields, a dot leads into one: address.city.
Renamed = Annotated[str, StringConstraints(pattern=r"^[^\W_]\w*(\.[^\W_]\w*)*$", max_length=128)]


def _constant(value: object) -> object:
    if isinstance(value, str | bool | float) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    raise PydanticCustomError("constant", "must be a text, a number, true or false")


Constant = Annotated[
    Any, BeforeValidator(_constant), WithJsonSchema({"type": ["string", "integer", "number", "boolean"]})
]


class DeliverShape(Shape):
    """A dataset whose every change goes to a receiver."""

    dataset: str = Field(pattern=PAIR, description="The dataset, such as erp.invoices; some sync must name it.")
    to: str = Field(pattern=TARGET, description="Where it goes: a connection and a name there, such as appdb.invoices.")
    start: Start = Field(
        CURRENT,
        description="What a new receiver gets first: current rows, all history from its beginning, or a day such as "
        "2026-10-01 and what changed since.",
    )
    select: list[str] | None = Field(None, min_length=1, description="These columns and the key; all unless said.")
    rename: dict[str, Renamed] = Field(
        default_factory=dict, description="What columns are called at the receiver: hours: worked."
    )
    where: str | None = Field(
        None, description="Only rows that meet it, such as status = 'open'; one that does no more is deleted there."
    )
    max_lag: Every | None = Field(
        None,
        description="How long a message may wait, as 14d; then the receiver gets the current rows instead; for good "
        "unless said.",
    )
    most_records: int | None = Field(
        None, ge=1, le=50_000, description="How many records a message has at most; 5000 unless said."
    )
    constants: dict[Column, Constant] = Field(
        default_factory=dict, description="Further columns, the same in each row: company: se01."
    )


class FlowShape(Shape):
    """One file of flows/."""

    sync: list[SyncShape] = Field(default_factory=list, description="What is read into the lake.")
    deliver: list[DeliverShape] = Field(default_factory=list, description="What is sent on from the lake.")
