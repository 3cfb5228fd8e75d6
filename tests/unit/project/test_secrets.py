"""Secrets are found late, in a known order, and show themselves to nobody."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from postroad.errors import ConfigError
from postroad.project import check_project, load_project
from postroad.sdk.secrets import Secret
from tests.unit.project.conftest import FakeSettings

Write = Callable[[Mapping[str, str]], Path]

PLANTED = "pl4nted-t0ken"
ROOT = "project: acme\nconnections:\n  erp: {connector: fake, url: http://x, token: secret://TOKEN}\n"


def reveal(folder: Path) -> str:
    token: Secret = load_project(folder).settings("erp").token
    return token.reveal()


def test_the_places_are_environment_then_dotenv_then_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write({"postroad.yaml": ROOT, "secrets/TOKEN": "from-file\n"})
    assert reveal(folder) == "from-file"
    write({".env": "TOKEN=from-dotenv\n"})
    assert reveal(folder) == "from-dotenv"
    monkeypatch.setenv("TOKEN", "from-environment")
    assert reveal(folder) == "from-environment"
    monkeypatch.setenv("TOKEN", "")
    assert reveal(folder) == "from-dotenv"


def test_a_missing_secret_is_told_when_it_is_needed_with_the_places_looked_in(write: Write) -> None:
    token = load_project(write({"postroad.yaml": ROOT})).settings("erp").token
    with pytest.raises(ConfigError) as caught:
        token.reveal()
    assert str(caught.value) == (
        "postroad.yaml:3:48 missing-secret no value for secret://TOKEN; "
        "looked in: environment variable TOKEN, .env, secrets/TOKEN"
    )


def test_a_secret_file_that_is_not_text_is_told_without_its_bytes(write: Write) -> None:
    folder = write({"postroad.yaml": ROOT, "secrets/TOKEN": ""})
    (folder / "secrets/TOKEN").write_bytes(PLANTED.encode() + b"\xff")
    (folder / "secrets/TOKEN").chmod(0o600)
    with pytest.raises(ConfigError, match=r"secrets/TOKEN \(which cannot be read\)") as caught:
        reveal(folder)
    assert caught.value.__context__ is None


def test_a_rotated_secret_is_found_without_loading_again(write: Write) -> None:
    token = load_project(write({"postroad.yaml": ROOT, ".env": "TOKEN=old"})).settings("erp").token
    assert token.reveal() == "old"
    write({".env": "TOKEN=new"})
    assert token.reveal() == "new"


def test_a_literal_secret_is_taken_with_a_warning(write: Write) -> None:
    text = ROOT.replace("secret://TOKEN", PLANTED).replace("}", f", login: {{user: x, password: {PLANTED}}}}}")
    project = load_project(write({"postroad.yaml": text}))
    assert project.settings("erp").token.reveal() == PLANTED
    assert project.settings("erp").login.password.reveal() == PLANTED
    assert [(w.code, w.line, w.column) for w in project.warnings] == [
        ("literal-secret", 3, 48),
        ("literal-secret", 3, 90),
    ]


def test_a_secret_from_a_variable_is_no_literal(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", PLANTED)
    project = load_project(write({"postroad.yaml": ROOT.replace("secret://TOKEN", "$TOKEN")}))
    assert (project.settings("erp").token.reveal(), project.warnings) == (PLANTED, ())


def test_a_secret_file_that_everybody_can_read_is_warned_of(write: Write) -> None:
    folder = write({"postroad.yaml": ROOT, "secrets/TOKEN": PLANTED})
    (folder / "secrets/TOKEN").chmod(0o644)
    assert [w.code for w in load_project(folder).warnings] == ["readable-secret"]
    (folder / "secrets/TOKEN").chmod(0o600)
    assert load_project(folder).warnings == ()


def shown(value: object) -> list[str]:
    texts = [repr(value), str(value), f"{value}", f"{value!r:>50}", "%s" % (value,)]  # noqa: UP031 - logging does so
    if isinstance(value, BaseModel):
        texts += [value.model_dump_json(), str(value.model_dump()), str(value.model_dump(mode="json"))]
        texts.append(json.dumps(value.model_dump(), default=str))
    return texts


@pytest.mark.parametrize("kind", ["reference", "literal", "variable"])
def test_a_planted_secret_is_nowhere(
    write: Write, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    text = {"reference": "secret://TOKEN", "literal": PLANTED, "variable": "$TOKEN"}[kind]
    monkeypatch.setenv("TOKEN", PLANTED)
    folder = write({"postroad.yaml": ROOT.replace("secret://TOKEN", text)})
    project = load_project(folder)
    settings = project.settings("erp")
    assert settings.token.reveal() == PLANTED
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").warning("%s %r", project, settings)
    texts = [*shown(project), *shown(settings), *shown(settings.token), *shown(settings.model_copy(deep=True))]
    texts += [str(asdict(project)), str(project.warnings), caplog.text, *map(str, check_project(folder))]
    texts += [str(vars(settings)), str(dir(settings.token))]
    assert not [found for found in texts if PLANTED in found]


def test_a_planted_secret_is_in_no_error_and_no_traceback(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", PLANTED)
    settings = f"    token: {PLANTED}\n    owner_set: $TOKEN\n    page_size: $TOKEN\n    strict: {PLANTED}\n"
    settings += f"    login: {{user: x, password: {PLANTED}, pass: {PLANTED}}}\n    login: {PLANTED}\n"
    head = "project: acme\nconnections:\n  erp:\n    connector: $TOKEN\n  two:\n    connector: fake\n    url: $TOKEN\n"
    flow = f"sync: [{{from: $TOKEN, entities: [a]}}, {{from: two, entities: [$TOKEN], max_deletes: {PLANTED}}}]\n"
    folder = write(
        {
            "postroad.yaml": head + settings + f"database: mysql://{PLANTED}\nlake: az://{PLANTED}\n",
            "flows/a.yaml": flow,
            "flows/b.yaml": f"sync: '{PLANTED}\n",
            "flows/c.yaml": f"sync: [{PLANTED}: {PLANTED}: x]\n",
            "flows/d.yaml": f"sync: !{PLANTED} x\n",
            ".env": f"{PLANTED} {PLANTED}\n",
        }
    )
    with pytest.raises(ConfigError) as caught:
        load_project(folder)
    assert len(caught.value.mistakes) > 12
    assert PLANTED not in repr(caught.value.mistakes)
    assert PLANTED not in "".join(traceback.format_exception(caught.value))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_secret_is_not_pickled_and_copies_are_the_same_one() -> None:
    secret = Secret.literal(PLANTED)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret, protocol)
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret


def test_secrets_are_equal_by_reference_or_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a", "secret://A") == Secret("b", "secret://A") != Secret("a")
    assert len({Secret("a"), Secret("a"), Secret("a", "secret://A")}) == 2
    assert Secret("a") != "a"


def test_a_value_that_is_no_secret_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValidationError) as caught:
        FakeSettings.model_validate({"url": "http://x", "token": [PLANTED]})
    assert PLANTED not in str(caught.value)
