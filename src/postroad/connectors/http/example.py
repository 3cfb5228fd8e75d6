"""The project that `postroad init --example http` writes: files of a folder go to an API in batches."""

from __future__ import annotations

from postroad.connectors.http.simulator import DEMO_SECRET, DEMO_TOKEN

POSTROAD_YAML = """\
# Items from files of a folder to an in-house API.
project: items
lake: ./lake
database: sqlite:///postroad.db
connections:
  stock:
    connector: files
    folder: ./stock
    settle: 0s
    datasets:
      items:                          # each file has rows that are put over those that are there
        files: "items_*.csv"
        key: [id]
        columns: {id: text, name: text, price: decimal, since: date}
  shop:
    connector: http
    url: ${SHOP_URL:-http://127.0.0.1:8769}
    token: secret://SHOP_TOKEN
    sign: [secret://SHOP_SECRET]
    versions: compared                # the receiver leaves what has a newer _version alone
    probe: {path: /targets, targets: targets}
    answer:                           # what it says of each record
      results: items
      id: id
      status: state
      accepted: [ok]
      unchanged: [known]
      rejected: [refused]
      retry: [later]
      message: error
"""

ITEMS_YAML = """\
sync:
  - {from: stock, entities: [items]}
deliver:
  - {dataset: stock.items, to: shop.items}
"""

ITEMS = """\
id,name,price,since
A-1001,Copying paper,4.90,2026-01-05
A-1002,"Envelopes, C5",7.25,2026-01-05
A-1003,Sealing wax,12.00,2026-02-11
"""

DOT_ENV = f"""\
# The simulator's token and signing secret, which are none. For the real system write yours here.
SHOP_TOKEN={DEMO_TOKEN}
SHOP_SECRET={DEMO_SECRET}
"""

README = """\
# Items to an in-house API

Start the simulator in one terminal:

    postroad simulate http

and in another one, in this folder:

    postroad check --connect
    postroad run
    postroad status
    curl "localhost:8769/_simulator/rows?target=items"

Drop another file beside the first one, such as `stock/items_2.csv` with the same captions, and run again: only its rows
are sent. To see a refusal:

    curl localhost:8769/_simulator/refuse -d '{"key": ["A-1002"], "error": "no such shelf"}'

change that row in a further file, run, and ask `postroad rejected list --stage deliver`.
"""

EXAMPLE = {
    "postroad.yaml": POSTROAD_YAML,
    "flows/items.yaml": ITEMS_YAML,
    "stock/items_1.csv": ITEMS,
    ".env": DOT_ENV,
    "README.md": README,
}
