"""A connector of our own under the registry's functions, and a folder to write projects into."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from postroad.errors import ConfigError
from postroad.sdk import registry
from postroad.sdk.connector import Connector, Destination, Tools
from postroad.sdk.secrets import Secret

Write = Callable[[Mapping[str, str]], Path]

EXAMPLE = {
    "postroad.yaml": "project: sample\nconnections:\n  erp: {connector: fake, url: $FAKE_URL, token: secret://FAKE_TOKEN}\n",
    "flows/hours.yaml": "sync:\n  - {from: erp, entities: [timesheets]}\n",
    ".env.example": "FAKE_URL=http://localhost\nFAKE_TOKEN=\n",
}


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user: str
    password: Secret


class FakeSettings(BaseModel):
    # Without `extra`: the loader has to find misspelt keys by itself.
    model_config = ConfigDict(hide_input_in_errors=True)

    url: str = Field(pattern=r"^https?://")
    token: Secret = Secret("-")
    owner_set: Literal["MINE", "ALL"] = "MINE"
    page_size: int = Field(default=100, ge=1)
    strict: bool = True
    companies: list[str] = []
    login: Login | None = None

    @model_validator(mode="after")
    def _not_both(self) -> FakeSettings:
        if self.login and self.companies:
            raise ValueError("login and companies exclude each other")
        return self


SECOND = {
    "postroad.yaml": "project: other\nconnections:\n  desk: {connector: second, url: 'http://x'} # a comment\n",
    "flows/desk.yaml": "sync:\n  - {from: desk, entities: [employees]}\n",
    ".env.example": "DESK_TOKEN=\n",
}


def _never_opened(_settings: object, _tools: Tools) -> Destination:
    raise AssertionError("reading a project opens no connection")


FAKE = Connector("fake", FakeSettings, lambda _: ("timesheets", "employees"), example=EXAMPLE)
TWO = Connector(
    "second", FakeSettings, lambda _: ("timesheets", "employees"), example=SECOND, destination=_never_opened
)


@pytest.fixture(autouse=True)
def fake_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Connector:
        if name == "broken":
            raise ConfigError("the package of connector 'broken' registers no Connector object")
        return TWO if name == "second" else FAKE

    for variable in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(variable)
    for variable in ("URL", "TOKEN", "HOST", "PORT", "UNSET", "FAKE_URL", "FAKE_TOKEN", "PASSWORD"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(registry, "connector_names", lambda: ["broken", "fake", "second"])
    monkeypatch.setattr(registry, "load_connector", load)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the files of a project; its folder."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return write
