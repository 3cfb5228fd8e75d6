"""Victims from the killer's side: born on order, watched by the lines that they write, killed, buried."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from postroad.telemetry import Stage
from tests.conftest import certificate_in

STAGE = re.compile(r'"event": "stage", "stage": "(\w+)", "dataset": "([^"]+)"')
PATIENCE = 60.0  # seconds without a line after which something is wrong


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal: one that is still starting has none."""
    caught = re.findall(r"SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())[0]
    return bool(int(caught, 16) >> (number - 1) & 1)


class Named(NamedTuple):
    """A stage that a victim named, of which dataset or feed, and the time at which we heard of it."""

    at: float
    stage: Stage
    dataset: str

    @property
    def linked(self) -> bool:
        """Whether it is work on a link."""
        return self.dataset.startswith("links.")


class Life:
    """One victim. `stages` are those that it named so far."""

    def __init__(self, lines: queue.Queue[str], nursery: Nursery) -> None:
        self._lines = lines
        self._nursery = nursery
        self.stages: list[Named] = []
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.dead = False
        self.code: int | None = None
        self.pid = int(self._await("born")["pid"])

    def watch(self) -> Iterator[Named]:
        """The stages as they are named, until it is dead."""
        while not self.dead:
            yield from self._hear()

    def kill(self) -> None:
        """SIGKILL; its process id cannot be anyone else's before it is buried."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGSTOP: it does not know that time passes."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE
        while Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.001)

    @property
    def gone(self) -> bool:
        """Whether it is dead, heard or not; it is not buried."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def bury(self) -> int:
        """Hear what it said last; its exit code, negative for a signal."""
        for _ in self.watch():
            pass
        self._nursery.order({})
        self.code = int(self._await("buried")["code"])
        return self.code

    @property
    def last_stage(self) -> Named | None:
        """The stage that it named last."""
        return self.stages[-1] if self.stages else None

    @property
    def notes(self) -> str:
        """What a person should know, one sentence after the other."""
        return "\n".join(each["sentence"] for each in self.events if each["event"] == "note")

    def told(self) -> str:
        """What it said that was no event: a traceback, a closing table."""
        return "\n".join(self.said[-40:])

    def _await(self, event: str) -> dict[str, Any]:
        while True:
            for _ in self._hear():
                pass
            found = next((each for each in self.events if each["event"] == event), None)
            if found is not None:
                return found

    def _hear(self) -> Iterator[Named]:
        """One line. Two threads of the victim may have written into one, so stages are looked for anywhere in it."""
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise TimeoutError(f"a victim says nothing since {PATIENCE:g} s; before: {self.told()}") from None
        now = time.monotonic()
        named = [Named(now, Stage(stage), dataset) for stage, dataset in STAGE.findall(line)]
        self.stages += named
        if not named:
            self._note(line)
        yield from named

    def _note(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "event" in event:
            self.events.append(event)
            self.dead = self.dead or event["event"] == "dead"
        elif line:
            self.said.append(line)


class Nursery:
    """The process that forks victims, one at a time; a context manager. Temporary files of the dead lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # OpenBLAS starts threads at import, and only those of jemalloc are known to survive a fork.
        env = {**os.environ, "TMPDIR": str(folder), "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
        # To read a machine's certificates takes each life a twentieth of its time, and nothing here is over TLS.
        env["SSL_CERT_FILE"] = str(certificate_in(folder))
        root = str(Path(__file__).resolve().parents[2])
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("victim.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=root,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="nursery", daemon=True)
        self._reader.start()

    def twin(self) -> Nursery:
        """Another one, which knows what this one learns before its own first order."""
        return Nursery(self._folder)

    def bear(self, order: Mapping[str, Any]) -> Life:
        """A new victim, which begins at once."""
        self.order(order)
        return Life(self._lines, self)

    def order(self, order: Mapping[str, Any]) -> None:
        """One line to the nursery."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """It bears no more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self._process.stdout.close()
