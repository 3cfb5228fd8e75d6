"""Files in a drop folder or under a blob prefix: each new or changed one is read once."""

from __future__ import annotations

from postroad.connectors.files.example import EXAMPLE
from postroad.connectors.files.settings import FilesSettings
from postroad.sdk.connector import Connector, Source, Tools


def _source(settings: FilesSettings, tools: Tools) -> Source:
    """Opens a connection; imported late, because `--help` needs no Arrow."""
    from postroad.connectors.files.source import FilesSource

    return FilesSource(settings, tools)


connector = Connector(
    name="files",
    settings=FilesSettings,
    entities=lambda settings: tuple(settings.datasets),
    source=_source,
    example=EXAMPLE,
)
