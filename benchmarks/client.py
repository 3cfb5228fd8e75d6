"""One run of ours, as a process of its own: `python -m benchmarks.client FOLDER URL [full]`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.server import PAGE, TOKEN_VARIABLE


def main(folder: str, url: str, *options: str) -> None:
    """Sync all timesheets; prints what the run counted. The burst limit is the simulator's, and it has none."""
    from postroad import App, Connection, Project, Sync
    from postroad.connectors.xledger.settings import XledgerSettings
    from postroad.sdk.secrets import Secret

    token = Secret.literal(os.environ[TOKEN_VARIABLE])
    settings = XledgerSettings(url=url, token=token, page_size=PAGE, burst=1_000)
    connections = {"xledger": Connection("xledger", "xledger", settings)}
    project = Project("bench", Path(folder), connections=connections, syncs=(Sync("xledger", ("timesheets",)),))
    with App(project) as app:
        report = app.runs.start(full_refresh="full" in options)
    if report.exit_code:
        raise SystemExit(f"the run failed: {report.outcomes}")
    print(json.dumps(report.counts["xledger.timesheets"].as_dict()))


if __name__ == "__main__":
    main(*sys.argv[1:])
