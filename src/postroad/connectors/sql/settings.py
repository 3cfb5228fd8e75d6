"""The settings of a connection to a SQL database."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from postroad.sdk.secrets import Secret


class SqlSettings(BaseModel):
    """Where the database is. Whoever it names may create and alter tables there, or finds them made."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: Secret = Field(
        description="sqlite:///FILE, relative to the project's folder, or postgresql://USER:PASSWORD@HOST/DATABASE, "
        "such as secret://APPDB_URL."
    )
