"""The settings of a connection to a MongoDB."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from postroad.sdk.secrets import Secret


class Index(BaseModel):
    """An index of a target, made with its first message."""

    model_config = ConfigDict(extra="forbid")

    fields: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="Field names in their order; one that begins with a minus is descending."
    )
    unique: bool = Field(default=False, description="No two rows may agree in these fields.")

    @property
    def keys(self) -> list[tuple[str, int]]:
        """As the driver takes them."""
        return [(each.removeprefix("-"), -1 if each.startswith("-") else 1) for each in self.fields]

    @property
    def name(self) -> str:
        """Ours, so that another index on the same fields is told apart."""
        return "postroad_" + "_".join(f"{name}_{way}" for name, way in self.keys)


class MongoSettings(BaseModel):
    """Where the database is, and how rows become documents. Whoever signs in may read and write there."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: Secret = Field(
        description="mongodb://USER:PASSWORD@HOST/?tls=true or mongodb+srv://…, such as secret://MONGODB_URL."
    )
    database: str = Field(min_length=1, description="The database that holds the targets' collections.")
    id: Literal["key", "text", "objectid"] = Field(
        default="key",
        description="What `_id` is: the dataset's key (a sub-document where that has several columns), its values "
        "joined to one text by |, or an ObjectId, with a unique index on the key's fields.",
    )
    deletes: Literal["hard", "soft", "ignore"] = Field(
        default="hard",
        description="What a delete does: leave only key and version, set `_deleted` and keep the row, or nothing.",
    )
    view: bool = Field(
        default=True,
        description="With hard deletes: the target is a view without deleted rows, over the collection <target>.rows.",
    )
    tombstone_days: Annotated[int, Field(ge=1, le=20_000)] | None = Field(
        default=365,
        description="How long a hard delete is remembered: longer than any message can be late. null: for ever.",
    )
    decimals: Literal["decimal128", "text"] = Field(
        default="decimal128", description="Decimal128 has 34 digits, and a longer value is rejected; text keeps all."
    )
    dates: Literal["midnight", "text"] = Field(
        default="midnight", description="A day as the BSON date of its midnight in UTC, or as a text, 2026-11-21."
    )
    times: Literal["date", "text"] = Field(
        default="date", description="An instant as a BSON date, which ends at the millisecond, or as a text with all."
    )
    indexes: dict[str, tuple[Index, ...]] = Field(default={}, description="Further indexes, by target.")
    write_concern: Literal["majority"] | Annotated[int, Field(ge=1)] = Field(
        default="majority", description="How many members must have a write before it counts."
    )
    journal: bool = Field(default=True, description="Whether it must be in their journals.")
