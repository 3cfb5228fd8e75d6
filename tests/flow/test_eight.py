"""All entities of one connection in one project, over a socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroad.connectors.xledger.entities import EIGHT
from tests.flow.office import Office

NAMES = [each.name for each in EIGHT]


@pytest.mark.parametrize("reference", ["null", "mixed"])
def test_all_entities_are_equal_and_a_quiet_hour_is_one_call(tmp_path: Path, reference: str) -> None:
    """In every column, references too; again after something changed, came and went; then one document asks.

    Wide tables too, whose `_version` is behind the first 32 columns.
    """
    with Office(tmp_path, null_reference=reference) as office:
        office.entities = NAMES
        assert office.run().exit_code == 0
        for name in NAMES:
            office.sim.mutate(3, entity=name)
            office.sim.add(2, entity=name)
        office.sim.delete(3)
        asked = len(office.sim.requests)
        assert office.run().exit_code == 0
        assert len(office.sim.requests) == asked + 1
        for name in NAMES:
            office.assert_equal(name)
        office.wait(hours=1)
        assert office.run().exit_code == 0
        assert len(office.sim.requests) == asked + 2
