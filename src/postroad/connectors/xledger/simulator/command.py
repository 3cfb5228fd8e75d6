"""The command `postroad simulate xledger`."""

from __future__ import annotations

import argparse

from postroad.connectors.xledger.simulator import DEMO_TOKEN
from postroad.connectors.xledger.simulator.answers import CACHE_BYTES
from postroad.connectors.xledger.simulator.schema import Known, sdl
from postroad.connectors.xledger.simulator.server import XledgerSimulator
from postroad.sdk.serving import serve

DEFAULT_PORT = 8765


def main(args: list[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = _parser()
    options = parser.parse_args(args)
    if options.schema:
        print(sdl(Known()))
        return
    try:
        simulator = _simulator(options)
    except ValueError as mistake:
        parser.error(str(mistake))
    serve(
        simulator,
        lambda: f"Xledger simulator with {options.timesheets} timesheets on {simulator.url}",
        options.changes_per_minute,
        simulator.mutate,
    )


def _simulator(options: argparse.Namespace) -> XledgerSimulator:
    return XledgerSimulator(
        seed=options.seed,
        timesheets=options.timesheets,
        sizes=dict(options.size),
        token=options.token,
        host=options.host,
        port=options.port,
        cache_bytes=None if options.pre_render else CACHE_BYTES,
        latency_ms=options.latency_ms,
    )


def size(text: str) -> tuple[str, int]:
    """A size as it is typed, `projects=500`."""
    name, _, count = text.partition("=")
    if not name or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write projects=500")
    return name, int(count)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("postroad simulate xledger", description="A simulated Xledger on a local socket.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which company (default: %(default)s)")
    parser.add_argument(
        "--timesheets", type=int, default=20_000, help="how many, up to 5 million (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        action="append",
        default=[],
        type=size,
        metavar="NAME=N",
        help="how many rows of another connection; without it, in proportion to the timesheets; repeatable",
    )
    parser.add_argument("--schema", action="store_true", help="print the GraphQL schema and stop")
    parser.add_argument("--token", default=DEMO_TOKEN, help="the API token that is valid (default: a demo token)")
    parser.add_argument("--changes-per-minute", type=float, default=0, metavar="N", help="change timesheets meanwhile")
    parser.add_argument("--latency-ms", type=float, default=0, metavar="N", help="hold every answer that long")
    parser.add_argument(
        "--pre-render",
        action="store_true",
        help="keep every page once rendered, so that a second walk comes from memory",
    )
    return parser
