"""Design section 4, kept by machine: who may import whom, sizes, names, and what never enters the repository."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "postroad"

# Lower in the list is lower in the house; a part imports its own row and those below. `import-linter` keeps this too,
# indirect imports included; here stand the rules that it cannot say.
LAYERS = [
    {"cli", "server"},
    {"app"},
    {"engine", "spark"},
    {"catalog", "project"},
    {"lake", "tracking", "queue", "sdk"},
    {"store", "contract", "mapping"},
    {"records", "status", "telemetry", "wire"},
    {"errors"},
]
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}
BELOW_A_CONNECTOR = {"sdk", "contract", "mapping", "records", "status", "telemetry", "wire", "errors"}
GENERIC_NAMES = {"files", "sql", "http", "rabbitmq"}
# The libraries that only some parts may know.
HOMES = {
    "alembic": {"store"},
    "bson": {"connectors"},
    "deltalake": {"lake"},
    "duckdb": {"lake", "catalog", "app", "cli"},
    "fastapi": {"server"},
    "graphql": {"connectors"},
    "httpx": {"sdk", "connectors"},
    "obstore": {"lake", "sdk", "connectors"},
    "pika": {"connectors", "wire"},
    "psycopg": {"store"},
    "pymongo": {"connectors"},
    "pyspark": {"spark"},
    "python_calamine": {"sdk"},
    "rich": {"cli"},
    "ruamel": {"project"},
    "smtplib": {"engine"},
    "sqlalchemy": {"store", "tracking", "connectors"},
    "typer": {"cli"},
    "xlsxwriter": {"connectors"},
}
# Written with brackets, so that this file does not hold what it forbids.
ADDRESSES = re.compile(
    r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs|repo1?[.]maven|proxy[.]golang|crates[.]io/api|deb[.]debian"
    r"|(?<![\w.])/(?:work|farm|root|home/\w+|Users/\w+)/"
)
MARKERS = re.compile(r"TODO|FIXME|X{3}|NotImplementedError|if testing")


class Module(NamedTuple):
    path: Path
    text: str
    tree: ast.Module

    @property
    def where(self) -> str:
        return str(self.path.relative_to(SRC))

    @property
    def part(self) -> str:
        """The first folder or module under `postroad`; "" for the package itself."""
        return self.path.relative_to(SRC).parts[0].removesuffix(".py").replace("__init__", "")

    def imports(self) -> Iterator[tuple[int, str]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                name = node.module or ""
                # `from postroad import sdk` names a part only in its alias.
                yield from (
                    (node.lineno, f"{name}.{alias.name}" if name == "postroad" else name) for alias in node.names
                )


@functools.cache
def modules() -> list[Module]:
    paths = sorted(SRC.rglob("*.py"))
    return [Module(path, text := path.read_text(), ast.parse(text)) for path in paths]


def tracked() -> Iterator[tuple[str, str]]:
    """Name and text of every text file that is or would be in the repository."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".svg", ".png"}:
            yield name, path.read_text(errors="replace")


def test_imports_flow_one_way() -> None:
    found = []
    for module in modules():
        assert not module.part or module.part in RANK or module.part in {"connectors", "testing", "__main__"}, (
            f"{module.where}: give it a place in LAYERS"
        )
        for line, name in module.imports():
            part = name.split(".")[1] if name.startswith("postroad.") else None
            if part in RANK and RANK[part] < RANK.get(module.part, -1):
                found.append(f"{module.where}:{line} imports {name}")
    assert not found


def test_nothing_imports_a_connector_and_connectors_import_little() -> None:
    found = []
    for module in modules():
        for line, name in module.imports():
            if not name.startswith("postroad."):
                continue
            if module.part != "connectors":
                wrong = name.split(".")[1] == "connectors"
            elif name.split(".")[1] == "connectors":
                own = "postroad." + ".".join(module.path.relative_to(SRC).parts[:2])
                wrong = not f"{name}.".startswith(f"{own}.")
            else:
                wrong = name.split(".")[1] not in BELOW_A_CONNECTOR
            if wrong:
                found.append(f"{module.where}:{line} imports {name}")
    assert not found


def test_libraries_stay_at_home() -> None:
    found = [
        f"{module.where}:{line} imports {name}"
        for module in modules()
        for line, name in module.imports()
        if module.part not in HOMES.get(name.split(".")[0], {module.part})
    ]
    assert not found


def test_delta_tables_are_not_read_through_the_file_system_of_delta_rs() -> None:
    """`DeltaTable.to_pyarrow_*` makes about every second process abort as it exits (deltalake 1.6.6, pyarrow 26)."""
    assert not [module.where for module in modules() if re.search(r"\bto_(pyarrow_\w+|pandas)\(", module.text)]


def test_sizes() -> None:
    found = []
    for module in modules():
        lines = module.text.count("\n")
        if lines > 500:
            found.append(f"{module.where}: {lines} lines")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 60:
                    found.append(f"{module.where}:{node.lineno} {node.name}: {lines} lines")
    assert not found


def test_no_connector_is_named_outside_its_folder() -> None:
    folders = {path.name for path in (SRC / "connectors").iterdir() if path.is_dir() and path.name[0] not in "_."}
    assert folders
    for folder in folders - GENERIC_NAMES:
        word = re.compile(rf"\b{folder}\b", re.IGNORECASE)
        for path in sorted(SRC.rglob("*")):
            inside = path.is_relative_to(SRC / "connectors" / folder)
            if path.is_file() and path.suffix != ".pyc" and not inside:
                assert not word.search(path.stem), path
                assert not word.search(path.read_text()), f"{path.relative_to(SRC)} names {folder}"


def test_one_blind_except_stands_in_the_worker() -> None:
    """A handler that tidies up and ends with a bare `raise` swallows nothing, so it is none."""
    blind = {"Exception", "BaseException"}
    found = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
                    continue
                caught = ast.walk(node.type) if node.type else iter([ast.Name("Exception")])
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"suppress", "contextlib.suppress"}:
                caught = (name for argument in node.args for name in ast.walk(argument))
            else:
                continue
            if any(isinstance(name, ast.Name) and name.id in blind for name in caught):
                found.append(f"{module.where}:{node.lineno}")
    assert len(found) <= 1, found
    assert all(place.startswith("engine/runs.py:") for place in found), found


def test_no_app_of_the_whole_process() -> None:
    """No module makes an App as it is imported, keeps one in a global, or has a cached function hand one out."""
    found = []
    for module in modules():
        found += [
            f"{module.where}:{node.lineno} global" for node in ast.walk(module.tree) if isinstance(node, ast.Global)
        ]
        for statement in module.tree.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr) and statement.value:
                calls = [node for node in ast.walk(statement.value) if isinstance(node, ast.Call)]
                made = [call for call in calls if re.fullmatch(r"(\w+\.)*App(\.\w+)?", ast.unparse(call.func))]
                found += [f"{module.where}:{call.lineno} makes an App" for call in made]
            if isinstance(statement, ast.FunctionDef) and "App" in ast.unparse(statement.returns or ast.Constant(0)):
                cached = [mark for mark in statement.decorator_list if "cache" in ast.unparse(mark)]
                found += [f"{module.where}:{mark.lineno} caches an App" for mark in cached]
    assert not found


def test_public_names() -> None:
    package = importlib.import_module("postroad")
    names: list[str] = package.__all__
    assert names == sorted(set(names))
    assert len(names) <= 15
    for name in names:
        assert getattr(package, name) is not None


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each command by its full name, hidden ones aside."""
    inner: dict[str, Any] = getattr(group, "commands", {})
    for name, command in inner.items():
        if not command.hidden:
            yield from commands(command, f"{path} {name}")
    if not inner:
        yield path, group


def test_commands_and_their_options_are_documented() -> None:
    """docs/cli.md has a heading `postroad NAME` for each command; its section names every option."""
    app = importlib.import_module("postroad.cli").app
    pieces = re.split(r"^#+ +`?(postroad [\w -]+?)`?\s*$", (ROOT / "docs" / "cli.md").read_text(), flags=re.MULTILINE)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    known = dict(commands(typer.main.get_command(app), "postroad"))
    assert sorted(known) == sorted(set(sections) & set(known)), "a command has no section"
    assert set(sections) <= set(known) | {name.rsplit(" ", 1)[0] for name in known}, "a section has no command"
    missing = [
        f"{name} {option}"
        for name, command in known.items()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option != "--help" and option not in sections[name]
    ]
    assert not missing


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['postroad', '--help']\n"
        "from postroad.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'alembic', 'deltalake', 'duckdb', 'httpx', 'pyarrow', 'pydantic', 'sqlalchemy'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_a_run_leaves_an_installed_pandas_alone_and_others_may_use_it() -> None:
    script = (
        "import sys; import pyarrow as pa\n"
        "from postroad.cli.arrow import without_pandas\n"
        "without_pandas(); pa.table({'a': [1]})\n"
        "assert 'pandas' not in sys.modules\n"
        "import pandas\n"
        "assert pa.Table.from_pandas(pandas.DataFrame({'a': [1]})).to_pandas().a[0] == 1"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_locks_hold_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"://|^\s*-(?!-hash)|^-e| @ ", text.replace("--hash", ""), re.MULTILINE)
    packages = re.findall(r"^[\w.-]+==.+?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert packages
    assert all("--hash=sha256:" in package for package in packages)


def test_the_lock_of_node_packages_holds_hashes_and_no_addresses() -> None:
    packages = json.loads((ROOT / "requirements" / "azurite" / "package-lock.json").read_text())["packages"]
    root = packages.pop("")
    assert set(root["dependencies"].values()) == {packages["node_modules/azurite"]["version"]}
    for name, package in packages.items():
        assert package["integrity"].startswith("sha"), name
        assert "resolved" not in package, name


def test_no_registry_hosts_and_no_machine_paths() -> None:
    found = [f"{name}: {hit[0]}" for name, text in tracked() for hit in ADDRESSES.finditer(text)]
    assert not found


def test_no_markers_of_unfinished_work() -> None:
    found = [f"{name}: {hit[0]}" for name, text in tracked() if name[:4] == "src/" for hit in MARKERS.finditer(text)]
    assert not found


def test_each_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    wanted = [*groups, *project["dependency-groups"].values(), project["build-system"]["requires"]]
    names = {re.split(r"[^\w.-]", item)[0] for group in wanted for item in group}
    reasons = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text()
    assert not sorted(name for name in names if f"**{name}**" not in reasons)
