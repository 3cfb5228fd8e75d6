"""The part of a SQL database in `postroad demo`: an application that holds on to some of its rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from postroad.connectors.sql.example import FILE
from postroad.sdk.demo import Receiver

HOLD = """
CREATE TABLE IF NOT EXISTS open_orders (target TEXT, id);
INSERT INTO open_orders SELECT '{table}', "{key}" FROM "{table}";
CREATE TRIGGER "{table}_on_order" BEFORE UPDATE ON "{table}"
WHEN new._deleted AND EXISTS (SELECT 1 FROM open_orders WHERE target = '{table}' AND id = new."{key}")
BEGIN SELECT raise(ABORT, 'it is still on an open order'); END;
"""


def _hold(folder: Path, table: str) -> str:
    with closing(sqlite3.connect(folder / FILE)) as database:
        (key,) = (row[1] for row in database.execute(f'PRAGMA table_info("{table}")') if row[5])
        database.executescript(HOLD.format(table=table, key=key))
    return f"The application has open orders for its {table}, and a trigger that lets none of those be deleted"


def _let_go(folder: Path, table: str) -> str:
    with closing(sqlite3.connect(folder / FILE)) as database, database:
        database.execute("DELETE FROM open_orders WHERE target = ?", (table,))
    return f"Somebody closes the open orders of these {table} in the application"


DEMO = Receiver(f"An application with a SQLite database of its own, {FILE}, gets some of it", _hold, _let_go)
