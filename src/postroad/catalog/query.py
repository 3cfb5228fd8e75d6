"""SQL over the lake with DuckDB: one view for each dataset's table, and one for its history.

`erp.invoices` is the current state, `erp.invoices_changes` the history. The files come from the Delta log,
so a query sees one commit of each dataset, whatever is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, count

import duckdb
import pyarrow as pa

from postroad.errors import ConfigError
from postroad.lake import Dataset
from postroad.lake.delta import DeltaLog
from postroad.lake.parquet import read_files

MEMORY = "1GB"
ASK_FOR_ALL = ("show", "schema", "duckdb_", "pg_", "sqlite_", "pragma", ";")  # lists of views; several statements


def query(datasets: Sequence[Dataset], sql: str) -> pa.Table:
    """The result of a query, no two columns of one name; ConfigError with DuckDB's sentence if it is wrong.

    Only what the query names is opened: a view looks into every file, and a lake may hold hundreds of datasets.
    """
    with duckdb.connect(":memory:") as database:
        database.execute(f"SET memory_limit = '{MEMORY}'")
        database.execute("SET TimeZone = 'UTC'")
        named, others = _named(datasets, sql)
        _show(database, named)
        # The person's own SQL reads the lake and changes nothing outside of this process's memory.
        database.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
        try:
            try:
                found = _answer(database, sql)
            except duckdb.CatalogException:  # whose sentence is to choose from all that there is
                _show(database, others)
                found = _answer(database, sql)
        except duckdb.Error as error:
            raise ConfigError(f"the query is wrong: {error}") from error
    if found is None:
        raise ConfigError("the query gives no rows: write a SELECT, or SHOW ALL TABLES to see what there is")
    return found.rename_columns(_told_apart(found.column_names))


def _answer(database: duckdb.DuckDBPyConnection, sql: str) -> pa.Table | None:
    answer: duckdb.DuckDBPyRelation | None = database.sql(sql)
    return None if answer is None else answer.to_arrow_table()


def _named(datasets: Sequence[Dataset], sql: str) -> tuple[Sequence[Dataset], Sequence[Dataset]]:
    """Those that may stand in a query, and the others. All, if none does or it may ask what there is."""
    text = sql.casefold()
    stands = [each.entity.name.casefold() in text for each in datasets]
    if not any(stands) or any(word in text for word in ASK_FOR_ALL):
        return datasets, ()
    return list(compress(datasets, stands)), [each for each, named in zip(datasets, stands, strict=True) if not named]


def _show(database: duckdb.DuckDBPyConnection, datasets: Sequence[Dataset]) -> None:
    for dataset in datasets:
        database.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(dataset.connection)}")
        _view(database, dataset, dataset.table, dataset.table_schema, dataset.entity.name)
        _view(database, dataset, dataset.changes, dataset.changes_schema, f"{dataset.entity.name}_changes")


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names, repeated ones with a number behind them: `a`, `a_1`."""
    found: list[str] = []
    for name in names:
        more = (f"{name}_{number}" for number in count(1))
        found.append(name if name not in found else next(each for each in more if each not in {*names, *found}))
    return found


def _view(database: duckdb.DuckDBPyConnection, dataset: Dataset, log: DeltaLog, schema: pa.Schema, name: str) -> None:
    paths = [f"{log.folder}/{member.path}" for member in log.members()]
    target = f"{_quoted(dataset.connection)}.{_quoted(name)}"
    if paths and dataset.disk.local:
        files = ", ".join("'" + dataset.disk.url(path).replace("'", "''") + "'" for path in paths)
        database.execute(f"CREATE VIEW {target} AS SELECT * FROM read_parquet([{files}], union_by_name = true)")  # noqa: S608 - quoted
        return
    database.register(log.folder, Scan(dataset, paths, schema))
    database.execute(f"CREATE VIEW {target} AS SELECT * FROM {_quoted(log.folder)}")  # noqa: S608 - quoted


class Scan:
    """The rows of files, maybe none, as an Arrow stream that DuckDB opens as often as a query looks at it.

    So files of an object store are read by us, in parts, without an extension of DuckDB's.
    """

    def __init__(self, dataset: Dataset, paths: Sequence[str], schema: pa.Schema) -> None:
        self._dataset = dataset
        self._paths = paths
        self._schema = schema

    def __arrow_c_schema__(self) -> object:
        """Arrow's PyCapsule interface."""
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Arrow's PyCapsule interface: the rows from their beginning."""
        tables = read_files(self._dataset.disk, self._paths, self._schema)
        batches = (batch for table in tables for batch in table.to_batches())
        return pa.RecordBatchReader.from_batches(self._schema, batches).__arrow_c_stream__(requested_schema)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
