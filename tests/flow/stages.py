"""Worlds that many examples begin with: sockets that stay, and a lake that was loaded once and is copied."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.flow.harness import Servers, World

NIGHT_OF_TWO_HOURS = 1_792_886_400.0  # 2026-10-25 00:00 UTC: an hour later the clocks of Oslo go back
SIZE, PAGE = 50, 20


@dataclass(frozen=True)
class Cast:
    """Which datasets take part."""

    entities: Sequence[str] = ()
    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Stage:
    """Where the examples of one cast are played."""

    cast: Cast
    folder: Path
    servers: Servers = field(default_factory=Servers)
    now: float = 0.0

    def world(
        self,
        folder: Path,
        *,
        now: float = NIGHT_OF_TWO_HOURS,
        size: int = SIZE,
        page_size: int = PAGE,
        **switches: Any,
    ) -> World:
        """A new world with these sources."""
        cast = self.cast
        return World(
            folder,
            timesheets=size,
            sizes={"projects": 12, "customers": 12},
            page_size=page_size,
            now=now,
            settings=dict(cast.settings),
            entities=cast.entities,
            tables=cast.tables,
            servers=self.servers,
            **switches,
        )

    def loaded(self, folder: Path, page_size: int = PAGE) -> World:
        """A world whose lake was loaded from sources just like its own."""
        if not self.now:
            self._load()
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return self.world(folder, now=self.now, page_size=page_size)

    def _load(self) -> None:
        with self.world(self.folder) as world:
            report = world.sync()
            assert report is not None
            assert report.exit_code == 0
            self.now = world.now
