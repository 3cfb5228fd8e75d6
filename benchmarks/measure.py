"""Whole processes, measured by what the kernel says of them when they end."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

MEMORY = 300.0  # MiB, the goal for one feed


@dataclass(frozen=True)
class Usage:
    """Seconds on the clock, seconds of processor time, peak memory in MiB (`ru_maxrss`), and what it printed.

    Time and memory include the children that the process waited for; memory is that of the largest of them, and not
    less than the benchmark's own peak, which the kernel hands on to whom it starts: so the benchmark imports no Arrow.
    """

    wall: float
    cpu: float
    peak: float
    told: Any


def measured(command: Sequence[str], environment: Mapping[str, str], core: int | None) -> Usage:
    """Run a command on one core and measure it; RuntimeError if it fails.

    Its output, or the last line of it, is read as JSON.
    """
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(environment)) as process:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {b' | '.join(lines[-5:])!r}")
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, _told(lines))


def middle(usages: Sequence[Usage], name: str) -> float:
    """The median of one measure."""
    return float(median(getattr(usage, name) for usage in usages))


def _told(lines: Sequence[bytes]) -> Any:
    for part in (lines, lines[-1:]):
        with suppress(ValueError):
            return json.loads(b"".join(part))
    return None
