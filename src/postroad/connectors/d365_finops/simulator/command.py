"""The command `postroad simulate d365_finops`."""

from __future__ import annotations

import argparse

from postroad.connectors.d365_finops.simulator import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT
from postroad.connectors.d365_finops.simulator.entities import catalogue
from postroad.connectors.d365_finops.simulator.environment import COMPANIES, SIZES
from postroad.connectors.d365_finops.simulator.server import DEMO_PROJECT, FinopsSimulator
from postroad.sdk.serving import serve

DEFAULT_PORT = 8767
OPTIONS = {
    "vendors": "VendorsV2",
    "customers": "CustomersV3",
    "products": "ReleasedProductsV2",
    "purchase-orders": "PurchaseOrderHeadersV2",
    "accounts": "MainAccounts",
    "journal-entries": "GeneralJournalAccountEntries",
    "employees": "Employees",
}


def main(args: list[str]) -> None:
    """Serve until SIGTERM or SIGINT."""
    options = _parser().parse_args(args)
    simulator = FinopsSimulator(
        seed=options.seed,
        sizes={entity: vars(options)[name.replace("-", "_")] for name, entity in OPTIONS.items()},
        companies=options.companies.split(","),
        host=options.host,
        port=options.port,
        blob_port=options.blob_port,
        tenant=options.tenant,
        client_id=options.client_id,
        client_secret=options.client_secret,
        export_seconds=options.export_seconds,
        latency_ms=options.latency_ms,
    )
    for entity in catalogue().entities:
        simulator.project(f"{DEMO_PROJECT} {entity}", [entity], incremental=False)
    serve(
        simulator,
        lambda: (
            f"Finance & Operations simulator with {options.vendors} vendors, project {DEMO_PROJECT}, tenant "
            f"{simulator.tenant}, packages on {simulator.blobs.base_url}, itself on {simulator.url}"
        ),
        options.changes_per_minute,
        simulator.mutate,
    )


def _parser() -> argparse.ArgumentParser:
    description = "A simulated Dynamics 365 Finance & Operations on a local socket."
    parser = argparse.ArgumentParser("postroad simulate d365_finops", description=description)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--blob-port", type=int, default=0, help="where packages are fetched (default: a free one)")
    parser.add_argument("--seed", type=int, default=1, help="which data (default: %(default)s)")
    parser.add_argument(
        "--companies",
        default=",".join(COMPANIES),
        help="legal entities; each has half the rows of the one before, dat has none (default: %(default)s)",
    )
    for name, entity in OPTIONS.items():
        size = SIZES[entity]
        parser.add_argument(f"--{name}", type=int, default=size, metavar="N", help=f"{entity} (default: {size})")
    parser.add_argument("--tenant", default=DEMO_TENANT, help="the directory's tenant")
    parser.add_argument("--client-id", default=DEMO_CLIENT_ID, help="the client that may sign in")
    parser.add_argument("--client-secret", default=DEMO_CLIENT_SECRET, help="its secret (default: a demo secret)")
    parser.add_argument("--export-seconds", type=float, default=5.0, metavar="N", help="how long an export takes")
    parser.add_argument("--changes-per-minute", type=float, default=0, metavar="N", help="change vendors meanwhile")
    parser.add_argument("--latency-ms", type=float, default=0, metavar="N", help="hold every answer that long")
    return parser
