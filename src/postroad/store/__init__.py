"""The project's SQL database: schema, migrations, transactions."""

from postroad.store.database import Database

__all__ = ["Database"]
