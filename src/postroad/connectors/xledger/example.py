"""The project that `postroad init --example xledger` writes: it talks to the simulator until it is told otherwise."""

from __future__ import annotations

SIMULATOR_TOKEN = "cG9zdHJvYWQtZGVtby10b2tlbi1ub3QtYS1zZWNyZXQ"  # noqa: S105  the simulator's, no secret

POSTROAD_YAML = """\
# Xledger into a data lake in this folder.
project: hours
lake: ./lake
database: sqlite:///postroad.db
connections:
  xledger:
    connector: xledger
    url: ${XLEDGER_URL:-http://127.0.0.1:8765/graphql}
    token: secret://XLEDGER_TOKEN
"""

HOURS_YAML = """\
# All of which Xledger tells the changes: an hour in which nothing happened costs one call, however many there are.
sync:
  - from: xledger
    entities: [timesheets, projects, employees, customers, suppliers, transactions, arTransactions, apTransactions]
"""

DOT_ENV = f"""\
# The simulator's token. For the real Xledger write its token here, and its address:
# XLEDGER_URL=https://demo.xledger.net/graphql
XLEDGER_TOKEN={SIMULATOR_TOKEN}
"""

README = """\
# Hours from Xledger

Start the simulator in one terminal:

    postroad simulate xledger

and in another one, in this folder:

    postroad run
    postroad status
    postroad query "select employee_description, sum(workingHours) from xledger.timesheets group by 1 order by 2 desc"

Run again whenever you like: only what changed is fetched. For the real Xledger set `XLEDGER_URL` and
`XLEDGER_TOKEN` in `.env`; a token is made under Administration > System Access > GraphQL > API tokens.
"""

EXAMPLE = {
    "postroad.yaml": POSTROAD_YAML,
    "flows/hours.yaml": HOURS_YAML,
    ".env": DOT_ENV,
    "README.md": README,
}
