"""Dynamics 365 Finance & Operations: data entities over its package API and OData.

Facts and their sources: the project's fact sheet on Finance & Operations.
"""

from __future__ import annotations

from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.sdk.connector import Connector

ENTITIES = (
    "VendorsV2",
    "CustomersV3",
    "ReleasedProductsV2",
    "PurchaseOrderHeadersV2",
    "MainAccounts",
    "GeneralJournalAccountEntries",
    "Employees",
)
"""The data entities under their public names, whatever carries them."""


def _simulator(args: list[str]) -> None:
    """Runs the simulator; imported late, because `--help` needs no Arrow."""
    from postroad.connectors.d365_finops.simulator import main

    main(args)


connector = Connector(
    name="d365_finops",
    settings=FinopsSettings,
    entities=lambda _: ENTITIES,
    simulator=_simulator,
)
