"""The command `postroad simulate excel_link`."""

from __future__ import annotations

import argparse
import signal
import threading

from postroad.connectors.excel_link.simulator.addresses import DEFAULT_PORT, TABLES
from postroad.connectors.excel_link.simulator.server import ExcelLinkSimulator


def main(args: list[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    options = _parser().parse_args(args)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExcelLinkSimulator(seed=options.seed, host=options.host, port=options.port) as simulator:
        print(f"Simulator of {len(TABLES)} links on {simulator.base_url}/Flex/", flush=True)
        if options.changes_per_minute > 0:
            change_every(simulator, 60 / options.changes_per_minute, stop)
        stop.wait()


def change_every(simulator: ExcelLinkSimulator, seconds: float, stop: threading.Event) -> None:
    """Change a row of one table after the other, again and again, in the background."""

    def change() -> None:
        number = 0
        while not stop.wait(seconds):
            simulator.change(TABLES[number % len(TABLES)])
            number += 1

    threading.Thread(target=change, daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("postroad simulate excel_link", description="Simulated links on a local socket.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which company, and which links (default: %(default)s)")
    parser.add_argument("--changes-per-minute", type=float, default=0, metavar="N", help="change rows meanwhile")
    return parser
