"""A nursery of victims: one process that imported what the first of them needed, and forks one for each order it reads.

So a victim is a real process with a life of its own, without seconds of imports. Nothing that does not survive a fork
runs in here: no thread of Python, no runtime of delta-rs, no database. Orders and answers are lines of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

SHORTEST, LONGEST = 0.002, 0.02  # what a pause of the product is cut to in a rehearsal of faults
LEARNT = Path(tempfile.gettempdir()) / "modules.json"


def main() -> None:
    """Fork a victim for each order; bury it when told, so that its process id is not given to anyone before."""
    learnt = False
    while order := sys.stdin.readline():
        if not learnt and LEARNT.exists():
            learnt = True
            for name in json.loads(LEARNT.read_text()):
                with suppress(Exception):  # Alembic's scripts, for one, are modules of no package.
                    import_module(name)
        assert threading.active_count() == 1
        pid = os.fork()
        if pid == 0:
            live(json.loads(order))
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        tell({"event": "dead", "pid": pid})
        sys.stdin.readline()
        _, status = os.waitpid(pid, 0)
        tell({"event": "buried", "code": os.waitstatus_to_exitcode(status)})


def live(order: dict[str, Any]) -> None:
    """The life of a victim: its lines go to the nursery's output, and it never returns into the nursery's code."""
    code = 70
    try:
        os.dup2(1, 2)
        tell({"event": "born", "pid": os.getpid()})
        if "lease" in order:
            shorten(order["lease"])
        code = command(order["command"]) if "command" in order else rehearse(**order["rehearse"])
        if code == 0 and not LEARNT.exists():
            LEARNT.write_text(json.dumps(list(sys.modules)))
    except BaseException as error:  # noqa: BLE001  the killer wants to know what went wrong
        tell({"event": "crash", "error": repr(error)})
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def shorten(lease: float) -> None:
    """Messages are held for so many seconds instead of a minute, unless renewed, and so is a database's writer."""
    from postroad.engine.heart import Heart

    values = {
        "tracking.queue.LEASE": int(lease * 1e6),
        "engine.brokered.UNTAKEN": int(lease * 1e6),
        "store.database.FROZEN": int(lease * 1e3),
        "app.app.Heart": partial(Heart, lease / 4),
    }
    for place, value in values.items():
        module, _, name = place.rpartition(".")
        setattr(import_module(f"postroad.{module}"), name, value)


def command(words: list[str]) -> int:
    """The real command line, as a person types it."""
    from postroad.cli import main as postroad

    sys.argv = ["postroad", *words]
    try:
        postroad()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    return 0


def rehearse(folder: str, select: str | None = None, full_refresh: bool = False, limit: int | None = None) -> int:
    """The same run with short pauses between tries, for rounds in which the remote system misbehaves."""
    from postroad.app import App
    from postroad.cli.report import Reporter
    from postroad.project import load_project

    project = load_project(Path(folder))
    with Reporter(verbose=True) as reporter, App(project, reporter=reporter, sleep=briefly) as app:
        report = app.runs.start(select, full_refresh=full_refresh, limit=limit)
    for outcome in report.outcomes:
        tell({"event": "outcome", "feed": outcome.feed, "status": outcome.status, "reason": outcome.reason})
    return report.exit_code


def briefly(seconds: float) -> None:
    """A pause, cut short."""
    time.sleep(min(max(seconds, SHORTEST), LONGEST))


def tell(line: dict[str, Any]) -> None:
    """One line in one piece, for a pipe takes it so; the line before it may lack its end, if a dead one wrote it."""
    os.write(1, b"\n" + json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    main()
