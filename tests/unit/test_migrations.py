"""A new database and a migrated one are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, event, inspect

from postroad.store.migrations import NEWEST, migrate, upgrade
from postroad.store.schema import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of either kind."""
    if request.param == "sqlite":
        found = create_engine(f"sqlite:///{tmp_path}/new.db")
        event.listen(found, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    else:
        url = request.getfixturevalue("postgresql_url")
        found = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    yield found
    found.dispose()


def described(engine: Engine) -> dict[str, Any]:
    """Tables, columns and indexes."""
    found = inspect(engine)
    return {
        name: (
            sorted((column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(name)),
            sorted((str(index["name"]), index["column_names"], index["unique"]) for index in found.get_indexes(name)),
        )
        for name in sorted(found.get_table_names())
    }


def test_both_ways_lead_to_one_schema(engine: Engine) -> None:
    """Made at once, and migrated step by step from nothing: the same tables, and what the code expects."""
    upgrade(engine)
    made = described(engine)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
    migrate(engine)
    assert described(engine) == made
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == NEWEST
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    upgrade(engine)
    assert described(engine) == made


def test_a_database_of_the_fourth_version_gets_deliveries(engine: Engine) -> None:
    upgrade(engine)
    made = described(engine)
    with engine.begin() as connection:
        for table in ("subscriptions", "messages", "moves"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("DROP INDEX rejections_of_a_subscription")
        for column in ("subscription", "version"):
            connection.exec_driver_sql(f"ALTER TABLE rejections DROP COLUMN {column}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0004'")
    upgrade(engine)
    assert described(engine) == made
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_of_the_second_version_gets_alerts_and_waits(engine: Engine) -> None:
    upgrade(engine)
    made = described(engine)
    with engine.begin() as connection:
        for table in ("alerts", "mails"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("ALTER TABLE runs DROP COLUMN wait_begun_at")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0002'")
    upgrade(engine)
    assert described(engine) == made
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == NEWEST
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_of_the_first_version_gets_what_is_missing(engine: Engine) -> None:
    """Rows that are there stay; a walk that was open is not confirmed."""
    upgrade(engine)
    made = described(engine)
    with engine.begin() as connection:
        for table, column in (("walks", "bounds"), ("walks", "confirmed"), ("walks", "absent"), ("entities", "absent")):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
        for table in ("alerts", "mails"):
            connection.exec_driver_sql(f"DROP TABLE {table}")
        connection.exec_driver_sql("ALTER TABLE runs DROP COLUMN wait_begun_at")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
        insert = "INSERT INTO entities (connection, entity, withheld) VALUES ('erp', 'things', false)"
        connection.exec_driver_sql(insert)
    upgrade(engine)
    assert described(engine) == made
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT entity FROM entities").scalar() == "things"


def test_a_database_of_the_fifth_version_gets_rules_of_cleaning(engine: Engine) -> None:
    upgrade(engine)
    made = described(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE subscriptions DROP COLUMN cleaning")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0005'")
    upgrade(engine)
    assert described(engine) == made
