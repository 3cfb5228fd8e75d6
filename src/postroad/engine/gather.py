"""Gather: the rows of another program's files, sorted by key, of each key the last; nothing is written to the lake.

Files are read in the order of their times, and rows in the order of a file: a later row or delete of a key beats an
earlier one. A row that cannot be read is refused and changes nothing; a later good row of its key answers it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from postroad.engine.bench import Bench, parsed_schema
from postroad.errors import ConfigError
from postroad.lake.foreign import files_of, rows_of
from postroad.lake.parquet import conform
from postroad.lake.sorting import Sorter
from postroad.lake.streams import Stream, key_column
from postroad.records import DELETE, OP, Refusal, key_texts, key_values
from postroad.sdk.connector import Adopter
from postroad.telemetry import Stage

PLACE = pa.field("_place", pa.int64())  # of a row among all that were read
MOST_REFUSED = 10_000


@dataclass
class Adoption:
    """What the files hold: how many rows, and columns that some file lacks, so that they are null in its rows.

    `left_out` are columns that nobody declares; in `inexact` ones that program's types may have cost digits. `due` is
    why a full refresh is due, if it is; `before` says that an earlier call had adopted these files already.
    """

    files: list[str] = field(default_factory=list)
    rows: int = 0
    missing: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)
    due: str | None = None
    before: bool = False


class Gatherer:
    """Reads one entity's files from a folder; ConfigError with file and column where one cannot be read."""

    def __init__(self, bench: Bench, adopter: Adopter, entity: str, folder: Path) -> None:
        self._bench = bench
        self._adopter = adopter
        self._entity = bench.entity(entity)
        self._name = bench.dataset(entity).name
        self._schema = parsed_schema(self._entity)
        self.files = files_of(folder, entity)
        self.told = Adoption([path.name for path in self.files])
        self.refused: dict[int, Refusal] = {}

    @contextmanager
    def rows(self) -> Iterator[Stream]:
        """The rows that are left in the end. What is refused, and told, is complete once they were read."""
        self._bench.reporter.stage(Stage.STAGE, self._name)
        with closing(Sorter(self._schema.append(PLACE), self._entity.key)) as sorter:
            for path in self.files:
                for batch in rows_of(path):
                    self._bench.stop.check()
                    sorter.add(self._adopted(path, batch))
            self._bench.count(self._entity.name).read = self.told.rows
            yield self._kept(sorter.rows())

    def _adopted(self, path: Path, batch: pa.RecordBatch) -> pa.Table:
        """The accepted rows with their places; the refused are noted under theirs."""
        try:
            adopted = self._adopter.rows(self._entity, batch)
        except ConfigError as error:
            raise ConfigError(f"{path.name}: {error}") from error
        told, rows = self.told, adopted.rows
        told.missing = sorted({*told.missing, *rows.absent})
        told.left_out = sorted({*told.left_out, *adopted.left_out})
        told.inexact = sorted({*told.inexact, *adopted.inexact})
        first = told.rows
        for each in rows.refusals:
            self.refused[first + each.row] = replace(each, row=first + each.row, raw=f"{path.name}: {each.raw}")
        self._require_few()
        told.rows += batch.num_rows
        self._bench.reporter.progress(self._name, batch.num_rows, 0)
        places = [place for place in range(first, told.rows) if place not in self.refused]
        table = conform(pa.Table.from_batches([rows.records]), self._schema)
        return table.append_column(PLACE, pa.array(places, PLACE.type))

    def _require_few(self) -> None:
        if len(self.refused) > MOST_REFUSED:
            first = next(iter(self.refused.values()))
            raise ConfigError(
                f"more than {MOST_REFUSED:,} rows cannot be read, so these are hardly the files of "
                f"{self._name}; the first: {first.sentence}; {first.raw}"
            )

    def _kept(self, rows: Stream) -> Stream:
        keyed = sorted({each.key for each in self.refused.values() if each.key is not None})
        for each in rows:
            if keyed:
                self._answer(each, keyed)
            kept = each.filter(pc.not_equal(each.column(OP.name), DELETE))
            if kept.num_rows:
                yield kept.drop_columns([PLACE.name])

    def _answer(self, rows: pa.Table, keyed: list[str]) -> None:
        """Forget the refused rows that a later row of their key answers."""
        key = self._entity.key
        fields = [rows.schema.field(name) for name in key]
        keys = (key_values(json.loads(text), fields) for text in keyed)
        wanted = pa.Table.from_pylist([dict(zip(key, each, strict=True)) for each in keys], schema=pa.schema(fields))
        found = rows.filter(pc.is_in(key_column(rows, key), key_column(wanted, key).combine_chunks()))
        last = dict(zip(key_texts(found, key), found.column(PLACE.name).to_pylist(), strict=True))
        answered = [place for place, each in self.refused.items() if last.get(each.key or "", -1) > place]
        for place in answered:
            del self.refused[place]
