"""Commits on one Delta table, with our own fence (design section 2, "One writer per dataset").

delta-rs rebases a commit with another application id silently, lets a fresh handle go back in version, and fsyncs
nothing (all tried on 1.6.6). So every commit of ours carries the action `postroad`, is made with no retries on a handle
on which that action was seen at the expected value, and its log entry is fsynced before anything relies on it. A crash
before the commit leaves data files that no log entry names (litter); after it, positions and data are both there. A
log entry that a power cut tore was relied on by nobody: `open_for_writing` sets it aside, and the stage that wrote it
does its work again.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from postroad.errors import StateError
from postroad.lake.disk import Disk
from postroad.telemetry import Point

FENCE = "postroad"
TIDY_EVERY = 50  # commits
STORE_TIDY_EVERY = 10  # commits, where each entry of the log is read by a request of its own
READERS = 8  # of log entries at once: an object store takes its time for each
KEEP_HOURS = 7 * 24  # for readers of older versions
HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


# Whether somebody still needs a file below a folder, a former member too.
Pinned = Callable[[str], bool]


@dataclass(frozen=True)
class Member:
    """A file of the table, its path relative to the table, with its statistics."""

    path: str
    rows: int
    size: int
    minimum: Mapping[str, Any]
    maximum: Mapping[str, Any]


@dataclass
class Look:
    """A table that is kept open, and the actions and members that were read in the version that it is at.

    An object store takes its time for each entry of a log, so there a second look reads what is new; on a local disk
    it opens the table anew where `last`, what the system says of the log's last entry, is another. Dict and list are
    replaced, never emptied: what another thread still puts into the old ones is not seen.
    """

    handle: DeltaTable
    version: int
    last: tuple[str, int, int, int] | None
    actions: dict[str, int | None] = field(default_factory=dict)
    files: list[Member] = field(default_factory=list)

    def renew(self) -> None:
        """Bring the table up to date."""
        self.handle.update_incremental()
        if self.handle.version() != self.version:
            # In this order: another thread that finds the version right must not find the old actions.
            self.actions, self.files, self.version = {}, [], self.handle.version()

    def action(self, name: str) -> int | None:
        """The value of an application transaction; None if it was never written."""
        known = self.actions
        if name not in known:
            known[name] = self.handle.transaction_version(name)
        return known[name]

    def members(self) -> list[Member]:
        """The files of the table, by name."""
        known = self.files
        if not known:
            # Not pa.table(…), which would import pandas to see whether this is a data frame.
            rows = pa.RecordBatchReader.from_stream(self.handle.get_add_actions()).read_all()
            known[:] = sorted(map(_member, rows.to_pylist()), key=lambda member: member.path)
        return list(known)


class DeltaLog:
    """One table of the lake. `expected` is the fence's value: read when the lease was taken, or written since."""

    def __init__(self, disk: Disk, folder: str, pinned: Pinned = lambda _: False) -> None:
        self._disk = disk
        self._pinned = pinned
        self.folder = folder
        self._log = f"{folder}/_delta_log"
        self.expected: int | None = None

    def open_for_writing(self) -> None:
        """Note the fence's value; called right after the dataset's lease was taken.

        The last entry is flushed first: a process killed between its commit and its fsync left that to us, and from
        here on positions and rows are relied on.
        """
        if self._disk.local:
            self._set_torn_entry_aside()
            self._seal_log()
        self.expected = self.action(FENCE)

    def exists(self) -> bool:
        """Whether the table was ever committed."""
        return any(True for _ in self._entries()) if self._disk.local else self._look() is not None

    def schema(self) -> pa.Schema | None:
        """The columns of the table; None if it was never committed."""
        look = self._look()
        with self._disk.named_errors():
            return None if look is None else pa.schema(look.handle.schema().to_arrow())

    def add_columns(self, columns: Sequence[pa.Field], *, check: Callable[[], None]) -> None:
        """Widen the table, under the fence; the rows that are there have nulls. A killed one is done again."""
        handle = self._handle()
        self._require_expected(handle, self.expected or 0)
        if handle is None:
            return
        check()
        mark, properties = self._marked({FENCE: self.expected or 0})
        fields = Schema.from_arrow(pa.schema(columns)).fields
        try:
            handle.alter.add_columns(fields, commit_properties=properties, post_commithook_properties=HOOKS)
        except (DeltaError, OSError) as error:
            self._require_landed(handle.version() + 1, mark, error)
        if self._disk.local:
            self._seal_log()
        self._disk.watcher(Point.COLUMNS_ADDED)

    def action(self, name: str) -> int | None:
        """The value of an application transaction; None if it was never written."""
        return self.actions([name])[name]

    def actions(self, names: Sequence[str]) -> dict[str, int | None]:
        """Several of them from one look at the table."""
        look = self._look()
        with self._disk.named_errors():
            return {name: None if look is None else look.action(name) for name in names}

    def members(self) -> list[Member]:
        """The files of the table, by name."""
        look = self._look()
        with self._disk.named_errors():
            return [] if look is None else look.members()

    def members_at(self, name: str) -> tuple[int | None, list[Member]]:
        """An application transaction's value and the files, both of one version of the table."""
        look = self._look()
        with self._disk.named_errors():
            return (None, []) if look is None else (look.action(name), look.members())

    def ever_named(self) -> set[str]:
        """Every file that the table's log names, members and former ones, which readers of older versions may need."""
        with ThreadPoolExecutor(READERS) as pool:
            texts = pool.map(self._disk.read, self._entries())
            entries = (json.loads(line) for text in texts for line in text.splitlines())
            named = (entry.get("add") or entry.get("remove") for entry in entries)
            return {unquote(action["path"]) for action in named if action}

    def commit(
        self,
        schema: pa.Schema,
        version: int,
        adds: Sequence[Member],
        removes: Sequence[Member] = (),
        positions: Mapping[str, int] | None = None,
        *,
        point: Point,
        check: Callable[[], None],
    ) -> None:
        """Make one commit: files in, files out, positions; all or nothing.

        `check` is called right before it (the lease). Raises StateError if somebody else wrote since our lease began.
        """
        mark, properties = self._marked({FENCE: version, **(positions or {})})
        actions: list[AddAction | RemoveAction] = [*map(self._add, adds), *map(_remove, removes)]
        handle = self._handle()
        self._require_expected(handle, version)
        check()
        try:
            if handle is None:
                self._create(schema, actions, properties)
            else:
                handle.create_write_transaction(
                    actions, "append", schema, commit_properties=properties, post_commithook_properties=HOOKS
                )
        except (DeltaError, OSError) as error:
            self._require_landed(0 if handle is None else handle.version() + 1, mark, error)
        self.expected = version
        if self._disk.local:
            self._flush_log()
        self._disk.watcher(point)

    def tidy(self) -> None:
        """Now and then write a checkpoint, so that opening stays quick, and delete files that left the table long ago.

        Losing either to a crash costs nothing. The vacuum is "lite": it deletes only files that the log names. It waits
        while an open message names any of the table's files (sequence 11): delta-rs takes no list of what to spare.
        """
        every = TIDY_EVERY if self._disk.local else min(TIDY_EVERY, STORE_TIDY_EVERY)
        look = self._look()
        if look is None or look.handle.version() % every != every - 1:
            return
        if not self._pinned(self.folder):
            self._vacuum()
        with self._disk.named_errors():
            self._open().create_checkpoint()
        if self._disk.local:
            self._disk.flush(*(name for name in self._disk.names(self._log) if "checkpoint" in name))
            self._flush_log()
        self._disk.watcher(Point.CHECKPOINT)

    def _vacuum(self) -> None:
        properties = CommitProperties(max_commit_retries=0, app_transactions=[Transaction(FENCE, self.expected or 0)])
        with self._disk.named_errors():
            self._open().vacuum(
                KEEP_HOURS, dry_run=False, full=False, commit_properties=properties, post_commithook_properties=HOOKS
            )

    def _look(self) -> Look | None:
        """The table as it is now; None if it was never committed."""
        # Read before the table is: a commit in between makes the next look open it once more.
        last = self._last() if self._disk.local else None
        look: Look | None = self._disk.opened.get(self.folder)
        if look is None or look.last != last:
            handle = self._handle()
            look = None if handle is None else Look(handle, handle.version(), last)
            self._disk.opened[self.folder] = look
        elif not self._disk.local:
            with self._disk.named_errors():
                look.renew()
        return look

    def _last(self) -> tuple[str, int, int, int] | None:
        """What the local disk says of the log's last entry, torn or not; None if there is none."""
        last = max(self._entries(), default=None)
        if last is None:
            return None
        with suppress(FileNotFoundError):  # a torn one that was set aside just now
            found = Path(self._disk.url(last)).stat()
            return last, found.st_ino, found.st_size, found.st_mtime_ns
        return None

    def _handle(self) -> DeltaTable | None:
        """The table, opened anew: a commit goes through a handle of its own, which no other look moves on."""
        if self._disk.local:
            return self._local_handle()
        with self._disk.named_errors(), suppress(TableNotFoundError):
            return self._open()
        return None

    def _local_handle(self) -> DeltaTable | None:
        """Maybe the version before a torn entry, which nobody relied on."""
        if not self.exists():
            return None
        try:
            return self._open()
        except DeltaError as error:
            torn = self._torn_entry()
            if torn is None:
                told = str(error).partition("\n")[0]
                raise StateError(
                    f"{self.folder}/_delta_log cannot be read ({told}): put it back from a backup, or reset the entity"
                ) from error
        version = int(PurePosixPath(torn).stem) - 1
        return self._open(version) if version >= 0 else None

    def _open(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(self._disk.url(self.folder), version, self._disk.options)

    def _marked(self, positions: Mapping[str, int]) -> tuple[str, CommitProperties]:
        """A mark by which a commit is known again, and what the commit carries."""
        mark = secrets.token_hex(8)
        actions = [Transaction(name, value) for name, value in positions.items()]
        return mark, CommitProperties({"mark": mark}, max_commit_retries=0, app_transactions=actions)

    def _require_expected(self, handle: DeltaTable | None, version: int) -> None:
        with self._disk.named_errors():
            found = None if handle is None else handle.transaction_version(FENCE)
        if found != self.expected:
            raise StateError(f"{self.folder} is at version {found}, not {self.expected}: somebody else wrote to it")
        if found is not None and version < found:
            raise StateError(f"{self.folder} is at version {found}: it never goes back to {version}")

    def _require_landed(self, number: int, mark: str, error: Exception) -> None:
        """A commit may be there although it failed: its answer was lost, or the table could not be read after it.

        Else another one took its number, or created the table meanwhile: StateError; or nothing was written.
        """
        try:
            entry = self._disk.read(f"{self._log}/{number:020d}.json")
        except FileNotFoundError:
            with self._disk.named_errors():
                raise error from None
        if mark.encode() not in entry:
            # What delta-rs says of it is not shown: it may hold the address of the call, and a SAS token with it.
            raise StateError(f"{self.folder} was written by somebody else while we worked") from None

    def _create(self, schema: pa.Schema, actions: list[Any], properties: CommitProperties) -> None:
        self._disk.make_folder(self.folder)
        # Statistics of all columns count: by default only those of the first 32, and `_version` may come later.
        settings = {"delta.enableExpiredLogCleanup": "false", "delta.dataSkippingNumIndexedCols": "-1"}
        create_table_with_add_actions(
            self._disk.url(self.folder),
            Schema.from_arrow(schema),
            actions,
            mode="error",
            configuration=settings,
            commit_properties=properties,
            storage_options=self._disk.options,
            post_commithook_properties=HOOKS,
        )
        self._disk.flush(self.folder)

    def _entries(self) -> Iterator[str]:
        return (name for name in self._disk.names(self._log) if name.endswith(".json"))

    def _seal_log(self) -> None:
        if self.exists():
            self._flush_log()
            self._disk.watcher(Point.LOG_SEALED)

    def _flush_log(self) -> None:
        self._disk.flush(max(self._entries()), self._log)

    def _set_torn_entry_aside(self) -> None:
        torn = self._torn_entry()
        if torn is not None:
            self._disk.move(torn, f"{torn}.torn-{time.time_ns()}")
            self._disk.watcher(Point.TORN_ASIDE)

    def _torn_entry(self) -> str | None:
        """The last entry of the log, if a power cut tore it."""
        last = max(self._entries(), default=None)
        if last is None:
            return None
        try:
            entries = [json.loads(line) for line in self._disk.read(last).splitlines()]
        except ValueError:
            return last
        return None if entries else last

    def _add(self, member: Member) -> AddAction:
        size = self._disk.size(f"{self.folder}/{member.path}")
        stats = {"numRecords": member.rows, "minValues": dict(member.minimum), "maxValues": dict(member.maximum)}
        stats["nullCount"] = dict.fromkeys(member.minimum, 0)
        return AddAction(member.path, size, {}, time.time_ns() // 1_000_000, True, json.dumps(stats, default=str))


def _remove(member: Member) -> RemoveAction:
    return RemoveAction(member.path, True, time.time_ns() // 1_000_000, member.size, {})


def _member(row: Mapping[str, Any]) -> Member:
    return Member(
        row["path"], row["num_records"] or 0, row["size_bytes"], _known(row.get("min")), _known(row.get("max"))
    )


def _known(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if value is not None}


def as_stored(schema: pa.Schema) -> pa.Schema:
    """A schema as a Delta table gives it back."""
    return pa.schema(Schema.from_arrow(schema).to_arrow())
