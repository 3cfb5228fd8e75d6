"""Real processes, killed with SIGKILL at random moments; after each few kills the law."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.history import History
from tests.chaos.nursery import Nursery

KILLS = 60
SEED = int(os.environ.get("POSTROAD_CHAOS_SEED", "20240711"))


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_no_kill_loses_or_repeats_anything(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    with Nursery(tmp_path / "dead") as nursery:
        tally = History(nursery, tmp_path, SEED).run(KILLS)
    record_property("table", tally.table(SEED))
    assert tally.counted >= KILLS
    assert tally.everywhere


@pytest.mark.soak
def test_thousands_of_kills_lose_or_repeat_nothing(tmp_path: Path) -> None:
    kills = int(os.environ.get("POSTROAD_SOAK_KILLS", "2000"))
    seed = int(os.environ.get("POSTROAD_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    print(f"\nsoak of {kills:,} kills, POSTROAD_CHAOS_SEED={seed}", flush=True)
    with Nursery(tmp_path / "dead") as nursery:
        tally = History(nursery, tmp_path, seed).run(kills)
    print(tally.table(seed))
