from __future__ import annotations

import json

import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.connectors.xledger.simulator.documents import schema
from postroad.connectors.xledger.simulator.endpoint import Question
from tests.unit.xledger_simulator.random_queries import Reference, random_document


@pytest.fixture(scope="module")
def simulator() -> XledgerSimulator:
    simulator = XledgerSimulator(seed=7, timesheets=150, expired_when="gap")
    simulator.mutate(20)
    simulator.add(5)
    simulator.rename_project(simulator._store.catalog["project"][3]["dbId"], 'Ny "ö" etapp')
    deleted = simulator.delete(15)
    simulator.restore(deleted[:3])
    simulator.mutate(10)
    return simulator


@pytest.mark.parametrize("hundred", range(10))
def test_a_thousand_random_queries_answer_as_graphql_core_does(simulator: XledgerSimulator, hundred: int) -> None:
    reference = Reference(schema(True), simulator._store)
    for seed in range(hundred * 100, hundred * 100 + 100):
        document, variables = random_document(seed, schema(True), simulator._store)
        rendered = simulator._rendered(Question(document, None, variables), [], simulator.switches)
        expected = reference.answer(document, variables)
        assert json.dumps(json.loads(rendered.body)["data"], ensure_ascii=False) == expected, f"seed {seed}: {document}"
