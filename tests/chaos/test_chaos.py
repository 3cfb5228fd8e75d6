"""Real processes, killed with SIGKILL at random moments; after each few kills the law."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.history import History
from tests.chaos.nursery import Nursery

KILLS = {"sqlite": 40, "postgresql": 20}
SEED = int(os.environ.get("POSTROAD_CHAOS_SEED", "20240711"))

Books = tuple[str, str | None]


@pytest.fixture(params=KILLS)
def books(request: pytest.FixtureRequest) -> Books:
    """Where the books are kept, and the address of the server, if there is one."""
    name: str = request.param
    return name, request.getfixturevalue("postgresql_url") if name == "postgresql" else None


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_no_kill_loses_or_repeats_anything(
    books: Books, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    name, server = books
    seed = SEED + (name == "postgresql")
    with Nursery(tmp_path / "dead") as nursery:
        tally = History(nursery, tmp_path, seed, server).run(KILLS[name])
    record_property("table", f"{name}: {tally.table(seed)}")
    assert tally.counted >= KILLS[name]
    assert tally.everywhere


@pytest.mark.soak
def test_thousands_of_kills_lose_or_repeat_nothing(books: Books, tmp_path: Path) -> None:
    name, server = books
    kills = int(os.environ.get("POSTROAD_SOAK_KILLS", "2000")) * KILLS[name] // sum(KILLS.values())
    seed = int(os.environ.get("POSTROAD_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    print(f"\nsoak of {kills:,} kills, books on {name}, POSTROAD_CHAOS_SEED={seed}", flush=True)
    with Nursery(tmp_path / "dead") as nursery:
        tally = History(nursery, tmp_path, seed, server).run(kills)
    print(tally.table(seed))
