"""A simulator of an in-house API that takes records in batches, to rehearse against.

Light to import: the server is loaded on first use. Documented in docs/simulator-http.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postroad.connectors.http.simulator.server import ApiSimulator

__all__ = ["DEMO_SECRET", "DEMO_TOKEN", "ApiSimulator", "main"]

DEMO_TOKEN = "demo-token-that-is-no-secret"  # noqa: S105  (published on purpose)
DEMO_SECRET = "whsec_ZGVtby1zZWNyZXQtdGhhdC1pcy1uby1zZWNyZXQ="  # noqa: S105  (published on purpose)
"""What a simulator that was given none expects; in the form of real ones, and no secrets."""


def main(args: list[str]) -> None:
    """Run `postroad simulate http` until it is told to stop."""
    from postroad.connectors.http.simulator.command import main as run

    run(args)


def __getattr__(name: str) -> Any:
    if name == "ApiSimulator":
        from postroad.connectors.http.simulator.server import ApiSimulator

        return ApiSimulator
    raise AttributeError(name)
