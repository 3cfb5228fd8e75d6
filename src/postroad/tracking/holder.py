"""Who holds a claim: a process on a host, told apart from every other one that ever ran there."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _boot() -> str:
    source = Path("/proc/sys/kernel/random/boot_id")
    return source.read_text().strip() if source.exists() else ""


def _started(pid: int) -> str | None:
    """When the process was started, in the kernel's ticks; None if there is none, empty if the system cannot tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else ""
    # A zombie holds nothing any more: it waits for its parent to take note of its death.
    return None if fields[0] == "Z" else fields[19]


def this_process() -> dict[str, Any]:
    """The identity of this process as it is stored with a claim."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "started": _started(pid) or ""}


def proven_dead(holder: dict[str, Any] | None) -> bool:
    """True only if the holder ran on this host and certainly runs no more (run_engine.md, rule 3)."""
    if not holder or holder["host"] != socket.gethostname():
        return False
    if holder["boot"] != _boot():
        return bool(holder["boot"])
    started = _started(holder["pid"])
    return started is None or bool(started and holder["started"] and started != holder["started"])
