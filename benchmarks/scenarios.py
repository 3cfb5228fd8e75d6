"""What is measured, each as a process of its own against one simulator."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Usage, measured
from benchmarks.server import PAGE, TOKEN_VARIABLE, Server, serving

HERE = Path(__file__).parent
POSTROAD = str(Path(sys.executable).with_name("postroad"))
# The burst limit is the simulator's, and here it has none.
PROJECT = """project: bench
lake: ./lake
database: sqlite:///postroad.db
connections:
  xledger: {{connector: xledger, url: "{url}", token: secret://{variable}, page_size: {page}, burst: 1000}}
"""
FLOW = """sync:
  - {{from: xledger, entities: [{entities}]}}
"""
TIMESHEETS = ("timesheets",)
HEAVY = """
import contextlib, io, json, sys
from postroad.cli import main
sys.argv = ["postroad", "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main()
print(json.dumps([name for name in ("pyarrow", "duckdb", "sqlalchemy", "pydantic") if name in sys.modules]))
"""


@dataclass(frozen=True)
class Scenario:
    """A simulator and a folder to work in."""

    server: Server
    folder: Path
    environment: dict[str, str]
    core: int | None

    def floor(self) -> Usage:
        """The least work."""
        return self._floor()

    def fetching(self) -> Usage:
        """The same bytes, fetched and dropped."""
        return self._floor("--drop")

    def first_load(self, entities: Sequence[str] = TIMESHEETS, *options: str) -> Usage:
        """Ours, into an empty folder."""
        shutil.rmtree(self.project, ignore_errors=True)
        self.lay_project(entities)
        return self._postroad("run", *options)

    def changes(self) -> Usage:
        """Ours, every hour's run: what changed since the last one. Tells what `run --json` tells."""
        return self._postroad("run", "--json")

    def refresh(self) -> Usage:
        """Ours, a second full refresh with its comparison."""
        return self._postroad("run", "--full-refresh")

    def start(self) -> Usage:
        """What a process of ours costs that opens the project and asks no remote system."""
        return self._postroad("run", "--dry-run")

    def shares(self) -> Usage:
        """A first load that times its own landing, transactions and fsyncs."""
        shutil.rmtree(self.project, ignore_errors=True)
        self.lay_project()
        return self._run(sys.executable, "-m", "benchmarks.shares", str(self.project))

    def lay_project(self, entities: Sequence[str] = TIMESHEETS) -> None:
        """Write the project's files, for this server."""
        flow = self.project / "flows" / "hours.yaml"
        flow.parent.mkdir(parents=True, exist_ok=True)
        flow.write_text(FLOW.format(entities=", ".join(entities)))
        settings = PROJECT.format(url=self.server.url, variable=TOKEN_VARIABLE, page=PAGE)
        (self.project / "postroad.yaml").write_text(settings)

    @property
    def project(self) -> Path:
        """Where our project lies."""
        return self.folder / "project"

    def _postroad(self, *arguments: str) -> Usage:
        return self._run(POSTROAD, *arguments, "--project", str(self.project))

    def _floor(self, *options: str) -> Usage:
        folder = self.folder / "floor"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        queries = folder / "queries.json"
        queries.write_text(json.dumps(self.server.queries))
        script = str(HERE / "floor.py")
        return self._run(sys.executable, script, self.server.url, str(folder), TOKEN_VARIABLE, str(queries), *options)

    def _run(self, *arguments: str) -> Usage:
        environment = {**self.environment, TOKEN_VARIABLE: self.server.token}
        return measured(arguments, environment, self.core)


@contextmanager
def opened(
    rows: int,
    folder: Path,
    environment: dict[str, str],
    *,
    sizes: Mapping[str, int] | None = None,
    rendered: bool = True,
) -> Iterator[Scenario]:
    """A simulator of that size on one core, and the other core for the client; `sizes` of entities but timesheets."""
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
    with serving(rows, theirs, sizes=sizes, rendered=rendered) as server:
        yield Scenario(server, folder, environment, ours)


def compiled(folder: Path) -> dict[str, str]:
    """An environment in which modules are compiled once, as in any installation, whatever this machine's custom is."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**ours, "PYTHONPYCACHEPREFIX": str(folder)}
