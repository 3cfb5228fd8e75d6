"""The command `postroad simulate excel_link`."""

from __future__ import annotations

import argparse
from itertools import cycle

from postroad.connectors.excel_link.simulator.addresses import DEFAULT_PORT, TABLES
from postroad.connectors.excel_link.simulator.server import ExcelLinkSimulator
from postroad.sdk.serving import serve


def main(args: list[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    options = _parser().parse_args(args)
    simulator = ExcelLinkSimulator(seed=options.seed, host=options.host, port=options.port)
    tables = cycle(TABLES)
    serve(
        simulator,
        lambda: f"Simulator of {len(TABLES)} links on {simulator.base_url}/Flex/",
        options.changes_per_minute,
        lambda: simulator.change(next(tables)),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("postroad simulate excel_link", description="Simulated links on a local socket.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which company, and which links (default: %(default)s)")
    parser.add_argument("--changes-per-minute", type=float, default=0, metavar="N", help="change rows meanwhile")
    return parser
