"""A simulator of Dynamics 365 Finance & Operations: the same wire behaviour, waits and failures, to rehearse against.

Light to import: the server and Arrow are loaded on first use. Documented in docs/simulator-d365-finops.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postroad.connectors.d365_finops.simulator.server import FinopsSimulator

__all__ = ["DEMO_CLIENT_ID", "DEMO_CLIENT_SECRET", "DEMO_TENANT", "FinopsSimulator", "main"]

DEMO_TENANT = "5f1d0a3c-0000-4000-8000-00000000f00d"
DEMO_CLIENT_ID = "0c1e47ab-0000-4000-8000-0000000c11e7"
DEMO_CLIENT_SECRET = "demo~secret.that-is_no-secret-8Q~x"  # noqa: S105  (published on purpose)
"""The client of a simulator that was given none; in the form of real ones, and no secret."""


def main(args: list[str]) -> None:
    """Run `postroad simulate d365_finops` until it is told to stop."""
    from postroad.connectors.d365_finops.simulator.command import main as run

    run(args)


def __getattr__(name: str) -> Any:
    if name == "FinopsSimulator":
        from postroad.connectors.d365_finops.simulator.server import FinopsSimulator

        return FinopsSimulator
    raise AttributeError(name)
