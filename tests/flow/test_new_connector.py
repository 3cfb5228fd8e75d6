"""CONTRIBUTING, "Adding a connector": one folder, found by its name in the tree or by an entry point outside it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from postroad.connectors.excel_link import connector
from postroad.connectors.excel_link.simulator import ExcelLinkSimulator
from postroad.connectors.excel_link.simulator.addresses import DEFAULT_PORT

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "postroad"
OLD, NEW = connector.name, "acme_ledger"
PYPROJECT = "pyproject.toml"


def copied(to: Path, package: str) -> None:
    """The connector's folder under another name, as somebody would begin one."""
    shutil.copytree(SRC / "connectors" / OLD, to, ignore=shutil.ignore_patterns("__pycache__"))
    for path in to.rglob("*.py"):
        text = path.read_text().replace(f"postroad.connectors.{OLD}", package)
        path.write_text(re.sub(rf"\b{OLD}\b", NEW, text))


def run(words: Sequence[object], folder: Path, path: Path) -> str:
    """The output of a process of its own that ends well, with that folder before others on its path."""
    before = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{before}"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What an installed distribution leaves in site-packages: its package, and metadata with one entry point."""
    site = tmp_path / "site"
    copied(site / NEW, NEW)
    info = site / f"{NEW}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NEW}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[postroad.connectors]\n{NEW} = {NEW}:connector\n")
    return site


@pytest.fixture
def links() -> Iterator[ExcelLinkSimulator]:
    """The remote system."""
    with ExcelLinkSimulator(seed=1) as server:
        yield server


def test_a_connector_of_another_distribution_syncs_by_its_entry_point_alone(
    tmp_path: Path, site: Path, links: ExcelLinkSimulator
) -> None:
    def postroad(*words: str) -> str:
        return run(["-m", "postroad", *words], tmp_path / "ledger", site)

    (tmp_path / "ledger").mkdir()
    postroad("init", ".", "--example", NEW)
    env = tmp_path / "ledger" / ".env"
    env.write_text(env.read_text().replace(f"http://127.0.0.1:{DEFAULT_PORT}", links.base_url))
    assert f"connector: {NEW}" in (tmp_path / "ledger" / "postroad.yaml").read_text()
    ran = json.loads(postroad("run", "links.employee_groups", "--json"))
    assert {each["status"] for each in ran["runs"]} == {"succeeded"}
    counted: list[dict[str, Any]] = json.loads(
        postroad("query", "select count(*) as n from links.employee_groups", "--json")
    )
    assert counted == [{"n": len(links.rows("employee_groups"))}]
    assert "usage" in postroad("simulate", NEW, "--help")


def test_a_folder_in_the_tree_is_all_that_is_added(tmp_path: Path) -> None:
    """In a copy of the tree without ours it is found by its folder's name, and the rules of the house hold."""
    others = [path.name for path in (SRC / "connectors").iterdir() if path.is_dir()]  # for the sake of time
    shutil.copytree(SRC, tmp_path / "src" / "postroad", ignore=shutil.ignore_patterns("__pycache__", *others))
    copied(tmp_path / "src" / "postroad" / "connectors" / NEW, f"postroad.connectors.{NEW}")
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / PYPROJECT).write_text((ROOT / PYPROJECT).read_text())
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    shutil.copy(ROOT / "tests" / "unit" / "test_architecture.py", tmp_path / "tests" / "unit")
    found = run(["-c", f"from postroad.sdk.registry import load_connector as l; print(l('{NEW}').name)"], tmp_path,
                tmp_path / "src")  # fmt: skip
    assert found.strip() == NEW
    rules = "imports_flow or import_little or stay_at_home or sizes or named_outside or blind or whole_process"
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "tests/unit/test_architecture.py"]
    told = run([*words, "-k", rules], tmp_path, tmp_path / "src")
    assert "7 passed" in told
