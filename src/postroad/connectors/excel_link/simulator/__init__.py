"""A simulator of a server of links: the tables of the story as xlsx, json and csv, with faults, to rehearse against.

Light to import: the server and the writer of workbooks are loaded on first use. Documented in
docs/simulator-excel-link.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postroad.connectors.excel_link.simulator.server import ExcelLinkSimulator

__all__ = ["ExcelLinkSimulator", "main"]


def main(args: list[str]) -> None:
    """Run `postroad simulate excel_link` until it is told to stop."""
    from postroad.connectors.excel_link.simulator.command import main as run

    run(args)


def __getattr__(name: str) -> Any:
    if name == "ExcelLinkSimulator":
        from postroad.connectors.excel_link.simulator.server import ExcelLinkSimulator

        return ExcelLinkSimulator
    raise AttributeError(name)
