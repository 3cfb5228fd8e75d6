"""Rows added in any order, against a plain dictionary; small runs, so that many are merged more than once."""

from __future__ import annotations

import tempfile
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from postroad.lake import sorting
from postroad.lake.sorting import Sorter

SCHEMA = pa.schema([("company", pa.string()), ("id", pa.int64()), ("value", pa.int64())])
KEY = ("company", "id")

keys = st.tuples(st.sampled_from(["", "se01", "åö"]), st.integers(0, 40))
batches = st.lists(st.lists(keys, max_size=9), max_size=40)


@given(batches, st.integers(1, 12), st.integers(2, 4))
def test_of_each_key_the_last_row_stays_in_key_order(added: list[list[tuple[str, int]]], run: int, files: int) -> None:
    expected: dict[tuple[Any, Any], Any] = {}
    small = patch.multiple(sorting, ROW_GROUP=run, FILES_AT_ONCE=files, BATCH=3)
    with tempfile.TemporaryDirectory() as folder, patch.object(tempfile, "tempdir", folder), small:
        with closing(Sorter(SCHEMA, KEY)) as sorter:
            place = count()
            for batch in added:
                rows = [{"company": company, "id": number, "value": next(place)} for company, number in batch]
                sorter.add(pa.Table.from_pylist(rows, schema=SCHEMA))
                expected |= {(row["company"], row["id"]): row["value"] for row in rows}
            found = [row for rows in sorter.rows() for row in rows.to_pylist()]
        assert not list(Path(folder).iterdir()), "temporary files stay behind"
    assert [((row["company"], row["id"]), row["value"]) for row in found] == sorted(expected.items())
