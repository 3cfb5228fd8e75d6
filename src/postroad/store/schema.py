"""The tables of the tracking database, portable between SQLite and PostgreSQL.

Times are microseconds since 1970 UTC in columns named `*_at` or `*_until`. Who writes a table, and what a crash
leaves behind, stands in the module of `postroad.tracking` that writes it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData()

# SQLite gives out row numbers only for columns whose type is exactly INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

ACTIVE = "status in ('running', 'waiting')"
OPEN = "status = 'open'"

feeds = Table(
    "feeds",
    metadata,
    Column("connection", String, primary_key=True),
    Column("feed", String, primary_key=True),
    Column("cursor", JSON),
    Column("last_number", BigInteger, nullable=False, default=0),
    Column("moved_at", BigInteger),
)

entities = Table(
    "entities",
    metadata,
    Column("connection", String, primary_key=True),
    Column("entity", String, primary_key=True),
    Column("due_reason", Text),
    Column("due_landing", BigInteger),
    Column("withheld", Boolean, nullable=False, default=False),
    Column("head_landing", BigInteger),
    Column("head_at", BigInteger),
    Column("absent", JSON),
)

walks = Table(
    "walks",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("connection", String, nullable=False),
    Column("feed", String, nullable=False),
    Column("entity", String, nullable=False),
    Column("scope", String, nullable=False),
    Column("bounds", JSON),
    Column("kind", String, nullable=False, default="walk"),
    Column("pages_of", BigInteger, nullable=False, default=0),
    Column("version", BigInteger, nullable=False),
    Column("run", String, nullable=False),
    Column("begun_landing", BigInteger, nullable=False),
    Column("last_landing", BigInteger),
    Column("fetched", Boolean, nullable=False, default=False),
    Column("confirmed", Boolean, nullable=False, server_default=false()),
    Column("absent", JSON),
    Column("allowed", Boolean, nullable=False, default=False),
    Column("status", String, nullable=False),
    Column("reason", Text),
    Column("begun_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(
        "one_open_walk", "connection", "entity", "scope", "kind",
        unique=True, sqlite_where=text(OPEN), postgresql_where=text(OPEN),
    ),
    sqlite_autoincrement=True,
)  # fmt: skip

payloads = Table(
    "payloads",
    metadata,
    Column("landing", Number, primary_key=True, autoincrement=True),
    Column("connection", String, nullable=False),
    Column("feed", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("run", String, nullable=False),
    Column("walk", BigInteger),
    Column("identifier", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", String, nullable=False),
    Column("entities", JSON, nullable=False),
    Column("meta", JSON, nullable=False),
    Column("scope", String, nullable=False),
    Column("closes", Boolean, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", Text),
    UniqueConstraint("connection", "feed", "number", name="one_payload_a_number"),
    Index("payloads_of_a_walk", "walk"),
    sqlite_autoincrement=True,
)

files = Table(
    "files",
    metadata,
    Column("path", Text, primary_key=True),
    Column("dataset", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("walk", BigInteger, nullable=False),
    Column("first_number", BigInteger, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("min_key", JSON),
    Column("max_key", JSON),
    Index("files_of_a_walk", "walk"),
)

rejections = Table(
    "rejections",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("connection", String, nullable=False),
    Column("entity", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("payload", BigInteger, nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("walk", BigInteger),
    Column("key", Text),
    Column("cause", String, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("file", Text),
    Column("run", String, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", Text),
    Column("subscription", String),
    Column("version", BigInteger),
    Column("rejected_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    UniqueConstraint("payload", "row", "entity", "stage", name="one_rejection_a_row"),
    Index("rejections_by_key", "connection", "entity", "status", "key"),
    Index("rejections_of_a_subscription", "subscription", "status", "key"),
    sqlite_autoincrement=True,
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("connection", String, nullable=False),
    Column("feed", String, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", Text),
    Column("token", String),
    Column("holder", JSON),
    Column("lease_until", BigInteger),
    Column("wait_until", BigInteger),
    Column("wait_begun_at", BigInteger),
    Column("cancel", Boolean, nullable=False, default=False),
    Column("successor", String),
    Column("product_version", String, nullable=False),
    Column("options", JSON, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Index(
        "one_active_run", "connection", "feed",
        unique=True, sqlite_where=text(ACTIVE), postgresql_where=text(ACTIVE),
    ),
)  # fmt: skip

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("name", String, primary_key=True),
    Column("dataset", String, nullable=False),
    Column("destination", String, nullable=False),
    Column("target", String, nullable=False),
    Column("start", String, nullable=False),
    Column("cleaning", String),
    Column("ordered", Boolean, nullable=False, server_default=false()),
    Column("offset", BigInteger, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    Column("looked", BigInteger, nullable=False, server_default="0"),
    Column("status", String, nullable=False),
    Column("reason", Text),
    Column("failures", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("last_outcome", Text),
    Column("last_outcome_at", BigInteger),
    Column("begun_at", BigInteger, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("subscription", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("parent", BigInteger),
    Column("batch", BigInteger),
    Column("batches", BigInteger),
    Column("receipt", String),
    Column("from_version", BigInteger, nullable=False),
    Column("to_version", BigInteger, nullable=False),
    Column("slices", JSON, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("leases", Integer, nullable=False),
    Column("handovers", Integer, nullable=False, server_default="0"),
    Column("handed_at", BigInteger),
    Column("due_at", BigInteger, nullable=False),
    Column("token", String),
    Column("holder", JSON),
    Column("lease_until", BigInteger),
    Column("dispatched_at", BigInteger, nullable=False),
    Column("published_at", BigInteger),
    Column("confirmed_at", BigInteger),
    Column("settled_at", BigInteger),
    Index("messages_by_status", "status", "subscription"),
    Index("messages_by_end", "settled_at"),
    sqlite_autoincrement=True,
)

moves = Table(
    "moves",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("message", BigInteger, nullable=False),
    Column("before", String),
    Column("after", String, nullable=False),
    Column("reason", Text),
    Column("actor", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
    Index("moves_of_a_message", "message"),
    sqlite_autoincrement=True,
)

exports = Table(
    "exports",
    metadata,
    Column("path", Text, primary_key=True),
    Column("subscription", String, primary_key=True),
    Column("from_version", BigInteger, nullable=False),
    Column("to_version", BigInteger, nullable=False),
    Column("begins", Boolean, nullable=False),
    Column("messages", BigInteger, nullable=False),
    Index("exports_by_version", "subscription", "to_version"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("token", String),
    Column("holder", JSON),
    Column("lease_until", BigInteger, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("topic", String, nullable=False),
    Column("state", Text, nullable=False),
    Column("happened", String, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("since_at", BigInteger, nullable=False),
    Column("noted_at", BigInteger, nullable=False),
    Column("mail", BigInteger),
    Index("alerts_of_a_topic", "topic", "id"),
    Index("alerts_of_a_mail", "mail"),
    sqlite_autoincrement=True,
)

mails = Table(
    "mails",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("message_id", String, nullable=False),
    Column("answers", JSON, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    sqlite_autoincrement=True,
)

clock = Table(
    "clock",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("name", String, primary_key=True),
    Column("taken", JSON, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("name", String, primary_key=True),
    Column("month", String, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
