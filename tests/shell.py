"""The command line as a person types it, in this process."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from postroad.cli import main


class Shell:
    """Types commands in a project's folder. In this process, because a new one costs seconds of imports."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        self.folder = folder
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str, code: int = 0) -> str:
        """The output of one command, which must end with that exit code."""
        out, told = self._type(words, code)
        return out + told

    def json(self, *words: str, code: int = 0) -> Any:
        """The answer of one command as JSON, which must be all that stands on standard output."""
        return json.loads(self._type([*words, "--json"], code)[0])

    def _type(self, words: Sequence[str], code: int) -> tuple[str, str]:
        self._monkeypatch.setattr(sys, "argv", ["postroad", *words])
        out, told = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(told), pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == code, (words, ended.value.code, out.getvalue(), told.getvalue())
        return out.getvalue(), told.getvalue()
