"""Types the commands of a page anew and puts what they print into it: `scripts/refresh_docs.py docs/tutorial.md …`.

In a block marked `console` the lines that begin with `$ ` are typed and the rest is replaced; `<!-- run: … -->` is
typed and not shown; a block of Python under `<!-- python -->` is run, and the `text` block after it replaced. Each page
has a folder and a simulator of its own, on the simulator's usual port, which has to be free.
"""  # noqa: INP001 - a script, not a module

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent
PORT = 8765
END = "end-of-output-7c1f"
KILLED = re.compile(r"bash: line \d+: +\d+ Killed .*")


class Shell:
    """A bash that keeps its folder and variables from command to command."""

    def __init__(self, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XLEDGER_")}
        self._folder = str(folder.resolve())
        self._bash = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=kept | {"PATH": f"{BIN}:{kept['PATH']}", "COLUMNS": "100"},
        )

    def type(self, command: str) -> list[str]:
        """The lines that a command prints."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{command}\necho\necho {END}\n")
        self._bash.stdin.flush()
        lines = [line.rstrip() for line in iter(self._bash.stdout.readline, f"{END}\n")]
        while lines and not lines[-1]:
            lines.pop()
        return [KILLED.sub("Killed", line.replace(self._folder, "…")) for line in lines]

    def close(self) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait()


def refreshed(lines: Iterator[str], shell: Shell, folder: Path) -> Iterator[str]:
    for line in lines:
        yield line
        if hidden := re.fullmatch(r"<!-- run: (.*) -->", line):
            shell.type(hidden[1])
        elif line == "<!-- python -->":
            yield from _python(lines, shell, folder)
        elif line == "```console":
            yield from _console(lines, shell)


def _console(lines: Iterator[str], shell: Shell) -> Iterator[str]:
    for line in _block(lines):
        if line.startswith("$ "):
            yield line
            yield from shell.type(line.removeprefix("$ "))
    yield "```"


def _python(lines: Iterator[str], shell: Shell, folder: Path) -> Iterator[str]:
    yield next(lines)
    code = list(_block(lines))
    yield from [*code, "```", next(lines)]
    snippet = folder / "snippet.py"
    snippet.write_text("\n".join(code))
    yield next(lines)
    list(_block(lines))
    yield from [*shell.type(f"python {snippet}"), "```"]


def _block(lines: Iterator[str]) -> Iterator[str]:
    return iter(lambda: next(lines), "```")


@contextmanager
def simulator() -> Iterator[None]:
    process = subprocess.Popen([BIN / "postroad", "simulate", "xledger"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with socket.create_connection(("127.0.0.1", PORT)):
            yield
    finally:
        process.terminate()
        process.wait()


def main(pages: list[str]) -> None:
    for page in map(Path, pages):
        with tempfile.TemporaryDirectory() as name, simulator():
            shell = Shell(Path(name))
            began = time.monotonic()
            text = "\n".join(refreshed(iter(page.read_text().split("\n")), shell, Path(name).resolve()))
            shell.close()
        page.write_text(text)
        print(f"{page}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
