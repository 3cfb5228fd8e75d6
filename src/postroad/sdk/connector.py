"""The one page of protocol between the engine and a connector (design section 5).

`fetch` and `send` are the only calls with an effect on the remote system; `parse` and `render` are pure, so that what
landed can be read again without the network, and what would be sent can be looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import pyarrow as pa
from pydantic import BaseModel

from postroad.records import Check, Entity, Feed, Json, Outcome, Package, Payload, Receipt, Rows, Want
from postroad.sdk.demo import Demo, Receiver, Server


class Budget(Protocol):
    """The calls that one tenant allows, shared by everybody who calls it."""

    def take(self, name: str, per: float, most: int, patience: float) -> tuple[float, int]:
        """Take one of at most `most` calls in any `per` seconds: the seconds to wait before it, and a count.

        The count is of the calls in its calendar month (UTC), this one included. A call that would have to wait for
        longer than `patience` is neither taken nor counted, and its count is 0.
        """
        ...


class Source(Protocol):
    """The reading half of a connector, opened for one connection by `Connector.source`."""

    def check(self) -> Iterator[Check]:
        """Named steps from resolving the host to reading one row; stops at the first that fails, unless it is about
        one entity, of which a flow may not need all.
        """
        ...

    def discover(self) -> Iterator[Feed]:
        """The feeds of this connection. Called once per run; makes no call to the remote system."""
        ...

    def fetch(self, feed: Feed, want: Want) -> Iterator[Payload]:
        """Yield what follows `want.cursor`, oldest first, and return at the head.

        `next()` is called only after the previous payload and its cursor are durable; called again with the last
        durable cursor after any crash. No sleeps or retries in here: the SDK's client does those. No threads either,
        but several feeds of one source may be fetched at a time, each in a thread of its own.
        Raises CursorExpiredError, EntitiesFailedError (after everything good was yielded), ThrottledError, AuthError,
        TransientError, RemoteError.
        """
        ...

    def parse(self, feed: Feed, payload: Payload) -> Iterator[Rows]:
        """The rows of a landed payload, entity by entity. Pure: no network, no clock, no state."""
        ...

    def forecast(self, feed: Feed) -> str | None:
        """One sentence on the calls and time that a full refresh costs, if it can be told with at most one call."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@runtime_checkable
class Countable(Protocol):
    """What a source has besides if its remote system tells how many records it has, without reading them."""

    def count(self, feed: Feed) -> int | None:
        """How many records there are now in the scope of a walk; None if that of this entity cannot be told.

        One call to the remote system. Raises what `fetch` raises.
        """
        ...


@dataclass(frozen=True)
class Adopted:
    """A batch of another program's rows. `rows.absent` are the declared columns that it lacks.

    `left_out` are columns that no declared one matches; in `inexact` ones that program's type may have cost digits.
    """

    rows: Rows
    left_out: tuple[str, ...] = ()
    inexact: tuple[str, ...] = ()


class Adopter(Protocol):
    """What takes over the files that another program made of a remote system's records, and its cursor."""

    def rows(self, entity: Entity, found: pa.RecordBatch) -> Adopted:
        """A batch as the source's own `parse` would give it. Pure.

        Raises ConfigError, which names the column, where the batch cannot be read at all.
        """
        ...

    def position(self, entity: Entity, position: str, taken_at: datetime) -> Json:
        """The entity's part of the cursor of the changes, so that `fetch` goes on behind that program's position.

        An empty position is that of a program that had seen no change yet. May ask the remote system once. Raises
        CursorExpiredError if it forgets changes sooner, ConfigError if the time is not over yet, and what `fetch`
        raises.
        """
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class Destination(Protocol):
    """The writing half of a connector, opened for one connection by `Connector.destination`.

    Records come with the business columns of their dataset, `_op`, `_changed_at` and `_version`. Messages come in any
    order and more than once, from several workers at a time: sending twice is sending once, an older version of a key
    never replaces a newer one, and a delete counts as a version that has to be remembered.
    """

    def check(self) -> Iterator[Check]:
        """Named steps from reaching the receiver to the rights that are needed; stops at the first that fails."""
        ...

    def discover(self) -> Iterator[Entity]:
        """The targets that the receiver has already and that deliveries may go on with."""
        ...

    def render(self, target: Entity, records: pa.RecordBatch) -> Iterator[Package]:
        """The records as the receiver takes them. Pure: no network, no clock, no state."""
        ...

    def send(self, target: Entity, package: Package) -> Sequence[Outcome]:
        """Send one package; what the receiver says of each of its records, once that is durable there.

        Raises TransientError (nothing was applied, or the same again does no harm) or ThrottledError: it is sent again
        later; BatchRefusedError: its halves are sent; OutcomeUnknownError, AuthError, or ConfigError where somebody
        has to edit something: a person decides.
        """
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@runtime_checkable
class Readable(Protocol):
    """What a destination has besides if its receiver can be read back, so that it can be verified.

    Both raise what `send` raises. A target that is not there yet holds nothing.
    """

    def keys(self, target: Entity) -> Iterator[pa.RecordBatch]:
        """The key columns, typed as in `target.schema`, and `_version` of every record that the receiver holds.

        Deleted ones are left out; in any order, in batches of bounded size.
        """
        ...

    def read(self, target: Entity, keys: pa.Table) -> pa.RecordBatch:
        """The records of some thousand keys that the receiver holds: business columns and `_version`, in any order.

        A column that it lacks is left out. One that it keeps less exactly has the type that says so, such as
        `timestamp[ms]`: the dataset's values are compared as values of that type.
        """
        ...


Settle = Callable[[Receipt], Literal["settled", "refused", "later"]]


@runtime_checkable
class HandsOver(Protocol):
    """What a destination has besides whose receivers answer later, by receipts (`Outcome.handed_over`)."""

    def receipts(self, settle: Settle) -> None:
        """Give every receipt that waits to `settle`, one by one, and return when none is left.

        A receipt is acknowledged after `settle` returned, so a crash brings it again: `settled` is done with, `refused`
        is put aside where people see it, `later` is kept for the next call. Also what cannot be read is given, with its
        `problem`. Raises what `send` raises.
        """
        ...


@runtime_checkable
class Gathering(Protocol):
    """What a destination has besides if a package may hold records of several messages.

    Where `gathers` is true, small messages are sent as one, whose `facts` are those of the first. All of it is sent
    again, message by message, unless every record was applied: versions make that harmless.
    """

    gathers: bool


@runtime_checkable
class Ordered(Protocol):
    """What a destination has besides if its receiver may be one that takes what comes, without comparing versions.

    Where `ordered` is true, messages come in the order of their commits, one at a time: the next one after the one
    before has its answer, and no message holds two versions of a key.
    """

    ordered: bool


@runtime_checkable
class Once(Protocol):
    """What a destination has besides if the same package twice may do harm at its receiver.

    Where `once` is true, what may have arrived is not sent again: a message is one package, those of more are cut
    before any is sent, and one over which a worker ended is in doubt.
    """

    once: bool


@runtime_checkable
class Identified(Protocol):
    """What a destination has besides if its receiver calls records by something else than their keys."""

    def key_of(self, target: Entity, identity: str) -> Sequence[Json] | None:
        """The fields of the key of the record that the receiver calls so; None if it calls none so.

        May ask the receiver. Raises what `send` raises.
        """
        ...


@dataclass(frozen=True)
class Tools:
    """What the engine gives to a connector: the shared budget, the clock (seconds since 1970) and how to sleep.

    Paths in settings are relative to the project's `folder`.
    """

    budget: Budget
    clock: Callable[[], float]
    sleep: Callable[[float], None] = time.sleep
    folder: Path = Path()


@dataclass(frozen=True)
class Connector:
    """What a connector's package registers as `connector`.

    `settings` is the pydantic model of a connection in postroad.yaml; its secrets are `postroad.sdk.secrets.Secret`s.
    `entities` gives the entity names that a flow may name, from the settings of a connection. `source` and
    `destination` are its halves; it has at least one. `adopter` opens what takes over another program's files, where
    people have such. `simulator` is the entry point of `postroad simulate`: a function that takes a typer-free list of
    arguments. `example` maps file names of an example project to their text. `demo` is its part in `postroad demo`, as
    a system that is read or as one that receives.
    """

    name: str
    settings: type[BaseModel]
    entities: Callable[[Any], tuple[str, ...]]
    source: Callable[[Any, Tools], Source] | None = None
    destination: Callable[[Any, Tools], Destination] | None = None
    adopter: Callable[[Any, Tools], Adopter] | None = None
    simulator: Callable[[list[str]], None] | None = None
    example: Mapping[str, str] = field(default_factory=dict)
    demo: Demo | Receiver | Server | None = None
