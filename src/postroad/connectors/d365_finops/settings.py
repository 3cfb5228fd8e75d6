"""The settings of a connection to Dynamics 365 Finance & Operations in postroad.yaml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from postroad.sdk.secrets import Secret


class FinopsSettings(BaseModel):
    """One connection to one environment, as one registered client."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field(
        description="The environment, such as https://contoso.operations.dynamics.com: lower case, no slash.",
        pattern=r"^https?://[^A-Z/]+$",
    )
    tenant: str = Field(description="The directory's tenant: its id or a domain of it.", min_length=1)
    client_id: str = Field(
        description="The client id registered in the directory and in the environment.", min_length=1
    )
    client_secret: Secret = Field(description="The client's secret, such as secret://FINOPS_SECRET.")
    sign_in_url: str = Field(
        default="https://login.microsoftonline.com", description="The directory's address.", pattern=r"^https?://"
    )
