"""The published schemas are current, and agree with what loading accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from postroad.errors import ConfigError
from postroad.project import load_project
from postroad.project.nodes import Notes
from postroad.project.reading import read_yaml
from postroad.project.schema import environment_schema, flow_schema, main, project_schema, schemas
from postroad.sdk import registry
from tests.unit.project.conftest import EXAMPLE
from tests.unit.project.test_mistakes import FLOW_MISTAKES, HEAD

Write = Callable[[Mapping[str, str]], Path]

ROOT = Path(__file__).parents[3]
# What a schema cannot know: names that refer to something, and what only loading sees.
BEYOND = {
    "unknown-connection", "unknown-entity", "repeated-entity", "unset-variable", "bad-variable", "bad-secret",
    "bad-yaml", "duplicate-key", "broken-connector",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _only_sound_connectors(monkeypatch: pytest.MonkeyPatch, fake_registry: None) -> None:
    monkeypatch.setattr(registry, "connector_names", lambda: ["fake"])


def plain(text: str) -> Any:
    node = read_yaml(text.encode(), "f", Notes())
    return node.plain() if node else None


def valid(schema: dict[str, Any], text: str) -> bool:
    Draft202012Validator.check_schema(schema)
    return bool(Draft202012Validator(schema).is_valid(plain(text)))


def test_examples_and_variables_are_valid() -> None:
    assert valid(project_schema(), EXAMPLE["postroad.yaml"])
    assert valid(flow_schema(), EXAMPLE["flows/hours.yaml"])
    assert valid(
        project_schema(), HEAD + "    page_size: $PORT\n    strict: ${STRICT}\n    login: {user: x, password: y}\n"
    )
    assert valid(environment_schema(), "protected: true\nconnections:\n  erp: {url: https://prod}\n")
    assert valid(environment_schema(), "{}")
    assert valid(project_schema(), "project: acme\nlake: {url: az://acme-dev, account: $ACCOUNT, key: secret://KEY}\n")
    assert valid(environment_schema(), "lake: {account: other}\n")
    assert valid(project_schema(), "project: acme\nnotify: {to: mailto://a@acme.example}\n")
    assert valid(environment_schema(), "notify: {smtp: {port: 2525}}\n")
    assert valid(environment_schema(), "notify: null\n")


@pytest.mark.parametrize(
    "text",
    [
        "lake: x\n",
        "project: my project\n",
        "project: acme\nlakee: x\n",
        "project: acme\nlake: [x]\n",
        "project: acme\nlake: {account: abc}\n",
        "project: acme\nlake: {url: az://container, acount: abc}\n",
        "project: acme\nnotify: {}\n",
        "project: acme\nnotify: {to: nobody}\n",
        "project: acme\nnotify: {to: a@b, smtp: {hots: mail}}\n",
        "project: acme\nconnections:\n  erp: {url: http://x}\n",
        "project: acme\nconnections:\n  erp: {connector: fak}\n",
        "project: acme\nconnections:\n  my erp: {connector: fake, url: http://x}\n",
        HEAD + "    page_size: 0\n",
        HEAD + "    page_size: many\n",
        HEAD + "    owner_set: MIN\n",
        HEAD + "    token: 12\n",
        HEAD + "    login: {user: x}\n",
        HEAD + "    tokn: x\n",
    ],
)
def test_what_loading_refuses_the_schema_refuses(write: Write, text: str) -> None:
    assert not valid(project_schema(), text)
    with pytest.raises(ConfigError):
        load_project(write({"postroad.yaml": text}))


@pytest.mark.parametrize(("text", "expected"), FLOW_MISTAKES)
def test_what_flows_refuse_the_schema_refuses(text: str, expected: list[tuple[str, int, int]]) -> None:
    codes = {code for code, _line, _column in expected}
    if codes - BEYOND and "101%" not in text:
        assert not valid(flow_schema(), text)


def test_an_environment_is_no_place_for_unknown_keys() -> None:
    assert not valid(environment_schema(), "lakee: x\n")


class TestInstalled:
    """With the connectors that are really installed."""

    @pytest.fixture(autouse=True)
    def _installed(self, monkeypatch: pytest.MonkeyPatch, _only_sound_connectors: None) -> None:
        monkeypatch.undo()

    def test_the_committed_schemas_are_current(self) -> None:
        committed = {path.name: path.read_text("utf-8") for path in (ROOT / "docs/schema").glob("*.json")}
        assert committed == schemas(), "run: python -m postroad.project.schema"

    def test_every_example_is_valid(self) -> None:
        for name in registry.connector_names():
            for file, text in registry.load_connector(name).example.items():
                if file == "postroad.yaml":
                    assert valid(project_schema(), text)
                elif file.startswith("flows/"):
                    assert valid(flow_schema(), text)

    def test_writing_is_repeatable(self, tmp_path: Path) -> None:
        main(tmp_path)
        main(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(schemas())
