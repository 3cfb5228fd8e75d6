"""The settings of a connection to a broker whose consumers are not ours."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from postroad.sdk.secrets import Secret

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# A queue's name in AMQP has at most 255 bytes; ours for what is refused is eight longer.
QueueName = Annotated[str, Field(pattern=r"^[0-9A-Za-z._@-]{1,200}$")]


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
    most_kilobytes: int = Field(default=4096, ge=16, le=65_536, description="Larger messages are halved.")

    @property
    def patience(self) -> float:
        """Seconds until a receipt should have come."""
        return float(int(self.receipt_within[:-1]) * UNITS[self.receipt_within[-1]])
