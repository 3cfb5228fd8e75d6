from __future__ import annotations

import json

import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.connectors.xledger.simulator.endpoint import Question
from postroad.connectors.xledger.simulator.schema import Known, schema
from postroad.connectors.xledger.simulator.tables import ENTITIES, TABLES
from tests.unit.xledger_simulator.random_queries import Reference, random_document


@pytest.fixture(scope="module")
def simulator() -> XledgerSimulator:
    """A small company in which something of everything has happened."""
    simulator = XledgerSimulator(seed=7, timesheets=90, sizes={"transactions": 60}, expired_when="gap")
    for entity in (table.name for table in ENTITIES):
        simulator.mutate(12, entity)
        simulator.add(3, entity)
        deleted = simulator.delete(4, entity)
        simulator.restore(deleted[:1], entity)
    for kind in ("project", "employee", "customer", "company", "owner"):
        rows = simulator._store.rows[next(each.name for each in TABLES.values() if each.singular == kind)]
        simulator.rename(kind, rows.generated.db_id(2), 'Ny "ö" etapp')
    simulator.mutate(10)
    return simulator


@pytest.mark.parametrize("hundred", range(10))
def test_a_thousand_random_queries_answer_as_graphql_core_does(simulator: XledgerSimulator, hundred: int) -> None:
    reference = Reference(schema(Known()), simulator._store)
    for seed in range(hundred * 100, hundred * 100 + 100):
        document, variables = random_document(seed, schema(Known()), simulator._store)
        rendered = simulator._rendered(Question(document, None, variables), [], simulator.switches)
        expected = reference.answer(document, variables)
        assert json.dumps(json.loads(rendered.body)["data"], ensure_ascii=False) == expected, f"seed {seed}: {document}"
