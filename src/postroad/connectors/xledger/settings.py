"""The settings of a connection to Xledger in postroad.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from postroad.connectors.xledger.additions import (
    Columns,
    EntityName,
    EntitySettings,
    declared,
    told,
    wrong_columns,
    wrong_entities,
)
from postroad.connectors.xledger.declaration import Declaration
from postroad.sdk.secrets import Secret
from postroad.sdk.zones import TimeZone


class XledgerSettings(BaseModel):
    """One connection to one Xledger tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(
        description="The GraphQL endpoint, such as https://www.xledger.net/graphql.", pattern=r"^https?://"
    )
    token: Secret = Field(description="The API token, such as secret://XLEDGER_TOKEN.")
    owner_set: Literal["CURRENT", "UPPER", "LOWER", "MINE", "ALL"] = Field(
        default="MINE",
        description="Whose records are read; the walk, the changes and the look-ups all ask for the same.",
    )
    object_status: Literal["ALL", "OPEN", "CLOSED"] = Field(
        default="ALL", description="Which records are read: all, or only open or closed ones."
    )
    time_zone: TimeZone = Field(default="Europe/Oslo", description="The zone of the local times that Xledger sends.")
    page_size: int = Field(default=10_000, ge=1, le=10_000, description="Rows per call; Xledger allows 10,000.")
    tenant_check: bool = Field(
        default=True, description="Ask whose token it is, and refresh fully when that is somebody else."
    )
    new_token: Literal["refresh", "keep"] = Field(
        default="refresh",
        description="What a new API token means: other data, so all is refreshed and compared; or the same as before.",
    )
    ids_per_query: int = Field(
        default=500, ge=1, le=10_000, description="Ids per call when rows must be looked up one by one."
    )
    burst: int = Field(default=18, ge=1, description="Calls that we allow ourselves in 5 seconds; Xledger allows 20.")
    calls_per_month: int | None = Field(default=None, ge=1, description="Stop for the month after so many calls.")
    timeout: float = Field(default=60.0, gt=0, description="Seconds to wait for an answer.")
    columns: dict[str, Columns] = Field(
        default_factory=dict, description="More columns of the entities that this connector knows, by entity."
    )
    entities: dict[EntityName, EntitySettings] = Field(
        default_factory=dict,
        description="Entities that this connector does not know, by the name of their dataset.",
        json_schema_extra={"additionalProperties": False},
    )

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """Every entity that can be read with these settings."""
        return declared(self.columns, self.entities)

    @field_validator("columns")
    @classmethod
    def _addable(cls, value: dict[str, Columns]) -> dict[str, Columns]:
        told(wrong_columns(value))
        return value

    @field_validator("entities")
    @classmethod
    def _new(cls, value: dict[str, EntitySettings]) -> dict[str, EntitySettings]:
        told(wrong_entities(value))
        return value
