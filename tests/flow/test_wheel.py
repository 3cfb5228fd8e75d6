"""The built wheel in an empty environment: what a stranger gets who has no clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from postroad.connectors.xledger.entities import EIGHT
from tests.conftest import ROOT, absent

UV = Path(sys.executable).with_name("uv")
REACHES_PACKAGES = dict(os.environ)  # while the tests of this folder are read: when they run, no certificate is left
MIGRATE = (
    "from sqlalchemy import create_engine; from postroad.store.migrations import migrate; "
    "migrate(create_engine('sqlite:///old.db'))"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    _typed([UV, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder, ROOT])
    (built,) = folder.glob("*.whl")
    return built


class Stranger:
    """Somebody with the wheel, its locked requirements and an empty folder, and without anything of ours around."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / "bin"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XLEDGER_"))}
        self.environment = kept | {"PATH": f"{self.bin}:{kept['PATH']}"}

    def type(self, *words: str | Path, folder: str = ".") -> str:
        """The output of one command."""
        return _typed(words, cwd=self.folder / folder, env=self.environment)

    @contextmanager
    def simulator(self) -> Iterator[str]:
        """The simulator as a process of its own; yields its address, which it prints."""
        words = [str(self.bin / "postroad"), "simulate", "xledger", "--port", "0", "--timesheets", "300"]
        process = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.communicate(timeout=20)


@pytest.fixture(scope="module")
def stranger(wheel: Path) -> Iterator[Stranger]:
    """Skipped by name where the packages cannot be had; a wheel that asks for more than is locked fails.

    Beside the checkout, so that uv need not copy half a gigabyte from its cache into memory.
    """
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="stranger-", dir=ROOT / ".cache") as folder:
        yield _with_wheel(Stranger(Path(folder)), wheel)


def _with_wheel(found: Stranger, wheel: Path) -> Stranger:
    python = found.bin / "python"
    _typed([UV, "venv", "--quiet", "--python", sys.executable, found.bin.parent])
    try:
        _install(python, ["--require-hashes", "-r", str(ROOT / "requirements" / "runtime.lock")])
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        absent("the package index", "pip cannot reach it")
    _install(python, ["--no-deps", "--offline", str(wheel)])
    return found


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Schemas, migrations and all else that is no module are in it."""
    listed = _typed(["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/postroad"], cwd=ROOT)
    ours = {name.removeprefix("src/") for name in listed.splitlines() if (ROOT / name).is_file()}
    assert ours <= set(zipfile.ZipFile(wheel).namelist())


def test_its_requirements_are_the_locked_ones(stranger: Stranger) -> None:
    """Nothing is missing, nothing has the wrong version."""
    _typed([UV, "pip", "check", "--quiet", "--python", stranger.bin / "python"])


def test_from_the_wheel_to_a_query(stranger: Stranger) -> None:
    """Init, simulator, run, status and query of all eight as the example's README says, with the wheel's modules."""
    where = stranger.type("python", "-c", "import postroad; print(postroad.__file__)")
    assert Path(where.strip()).is_relative_to(stranger.bin.parent)
    assert "postroad simulate xledger" in stranger.type("postroad", "init", "hours", "--example", "xledger")
    with stranger.simulator() as url:
        stranger.environment["XLEDGER_URL"] = url
        ran = _json(stranger.type("postroad", "run", "--json", folder="hours"))
        again = _json(stranger.type("postroad", "run", "--json", folder="hours"))
        assert {run["status"] for run in [*ran["runs"], *again["runs"]]} == {"succeeded"}
    datasets = _json(stranger.type("postroad", "status", "--json", folder="hours"))["datasets"]
    assert {each["state"] for each in datasets} == {"in step"}
    assert [each["dataset"] for each in datasets] == [f"xledger.{entity.name}" for entity in EIGHT]
    sql = " union all ".join(f"select '{name}' as name, count(*) as n from {name}" for name in ran["datasets"])
    counted = _json(stranger.type("postroad", "query", sql, "--json", folder="hours"))
    assert {each["name"]: each["n"] for each in counted} == {
        name: counts["new"] for name, counts in ran["datasets"].items()
    }
    assert all(each["n"] > 0 for each in counted)


def test_an_old_database_is_migrated_by_what_the_wheel_holds(stranger: Stranger) -> None:
    """Alembic finds its scripts."""
    stranger.type("python", "-c", MIGRATE)
    tables = stranger.type("python", "-c", "import sqlite3; print(sqlite3.connect('old.db').execute("
                                           "'select name from sqlite_master').fetchall())")  # fmt: skip
    assert "alembic_version" in tables
    assert "payloads" in tables


def _install(python: Path, words: list[str]) -> None:
    """With uv; with pip where only pip knows the way to the packages, as in scripts/install."""
    try:
        _typed([UV, "pip", "install", "--quiet", "--python", python, *words], env=REACHES_PACKAGES)
    except subprocess.CalledProcessError:
        if "--offline" in words:
            raise
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-input"]
        _typed([*pip, "--disable-pip-version-check", *words], env=REACHES_PACKAGES)


def _typed(words: Any, **settings: Any) -> str:
    done = subprocess.run(list(map(str, words)), check=False, capture_output=True, text=True, timeout=100, **settings)
    out: str = done.stdout
    if done.returncode:
        print(out, done.stderr)  # pytest shows it
    done.check_returncode()
    return out


def _json(text: str) -> Any:
    return json.loads(text)
