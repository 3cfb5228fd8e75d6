"""All tables of the simulated Xledger, and the GraphQL types that show them.

Every table is declared in one place; the schema, the rows, the filters and the delta feeds are derived from that.
"""

from __future__ import annotations

from collections.abc import Iterable

from postroad.connectors.xledger.simulator.declare import Table, Type
from postroad.connectors.xledger.simulator.tables import (
    basics,
    ledger,
    parties,
    people,
    projects,
    subledgers,
    words,
    work,
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        # The size of a table may depend on those before it.
        work.TIMESHEETS,
        projects.PROJECTS,
        people.EMPLOYEES,
        parties.CUSTOMERS,
        parties.SUPPLIERS,
        ledger.TRANSACTIONS,
        subledgers.AR_TRANSACTIONS,
        subledgers.AP_TRANSACTIONS,
        parties.COMPANIES,
        parties.ADDRESSES,
        people.CONTACTS,
        people.EMPLOYEE_GROUPS,
        projects.PROJECT_GROUPS,
        ledger.ACCOUNTS,
        ledger.BUDGET_DETAILS,
        ledger.EXCHANGE_RATES,
        ledger.HEADERS,
        subledgers.AR_HEADERS,
        subledgers.AP_HEADERS,
        subledgers.FILES,
        basics.ENTITIES,
        basics.COUNTRIES,
        basics.CURRENCIES,
        basics.OBJECT_KINDS,
        basics.PERIODS,
        *basics.LISTS,
        *work.LISTS,
        *people.LISTS,
        *parties.LISTS,
        *ledger.LISTS,
        *subledgers.LISTS,
    )
}

VIEWS = (
    words.OBJECT_VALUE,
    parties.PROJECT_CUSTOMER,
    people.FLEXI_FIELDS,
    projects.FLEXI_FIELDS,
    ledger.GL_DIMENSION,
)

ENTITIES = tuple(table for table in TABLES.values() if table.deltas)
"""The tables with a delta feed (fact sheet 2.1)."""

CONNECTIONS = {table.name: table for table in TABLES.values() if table.connection}
"""The tables with a root field."""

DELTAS = {table.deltas_root: table for table in ENTITIES}


def _types(tables: Iterable[Table]) -> dict[str, Type]:
    found = {view.name: view for view in VIEWS}
    for table in tables:
        found.setdefault(table.type, table.shown)
        if table.deltas:
            found[f"{table.type}Delta"] = table.shown
    return found


TYPES = _types(TABLES.values())
"""The object types by name. Tables that share a type have the same fields."""

REFERRED = frozenset(each.of for table in TABLES.values() for each in table.fields.values() if each.of)
"""The tables that others refer to."""
