"""The settings of a connection to a broker whose consumers are not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from postroad.sdk.secrets import Secret

AZURE = "az://"
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# A queue's name in AMQP has at most 255 bytes; ours for what is refused is eight longer.
QueueName = Annotated[str, Field(pattern=r"^[0-9A-Za-z._@-]{1,200}$")]


class ClaimSettings(BaseModel):
    """Where the records of large events are put, for the events to name."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    folder: str = Field(description="A folder's whole path, or az://CONTAINER/PREFIX; its readers read it themselves.")
    account: str | None = Field(default=None, description="The storage account of an az:// folder.")
    account_key: Secret | None = Field(default=None, description="Its key; else a sas, else the machine's identity.")
    sas: Secret | None = Field(default=None, description="A shared access signature that may create blobs there.")
    endpoint: str | None = Field(default=None, description="Of another cloud than the public one, or of an emulator.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        in_azure, given = self.folder.startswith(AZURE), [self.account_key, self.sas, self.account, self.endpoint]
        if in_azure and (self.account is None or None not in given[:2]):
            raise ValueError("az:// needs its account, and one of account_key and sas")
        if not in_azure and any(each is not None for each in given):
            raise ValueError("account, account_key, sas and endpoint are for az:// alone")
        if not in_azure and not Path(self.folder).is_absolute():
            raise ValueError("folder is a whole path, or az://CONTAINER/PREFIX")
        return self


class RabbitmqSettings(BaseModel):
    """Where the broker is, and whether its consumers answer."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: Secret = Field(
        description="amqp://USER:PASSWORD@HOST/VHOST, or amqps:// with TLS, such as secret://PARTNER_RABBITMQ_URL."
    )
    receipts: Literal[False] | QueueName = Field(
        description="The queue in which the consumers' receipts come, of this connection and environment alone; or "
        "false: nobody answers, and what the broker has counts as acknowledged."
    )
    exchange: str = Field(
        default="",
        max_length=255,
        description="Theirs, where the target is the routing key; else the target's queue.",
    )
    receipt_within: str = Field(
        default="1h", pattern=r"^[1-9]\d{0,4}[smhd]$", description="A message without a receipt for so long is resent."
    )
    company: str | None = Field(default=None, description="The column that names the company; events carry it.")
    most_kilobytes: int = Field(default=4096, ge=16, le=65_536, description="Larger events are halved; or see claims.")
    claims: ClaimSettings | None = Field(
        default=None, description="Where the records of larger events go; the event then names a file."
    )

    @property
    def patience(self) -> float:
        """Seconds until a receipt should have come."""
        return float(int(self.receipt_within[:-1]) * UNITS[self.receipt_within[-1]])
