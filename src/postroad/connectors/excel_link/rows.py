"""A grid to accepted rows and refusals: typed columns, one refusal a row, keys that are whole and stand once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from postroad.connectors.excel_link.settings import ROW
from postroad.connectors.excel_link.tables import Table
from postroad.records import AMBIGUOUS, CHANGED_AT, OP, UPSERT, Json, Refusal, Rows, key_text
from postroad.sdk.casting import Bad
from postroad.sdk.sheets.cells import Converted, Reading, convert
from postroad.sdk.sheets.grid import Batch, Grid

Key = tuple[Json, ...]


def rows_of(grid: Grid, table: Table, values: Mapping[str, str]) -> Iterator[Rows]:
    """All rows of a file, batch by batch. `values` stand in the columns that tell links apart.

    Of rows with one key the first is accepted and the later ones are refused: nobody can say which of them is meant.
    """
    reader = _Reader(grid, table, values)
    return (reader.rows(batch) for batch in grid.batches())


class _Reader:
    """Reads the batches of one file; remembers the keys that it met."""

    def __init__(self, grid: Grid, table: Table, values: Mapping[str, str]) -> None:
        self._grid = grid
        self._table = table
        self._values = values
        self._reading = Reading(table.settings.decimal_sign, table.zone, grid.from_1904)
        self._seen: dict[Key, int] = {}
        self._absent = tuple(each.name for each in table.columns if each.caption in grid.absent)
        kept = [field for field in table.entity.schema if field.name not in self._absent]
        self._schema = pa.schema([*kept, OP, CHANGED_AT, AMBIGUOUS])

    def rows(self, batch: Batch) -> Rows:
        """The accepted and refused rows of a batch."""
        size = len(batch.numbers)
        columns = [
            convert(cells, column, self._reading)
            for cells, column in zip(batch.cells, self._table.columns, strict=True)
        ]
        arrays = self._arrays(batch, columns)
        keys: list[Key] = list(zip(*(arrays[name].to_pylist() for name in self._table.entity.key), strict=True))
        bad = self._bad(batch, columns, keys)
        records = pa.RecordBatch.from_arrays([arrays[name] for name in self._schema.names], schema=self._schema)
        if bad:
            records = records.filter(pa.array([row not in bad for row in range(size)], pa.bool_()))
        refusals = [
            Refusal(batch.numbers[row], _readable(keys[row]), why.cause, why.sentence, batch.raw(row))
            for row, why in sorted(bad.items())
        ]
        return Rows(self._table.name, records, refusals, self._absent)

    def _arrays(self, batch: Batch, columns: Sequence[Converted]) -> dict[str, pa.Array]:
        """All columns by name, ours too."""
        size = len(batch.numbers)
        arrays = {name: pa.repeat(pa.scalar(value), size) for name, value in self._values.items()}
        if self._table.numbered:
            arrays[ROW] = pa.array(batch.numbers, pa.int64())
        arrays |= {each.name: made.array for each, made in zip(self._table.columns, columns, strict=True)}
        arrays[OP.name] = pa.repeat(UPSERT, size)
        arrays[CHANGED_AT.name] = pa.nulls(size, CHANGED_AT.type)
        texts: dict[int, dict[str, str]] = {}
        for each, made in zip(self._table.columns, columns, strict=True):
            for row, text in made.ambiguous.items():
                texts.setdefault(row, {})[each.name] = text
        found = [list(texts[row].items()) if row in texts else None for row in range(size)] if texts else None
        arrays[AMBIGUOUS.name] = pa.array(found, AMBIGUOUS.type) if found else pa.nulls(size, AMBIGUOUS.type)
        return arrays

    def _bad(self, batch: Batch, columns: Sequence[Converted], keys: Sequence[Key]) -> dict[int, Bad]:
        """Why rows are refused: the leftmost cell that is wrong, else the key."""
        bad = dict(batch.bad)
        for column, made in zip(self._table.columns, columns, strict=True):
            for row, why in made.bad.items():
                cell = self._grid.place(batch.numbers[row], column)
                bad.setdefault(row, Bad(why.cause, f"{cell} {why.sentence}"))
        if self._table.numbered:
            return bad
        for row, key in enumerate(keys):
            if row in bad:
                continue
            number = batch.numbers[row]
            if None in key:
                bad[row] = Bad("blank_key", f"{self._blank(number, key)} is blank, but is part of the key")
            elif self._seen.setdefault(key, number) != number:
                text = f"{self._where(number)} repeats the key {key_text(key)} of row {self._seen[key]}"
                bad[row] = Bad("duplicate_key", text)
        return bad

    def _blank(self, number: int, key: Key) -> str:
        name = self._table.entity.key[key.index(None)]
        return self._grid.place(number, next(each for each in self._table.columns if each.name == name))

    def _where(self, number: int) -> str:
        """The cell of the first column of the key."""
        names = self._table.entity.key[len(self._values) :]
        return self._grid.place(number, next(each for each in self._table.columns if each.name == names[0]))


def _readable(key: Key) -> str | None:
    return None if None in key else key_text(key)
