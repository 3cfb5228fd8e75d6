"""The values that travel between a connector and the engine, and the naming and key rules (design section 5).

Arrow is the only form of records. Business columns come first; the reserved columns, which begin with an
underscore, are ours: a source yields `_op` and `_changed_at`, the lake adds `_version` and `_run`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

UPSERT = "upsert"
DELETE = "delete"

OP = pa.field("_op", pa.string(), nullable=False)
CHANGED_AT = pa.field("_changed_at", pa.timestamp("us", "UTC"))
VERSION = pa.field("_version", pa.int64(), nullable=False)
RUN = pa.field("_run", pa.string(), nullable=False)
AMBIGUOUS = pa.field("_ambiguous", pa.map_(pa.string(), pa.string()))
MONEY = pa.decimal128(38, 9)

Json = Any


@dataclass(frozen=True)
class Entity:
    """One kind of record as the remote system knows it. `schema` holds the business columns only."""

    name: str
    key: tuple[str, ...]
    schema: pa.Schema


@dataclass(frozen=True)
class Scope:
    """The rows of an entity that one walk reads whole; its close deletes inside them only.

    Those whose `column` equals `equals`, or is at least `at_least`; all rows without a column. `moves`: the column can
    change, so a row may leave the scope alive; a key that the pages lack is asked for before its delete (sequence 12).
    `adds`: the pages are no snapshot, so the close deletes nothing. `sweeps`: the pages hold keys alone; the close
    deletes what they lack and touches no other row. Values are JSON: a date is `"2026-10-01"`.
    """

    name: str = "all"
    column: str | None = None
    equals: Json = None
    at_least: Json = None
    moves: bool = False
    adds: bool = False
    sweeps: bool = False


ALL = Scope()


@dataclass(frozen=True)
class Feed:
    """What is fetched together under one cursor: the walk of one entity's scope, or the changes of many entities.

    Without changes an entity is walked again `every` so many seconds (None: at every run). `revalidates`: the cursor
    of the last walk tells an unchanged source, which then yields nothing and leaves everything as it is.
    """

    name: str
    entities: tuple[Entity, ...]
    kind: Literal["walk", "changes"]
    scope: Scope = ALL
    every: float | None = None
    revalidates: bool = False

    @property
    def work(self) -> str:
        """What a walk of this feed is called."""
        return "sweep" if self.scope.sweeps else "full refresh"

    def entity(self, name: str) -> Entity:
        """The entity of that name; KeyError if the feed has none."""
        return next(entity for entity in self.entities if entity.name == name)


@dataclass(frozen=True)
class Want:
    """What `fetch` is asked for: everything since `cursor` (None: from the start), for these entities only.

    An entity whose position is to be taken anew is left out of the cursor. A walk reads the rows of `scope`, or, with
    `keys` (the key columns of one entity), the rows of those keys that still exist, wherever they are by now.
    `landing` is the landing number of the newest payload when this is asked.
    """

    cursor: Json = None
    entities: tuple[str, ...] = ()
    scope: Scope = ALL
    keys: pa.Table | None = None
    landing: int = 0


@dataclass(frozen=True)
class Payload:
    """Raw bytes as received, and the cursor after them.

    `body=None` lands nothing and only moves the cursor. `entities` names the entities that hold rows here.
    `closes` says that this page ends the walk of `scope`. `meta` holds the request facts that `parse` needs,
    JSON values only, never a secret. `begins`, before the first page of a walk: its rows are read from now on, so what
    landed before is older than any page (sequence 21). `asked`, in a poll that ends what an earlier one began: that
    one's `Want.landing`, since what landed later was not asked for (sequence 5).
    """

    body: bytes | None
    cursor: Json
    identifier: str = ""
    entities: tuple[str, ...] = ()
    meta: Mapping[str, Json] = field(default_factory=dict)
    scope: str = "all"
    closes: bool = False
    begins: bool = False
    asked: int | None = None


@dataclass(frozen=True)
class Refusal:
    """One row that could not be read: its position in the payload, key (None: unreadable), why, and its raw text."""

    row: int
    key: str | None
    cause: str
    sentence: str
    raw: str


@dataclass(frozen=True)
class Rows:
    """The accepted and refused rows of one entity in one payload.

    `records` has the entity's business columns, `_op` and `_changed_at`, in the order of the payload
    (a key may recur: the last one wins), and `_ambiguous` where the entity has local times. `absent` names business
    columns that the remote system did not send and `records` lacks: they overwrite nothing (sequence 16).
    """

    entity: str
    records: pa.RecordBatch
    refusals: Sequence[Refusal] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What dispatch knows of a message, for a receiver to whom messages mean something.

    `identifier` is the same however often the message is sent, that of no other message, and cannot be guessed: a
    receipt quotes it. The message is number `batch` of the `batches` that were dispatched at once; those that it was
    halved into keep its numbers. `origin` is the project, and its environment if it has one.
    """

    identifier: str
    origin: str
    dataset: str
    batch: int
    batches: int
    dispatched_at: datetime


@dataclass(frozen=True)
class Package:
    """What one call of `send` carries: the final bytes, or rows in the receiver's own terms where a driver takes those.

    `records` says how many records it holds. The packages of one `render` hold its records in order, each once. The
    engine adds the facts of its message before it is sent.
    """

    body: Any
    records: int
    facts: Facts | None = None


@dataclass(frozen=True)
class Outcome:
    """What a receiver said of some records of a package, by their places in it.

    `applied`: it holds them, or newer versions; a `cause` says by whose word, if not by its own. `unchanged`: it held
    them already. `rejected`: it refuses them, for the `cause` and as the sentence says. `retry`: it wants them again,
    later. `handed_over`: somebody else has them for it, durably; its receipt is to come within `wait` seconds. Then it
    is the outcome of all records of a message, which goes in one package. A package that went well has one outcome.
    """

    records: Sequence[int]
    answer: Literal["applied", "unchanged", "rejected", "retry", "handed_over"] = "applied"
    cause: str = ""
    sentence: str = ""
    wait: float = 0.0


@dataclass(frozen=True)
class Receipt:
    """What a receiver says, later, of a message that was handed over: it has it durably, except what it rejects.

    `identifier` is the one in the message's facts. `problem` says why the receipt cannot be read, if it cannot.
    """

    identifier: str
    rejected: Sequence[Outcome] = ()
    problem: str = ""


@dataclass(frozen=True)
class Check:
    """One named step of a connection check; `entity` is the one that it is about, if it is about one."""

    step: str
    ok: bool
    sentence: str = ""
    entity: str = ""


def key_text(values: Iterable[object]) -> str:
    """The canonical text of a key: a JSON array of its fields, without spaces, `["se01","V-1042"]`."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"), default=str)


def key_values(key: Iterable[Json], fields: Iterable[pa.Field]) -> tuple[Any, ...]:
    """A key that was kept as JSON, each field as a value of its column's type: `"2026-03-01"` is a date again."""
    return tuple(pa.scalar(value).cast(field.type).as_py() for value, field in zip(key, fields, strict=True))


def key_from_text(text: str, fields: Sequence[pa.Field]) -> tuple[Any, ...]:
    r"""A key as a person types it: a JSON array of its fields, a JSON object of them, or the fields joined by `/`.

    In the last form `\/` is a slash of a field and `\\` a backslash; a key of one field is taken as it stands. Raises
    ValueError with a sentence if the fields are too few or too many, or one is no value of its type.
    """
    values = _json_fields(text, [field.name for field in fields])
    if values is None:
        values = [text] if len(fields) == 1 else _split(text)
    names = "/".join(field.name for field in fields)
    if len(values) != len(fields):
        raise ValueError(f"the key is {names}: {len(fields)} fields, not {len(values)}")
    try:
        found = key_values(values, fields)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        told = str(error).partition("\n")[0]
        types = ", ".join(str(field.type) for field in fields)
        raise ValueError(f"the key is {names}, of type {types}: {told}") from None
    if None in found:
        raise ValueError(f"the key is {names}, of which no field is ever null")
    return found


def _json_fields(text: str, names: Sequence[str]) -> list[Json] | None:
    """None if it is no array of so many fields, and no object with these names."""
    try:
        found = json.loads(text) if text.startswith(("[", "{")) else None
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and found.keys() == {*names}:
        return [found[name] for name in names]
    return found if isinstance(found, list) and len(found) == len(names) else None


def _split(text: str) -> list[str]:
    fields, letters = [""], iter(text)
    for letter in letters:
        if letter == "/":
            fields.append("")
        else:
            # A backslash at the end stands for itself.
            fields[-1] += next(letters, "\\") if letter == "\\" else letter
    return fields


def key_texts(records: pa.RecordBatch | pa.Table, key: Sequence[str]) -> list[str]:
    """The canonical key text of each row. Loops over rows: for the few rows that are reported, not for all."""
    columns = [records.column(name).to_pylist() for name in key]
    return [key_text(values) for values in zip(*columns, strict=True)]


def column_name(path: Sequence[str]) -> str:
    """The column of a nested source field: its path joined by `_`, characters that Spark or Delta refuse replaced.

    `("employee", "dbId")` is `employee_dbId`. Two paths with one name are a ConfigError of whoever declares them.
    """
    return re.sub(r"[^0-9A-Za-z_À-ɏ]", "_", "_".join(path))


def stored_schema(business: pa.Schema, *, ops: bool) -> pa.Schema:
    """The schema of a dataset's `changes` (with `_op`) or `tables` (without)."""
    reserved = [OP] if ops else []
    return pa.schema([*business, *reserved, CHANGED_AT, AMBIGUOUS, VERSION, RUN])
