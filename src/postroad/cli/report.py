"""How work is shown: a progress bar on a terminal, plain lines elsewhere, JSON lines on request."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from postroad.telemetry import Stage

EVERY = 5.0  # seconds between plain lines of progress


class Reporter:
    """Tells a person on standard error how the work goes on; standard output is left to the answer."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self._verbose = verbose
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,} rows, {task.fields[stage]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=verbose or quiet or not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._rows: dict[str, int] = {}
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._bars.stop()

    def stage(self, stage: Stage, dataset: str) -> None:
        """A stage begins."""
        if self._verbose:
            _log({"event": "stage", "stage": stage.value, "dataset": dataset, "at": round(time.time(), 3)})
        elif dataset in self._tasks:
            self._bars.update(self._tasks[dataset], stage=stage.value)

    def progress(self, dataset: str, rows: int, size: int) -> None:
        """So many more rows were read."""
        self._rows[dataset] = self._rows.get(dataset, 0) + rows
        if not rows:
            return
        if dataset not in self._tasks:
            self._tasks[dataset] = self._bars.add_task(dataset, total=None, stage="")
        self._bars.advance(self._tasks[dataset], rows)
        if self._bars.disable and not self._quiet and not self._verbose and time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            self.say(f"{dataset}: {self._rows[dataset]:,} rows")

    def say(self, sentence: str) -> None:
        """Something that a person should know."""
        if self._verbose:
            _log({"event": "note", "sentence": sentence})
        elif not self._quiet:
            self._console.print(sentence, markup=False, soft_wrap=True)


def _log(line: dict[str, Any]) -> None:
    """In one piece: `print` writes the end of the line by itself, and another thread's line may come between."""
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()
