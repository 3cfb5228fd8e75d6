"""A simulator of the Xledger GraphQL API: the same wire behaviour, limits and failures, to rehearse against.

Light to import: the server and graphql-core are loaded on first use. Documented in docs/simulator-xledger.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postroad.connectors.xledger.simulator.server import XledgerSimulator

__all__ = ["DEMO_TOKEN", "XledgerSimulator", "main"]

DEMO_TOKEN = "cG9zdHJvYWQtZGVtby10b2tlbi1ub3QtYS1zZWNyZXQ"  # noqa: S105  (published on purpose)
"""The token of a simulator that was given none: base64url without padding, as the real ones, and no secret."""


def main(args: list[str]) -> None:
    """Run `postroad simulate xledger` until it is told to stop."""
    from postroad.connectors.xledger.simulator.command import main as run

    run(args)


def __getattr__(name: str) -> Any:
    if name == "XledgerSimulator":
        from postroad.connectors.xledger.simulator.server import XledgerSimulator

        return XledgerSimulator
    raise AttributeError(name)
