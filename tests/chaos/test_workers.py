"""Workers that share the messages of a broker, and the servers that they need, killed and started again."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.nursery import Nursery
from tests.chaos.office import Office, opened
from tests.chaos.test_chaos import SEED
from tests.flow.post import small_messages

AGAIN = ("kill", "kill both", "books")  # besides one of each


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    small_messages(monkeypatch, 1)
    with Nursery(tmp_path / "dead") as nursery, opened(nursery, random.Random(SEED)) as made:
        yield made


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_no_kill_of_a_worker_or_a_server_loses_or_brings_back_anything(
    office: Office, record_property: Callable[[str, object], None]
) -> None:
    acts = [*office.acts, *AGAIN]
    office.draw.shuffle(acts)
    _live_through(office, acts)
    record_property("table", f"while a worker held a message of a broker (seed {SEED}): {dict(office.struck)}")
    assert office.struck.keys() == office.acts.keys()
    assert office.struck["kill"] + office.struck["kill both"] > 0
    assert any(office.struck[each] for each in ("books", "broker", "receiver"))


@pytest.mark.soak
def test_thousands_of_kills_of_workers_and_servers(office: Office) -> None:
    rounds, began = int(os.environ.get("POSTROAD_SOAK_KILLS", "2000")) // 10, time.monotonic()
    _live_through(office, office.draw.choices([*office.acts], k=rounds))
    print(
        f"\n{rounds} rounds in {time.monotonic() - began:,.0f} s, while a worker held a message: {dict(office.struck)}"
    )


def _live_through(office: Office, acts: list[str]) -> None:
    for number, act in enumerate(acts, 1):
        office.round(act)
        if number % 8 == 0 or number == len(acts):
            office.finish()
            office.assert_law()
