"""What a connector tells `postroad demo`, which knows none: how its system is simulated, and what people do there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Deed:
    """Rows of an entity that somebody adds, changes or deletes, by one call of the simulator's control API."""

    entity: str
    what: Literal["new", "changed", "deleted"]
    rows: int
    call: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """A query that the demo asks at the end: what it tells, in a sentence, and its SQL."""

    sentence: str
    sql: str


@dataclass(frozen=True)
class Demo:
    """A connector's part in the demo, beside its example project and its simulator.

    The simulator takes `--port 0` and, once it listens, prints one line that ends with its address.
    `options` are further words for it, `introduction` says what it holds, both for the number of rows that the largest
    dataset shall have; `variables` leads the example to its address. `deeds` are done in this order between the first
    run and the second; no row is touched by two of them, so that a count is what the run must find. Connectors with a
    smaller `place` come first.
    """

    place: int
    introduction: Callable[[int], str]
    options: Callable[[int], list[str]]
    variables: Callable[[str], Mapping[str, str]]
    deeds: tuple[Deed, ...]
    questions: tuple[Question, ...] = ()
