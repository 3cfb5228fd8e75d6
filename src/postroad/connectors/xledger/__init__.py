"""Xledger: its records over its GraphQL API. Facts and their sources: the project's fact sheet on Xledger."""

from __future__ import annotations

from postroad.connectors.xledger.demo import DEMO
from postroad.connectors.xledger.example import EXAMPLE
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.sdk.connector import Adopter, Connector, Source, Tools


def _entities(settings: XledgerSettings) -> tuple[str, ...]:
    """The eight that Xledger tells changes of, and those that the project adds."""
    return tuple(each.name for each in settings.declarations)


def _source(settings: XledgerSettings, tools: Tools) -> Source:
    """Opens a connection; imported late, because `--help` needs no Arrow."""
    from postroad.connectors.xledger.source import XledgerSource

    return XledgerSource(settings, tools)


def _adopter(settings: XledgerSettings, tools: Tools) -> Adopter:
    """Opens what takes over the earlier app's files; imported late for the same reason."""
    from postroad.connectors.xledger.adopt import XledgerAdopter

    return XledgerAdopter(settings, tools)


def _simulator(args: list[str]) -> None:
    """Runs the simulator; imported late for the same reason."""
    from postroad.connectors.xledger.simulator import main

    main(args)


connector = Connector(
    name="xledger",
    settings=XledgerSettings,
    entities=_entities,
    source=_source,
    adopter=_adopter,
    simulator=_simulator,
    example=EXAMPLE,
    demo=DEMO,
)
