"""The project that `postroad init --example d365_finops` writes; it talks to the simulator until told otherwise."""

from __future__ import annotations

from postroad.connectors.d365_finops.simulator import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, DEMO_TENANT

POSTROAD_YAML = f"""\
# Finance & Operations into a data lake in this folder.
project: vendors
lake: ./lake
database: sqlite:///postroad.db
connections:
  finops:
    connector: d365_finops
    url: ${{FO_URL:-http://127.0.0.1:8767}}
    sign_in_url: ${{FO_SIGN_IN_URL:-http://127.0.0.1:8767}}
    tenant: {DEMO_TENANT}
    client_id: {DEMO_CLIENT_ID}
    client_secret: secret://FO_SECRET
    companies: [usmf, demf]
    entities: [VendorsV2, CustomersV3, ReleasedProductsV2, PurchaseOrderHeadersV2]
    # Only for the simulator on this machine; leave these out for the real system.
    package_hosts: [127.0.0.1]
    allow_http: true
    poll_seconds: 1
"""

VENDORS_YAML = """\
sync:
  - from: finops
    entities: [VendorsV2, CustomersV3, ReleasedProductsV2, PurchaseOrderHeadersV2]
    sweep_deletes: always  # at each run; for the real system `daily` does
"""

DOT_ENV = f"""\
# The simulator's secret, which is none. For the real system write yours here.
FO_SECRET={DEMO_CLIENT_SECRET}
"""

README = """\
# Vendors from Finance & Operations

Start the simulator in one terminal:

    postroad simulate d365_finops

and in another one, in this folder:

    postroad run --wait
    postroad status
    postroad query "select dataAreaId, count(*) from finops.VendorsV2 group by 1"

Run again whenever you like: only what changed is exported. A deletion is in no export: all keys are read, and what is
gone is deleted.
"""

EXAMPLE = {
    "postroad.yaml": POSTROAD_YAML,
    "flows/vendors.yaml": VENDORS_YAML,
    ".env": DOT_ENV,
    "README.md": README,
}
