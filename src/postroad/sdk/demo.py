"""What a connector tells `postroad demo`, which knows none: how its system is simulated, and what people do there.

A destination tells how an application behaves that receives what the others read, or how to visit somebody's server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
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
class Sent:
    """A dataset that the demo delivers: its entity, what it is called at the receiver, and its cleaning.

    The application there holds on to the rows of one that is `kept`, and lets none of them be deleted; so exactly one
    row of that is deleted between the two runs. One that is `shared` goes to servers as well.
    """

    entity: str
    name: str
    cleaning: tuple[str, ...] = ()
    kept: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Receiver:
    """A destination's part in the demo, beside its example project: an application on this machine.

    `hold` makes it keep the rows of a target by a rule of its own, `let_go` ends that; both get the project's folder
    and the target's name, and tell what they did in a sentence. `told` tells in a sentence what it is.
    """

    told: str
    hold: Callable[[Path, str], str]
    let_go: Callable[[Path, str], str]


@dataclass(frozen=True)
class Server:
    """A destination's part in the demo, beside its example project: a server that somebody offers by a variable.

    `variable` is the environment variable that names its address, `like` shows one. `refusal` says why what is at an
    address cannot be used, and None where it can. `variables` leads the example there. `made` is what the demo makes
    there, and `drop` removes it again.
    """

    title: str
    variable: str
    like: str
    made: str
    refusal: Callable[[str], str | None]
    variables: Callable[[str], Mapping[str, str]]
    drop: Callable[[str], None]


@dataclass(frozen=True)
class Demo:
    """A connector's part in the demo, beside its example project and its simulator.

    The simulator takes `--port 0` and, once it listens, prints one line that ends with its address.
    `options` are further words for it, `introduction` says what it holds, both for the number of rows that the largest
    dataset shall have; `variables` leads the example to its address. `deeds` are done in this order between the first
    run and the second; no row is touched by two of them, so that a count is what the run must find. Connectors with a
    smaller `place` come first. `sent` goes on to a receiver.
    """

    place: int
    introduction: Callable[[int], str]
    options: Callable[[int], list[str]]
    variables: Callable[[str], Mapping[str, str]]
    deeds: tuple[Deed, ...]
    questions: tuple[Question, ...] = ()
    sent: tuple[Sent, ...] = ()
