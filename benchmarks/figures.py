"""Figures with their goals: a table for people, a file for machines."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One result. `least` or `most` is the goal, where there is one."""

    name: str
    figure: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def goal(self) -> str | None:
        """The goal as people write it."""
        if self.least is not None:
            return f"at least {self.least:g}"
        return None if self.most is None else f"at most {self.most:g}"

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.least is not None:
            return self.figure >= self.least
        return None if self.most is None else self.figure <= self.most


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table(title=title, title_justify="left")
    for name, side in (("figure", "left"), ("", "right"), ("unit", "left"), ("goal", "left"), ("met", "left")):
        table.add_column(name, justify="right" if side == "right" else "left")
    for each in figures:
        met = {True: "yes", False: "NO", None: ""}[each.met]
        table.add_row(each.name, f"{each.figure:,.4g}", each.unit, each.goal or "", met)
    Console(width=110).print(table)


def write(path: Path, note: str, figures: Sequence[Figure]) -> None:
    """Write the figures with the day and the machine."""
    listed = [
        {
            "name": each.name,
            "figure": float(f"{each.figure:.4g}"),
            "goal": each.goal,
            "unit": each.unit,
            "met": each.met,
        }
        for each in figures
    ]
    told = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "note": note, "figures": listed}
    path.write_text(json.dumps(told, indent=2) + "\n")


def machine() -> dict[str, object]:
    """What the figures depend on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "pyarrow": version("pyarrow"),
        "deltalake": version("deltalake"),
    }
