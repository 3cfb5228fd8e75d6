"""The command `postroad simulate http`."""

from __future__ import annotations

import argparse

from postroad.connectors.http.simulator import DEMO_SECRET, DEMO_TOKEN
from postroad.connectors.http.simulator.server import ApiSimulator
from postroad.sdk.serving import serve

DEFAULT_PORT = 8769


def main(args: list[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    options = _parser().parse_args(args)
    simulator = ApiSimulator(
        options.key.split(","),
        host=options.host,
        port=options.port,
        token=options.token,
        secrets=tuple(options.secret or [DEMO_SECRET]),
        versions=options.versions,
    )
    serve(
        simulator,
        lambda: f"Simulated API on {simulator.base_url}; records are told apart by {', '.join(simulator.key)}",
        0,
        lambda: None,
    )


def _parser() -> argparse.ArgumentParser:
    description = "A simulated in-house API that takes records in batches, on a local socket."
    parser = argparse.ArgumentParser("postroad simulate http", description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--key", default="id", help="fields that tell records apart, by commas (default: %(default)s)")
    parser.add_argument("--token", default=DEMO_TOKEN, help="the bearer token that it takes (default: a demo token)")
    parser.add_argument("--secret", action="append", help="a signing secret, once or twice (default: a demo secret)")
    parser.add_argument(
        "--versions",
        choices=("compared", "ignored"),
        default="compared",
        help="leave what has a newer version alone, or take what comes (default: %(default)s)",
    )
    return parser
