"""The part of MongoDB in `postroad demo`: a server that somebody offers gets a database of its own for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from postroad.errors import TransientError
from postroad.sdk.demo import Server

DATABASE = "postroad_demo"
PATIENCE = 3_000  # milliseconds
EXTRA = "the extra postroad[mongodb] is not installed"


def _client(address: str) -> Any:
    from pymongo import MongoClient

    return MongoClient(address, serverSelectionTimeoutMS=PATIENCE, connectTimeoutMS=PATIENCE)


def _refusal(address: str) -> str | None:
    try:
        from pymongo.errors import PyMongoError
    except ModuleNotFoundError:
        return EXTRA
    try:
        with _client(address) as client:
            known = client[DATABASE].list_collection_names()
    except (PyMongoError, ValueError) as error:  # its sentence may hold the address
        return f"it does not answer, or refuses us ({type(error).__name__})"
    return f"it has a database {DATABASE} already: drop that if an earlier demo left it" if known else None


def _variables(address: str) -> Mapping[str, str]:
    return {"MONGODB_URL": address, "MONGODB_DATABASE": DATABASE}


def _drop(address: str) -> None:
    from pymongo.errors import PyMongoError

    try:
        with _client(address) as client:
            client.drop_database(DATABASE)
    except PyMongoError as error:
        raise TransientError(type(error).__name__) from None


DEMO = Server(
    "MongoDB",
    "POSTROAD_DEMO_MONGODB",
    "mongodb://127.0.0.1",
    f"the database {DATABASE}",
    _refusal,
    _variables,
    _drop,
)
