"""A corpus of mistakes: each is told with its code, line and column, and all of a project come at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from postroad.errors import ConfigError, Mistake
from postroad.project import load_project

Write = Callable[[Mapping[str, str]], Path]
Place = tuple[str, int, int]

HEAD = "project: acme\nconnections:\n  erp:\n    connector: fake\n    url: http://localhost\n"


def mistakes(folder: Path, environment: str | None = None) -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        load_project(folder, environment)
    return caught.value.mistakes


def places(found: tuple[Mistake, ...]) -> list[Place]:
    return [(mistake.code, mistake.line, mistake.column) for mistake in found]


ROOT_MISTAKES: list[tuple[str, list[Place]]] = [
    # the shape
    ("", [("missing-key", 1, 1)]),
    ("lake: x\n", [("missing-key", 1, 1)]),
    ("project: acme\nlakee: ./x\n", [("unknown-key", 2, 1)]),
    ("project: 12\n", [("wrong-type", 1, 10)]),
    ("project: my project\n", [("bad-value", 1, 10)]),
    ("project: acme\nprotected: perhaps\n", [("wrong-type", 2, 12)]),
    ("project: acme\nconnections: [a]\n", [("wrong-type", 2, 14)]),
    ("project: acme\nconnections: {erp: fake}\n", [("wrong-type", 2, 20)]),
    ("project: acme\nconnections:\n  my erp: {connector: fake, url: http://x}\n", [("bad-value", 3, 3)]),
    ("- a\n", [("wrong-type", 1, 1)]),
    ("just a text\n", [("wrong-type", 1, 1)]),
    # where to write
    ("project: acme\nlake: az://container/lake\n", [("no-account", 2, 1)]),
    ("project: acme\nlake: {url: az://container, acount: abc}\n", [("no-account", 2, 1), ("unknown-key", 2, 29)]),
    ("project: acme\nlake: {url: az://Container, account: abc}\n", [("bad-value", 2, 13)]),
    ("project: acme\nlake: {url: az://a--b/x, account: abc}\n", [("bad-value", 2, 13)]),
    ("project: acme\nlake: {url: az://container/../x, account: abc}\n", [("bad-value", 2, 13)]),
    ("project: acme\nlake: {url: az://container, account: Abc}\n", [("bad-value", 2, 38)]),
    ("project: acme\nlake: {url: az://container, account: abc, key: a, sas: b}\n", [("bad-value", 2, 7)]),
    ("project: acme\nlake: {url: az://container, account: abc, identity: azurecli}\n", [("bad-value", 2, 53)]),
    ("project: acme\nlake: {url: az://container, account: abc, endpoint: here}\n", [("bad-value", 2, 53)]),
    ("project: acme\nlake: {url: az://container, account: abc, key: 12}\n", [("wrong-type", 2, 48)]),
    ("project: acme\nlake: {account: abc}\n", [("missing-key", 2, 1)]),
    ("project: acme\nlake: {url: ./lake, account: abc}\n", [("bad-value", 2, 7)]),
    ("project: acme\nlake: s3://bucket/lake\n", [("bad-value", 2, 7)]),
    ("project: acme\nlake: [./lake]\n", [("wrong-type", 2, 7)]),
    ("project: acme\nlake: ''\n", [("bad-value", 2, 7)]),
    ("project: acme\ndatabase: mysql://localhost\n", [("bad-value", 2, 11)]),
    ("project: acme\ndatabase: 'sqlite:///:memory:'\n", [("bad-value", 2, 11)]),
    ("project: acme\ndatabase: secret://DB\n", [("wrong-type", 2, 11)]),
    # who is told
    ("project: acme\nqueue: http://user:PLANTED@here\n", [("bad-value", 2, 8)]),
    ("project: acme\nqueue: 12\n", [("wrong-type", 2, 8)]),
    ("project: acme\nnotify: {}\n", [("missing-key", 2, 1)]),
    ("project: acme\nnotify: {to: nobody}\n", [("bad-value", 2, 14)]),
    ("project: acme\nnotify: {to: []}\n", [("bad-value", 2, 14)]),
    ("project: acme\nnotify: {to: [a@b, 12]}\n", [("wrong-type", 2, 20)]),
    ('project: acme\nnotify: {to: "a@b\\nBcc: c@d"}\n', [("bad-value", 2, 14)]),
    ("project: acme\nnotify: {to: 'a@b, c@d'}\n", [("bad-value", 2, 14)]),
    ("project: acme\nnotify: {to: a@b, form: c@d}\n", [("unknown-key", 2, 19)]),
    ("project: acme\nnotify: {to: a@b, smtp: {port: 0}}\n", [("bad-value", 2, 32)]),
    ("project: acme\nnotify: {to: a@b, smtp: {host: mail, user: u}}\n", [("bad-value", 2, 25)]),
    (
        "project: acme\nnotify: {to: a@b, smtp: {host: mail, security: none, user: u, password: secret://P}}\n",
        [("bad-value", 2, 25)],
    ),
    # connectors and their settings
    ("project: acme\nconnections:\n  erp: {url: http://x}\n", [("missing-key", 3, 3)]),
    ("project: acme\nconnections:\n  erp: {connector: fak}\n", [("unknown-connector", 3, 20)]),
    ("project: acme\nconnections:\n  erp: {connector: broken}\n", [("broken-connector", 3, 20)]),
    ("project: acme\nconnections:\n  erp: {connector: fake}\n", [("missing-key", 3, 3)]),
    (HEAD + "    tokn: secret://T\n", [("unknown-key", 6, 5)]),
    (HEAD + "    token: 12345\n", [("wrong-type", 6, 12)]),
    (HEAD + "    token: ''\n", [("wrong-type", 6, 12)]),
    (HEAD + "    owner_set: MIN\n", [("bad-value", 6, 16)]),
    (HEAD + "    page_size: 0\n", [("bad-value", 6, 16)]),
    (HEAD + "    page_size: many\n", [("wrong-type", 6, 16)]),
    (HEAD + "    companies: [a, 1, 2]\n", [("wrong-type", 6, 20), ("wrong-type", 6, 23)]),
    (HEAD + "    login:\n      user: x\n      pasword: y\n", [("missing-key", 6, 5), ("unknown-key", 8, 7)]),
    (HEAD + "    login: {user: x, password: y}\n    companies: [a]\n", [("bad-value", 4, 5)]),
    # YAML
    ("project: acme\nproject: other\n", [("duplicate-key", 2, 1)]),
    ("project: acme\nconnections:\n  a: {b: 1, b: 2}\n", [("missing-key", 3, 3), ("duplicate-key", 3, 13)]),
    ("project: acme\n1: x\n", [("wrong-type", 2, 1)]),
    ("project: acme\n<<: {lake: x}\n", [("wrong-type", 2, 1)]),
    ("project: !!python/object/apply:os.system [ls]\n", [("bad-yaml", 1, 10), ("wrong-type", 1, 10)]),
    ("project: !mine acme\n", [("bad-yaml", 1, 10)]),
    ("project: 'acme\n", [("bad-yaml", 2, 1)]),
    ("project:\n\tacme\n", [("bad-yaml", 2, 1)]),
    ("project: a: b\n", [("bad-yaml", 1, 11)]),
    ("project: acme\nlake: a\x01b\n", [("bad-yaml", 2, 8)]),
    ("project: acme\n---\nproject: acme\n", [("bad-yaml", 2, 1)]),
    ("%YAML 1.1\n---\nproject: acme\n", [("bad-yaml", 2, 1)]),
    ("project: *nobody\n", [("bad-yaml", 1, 10)]),
    ("project: &a [*a]\n", [("bad-yaml", 1, 14)]),
    ("project: " + "[" * 2000 + "\n", [("bad-yaml", 1, 60)]),
    # variables
    ("project: $UNSET\n", [("unset-variable", 1, 10)]),
    ("project: acme\nlake: ./${UNSET}/$UNSET\n", [("unset-variable", 2, 9), ("unset-variable", 2, 18)]),
    ("project: acme\nlake: 'it''s $$5 $UNSET'\n", [("unset-variable", 2, 18)]),
    ("project: acme\nlake: >\n  one\n  $UNSET two\n", [("unset-variable", 4, 3)]),
    ('project: "\\x24UNSET/$UNSET"\n', [("unset-variable", 1, 10), ("unset-variable", 1, 21)]),
    ("project: acme\nlake: ${UNSET:?no}\n", [("bad-variable", 2, 7)]),
    ("project: acme\nlake: ${UNSET:-$A}\n", [("bad-variable", 2, 7), ("unset-variable", 2, 16)]),
    ("project: acme\nlake: 5$\n", [("bad-variable", 2, 8)]),
    (HEAD + "    token: secret://a/../b\n", [("bad-secret", 6, 12)]),
    (HEAD + "    token: secret://..\n", [("bad-secret", 6, 12)]),
]


@pytest.mark.parametrize(("text", "expected"), ROOT_MISTAKES)
def test_mistakes_of_postroad_yaml(write: Write, text: str, expected: list[Place]) -> None:
    found = mistakes(write({"postroad.yaml": text}))
    assert places(found) == expected
    assert {mistake.file for mistake in found} == {"postroad.yaml"}


FLOW_MISTAKES: list[tuple[str, list[Place]]] = [
    ("sync: {from: erp}\n", [("wrong-type", 1, 7)]),
    ("sink: []\n", [("unknown-key", 1, 1)]),
    ("sync:\n  - from: erp\n", [("missing-key", 2, 5)]),
    ("sync:\n  - {entities: [timesheets]}\n", [("missing-key", 2, 5)]),
    ("sync:\n  - {from: erp, entities: []}\n", [("bad-value", 2, 27)]),
    ("sync:\n  - {from: erp, entities: timesheets}\n", [("wrong-type", 2, 27)]),
    ("sync:\n  - {from: epr, entities: [timesheets]}\n", [("unknown-connection", 2, 12)]),
    ("sync:\n  - {from: erp, entities: [employees, timesheet]}\n", [("unknown-entity", 2, 39)]),
    (
        "sync:\n  - {from: erp, entities: [employees]}\n  - {from: erp, entities: [employees]}\n",
        [("repeated-entity", 3, 28)],
    ),
    ("sync:\n  - {from: erp, entities: [employees], every: 1h}\n", [("unknown-key", 2, 40)]),
    ("sync:\n  - {from: erp, entities: [employees], max_deletes: 101%}\n", [("bad-value", 2, 53)]),
    ("sync:\n  - {from: erp, entities: [employees], max_deletes: -1}\n", [("bad-value", 2, 53)]),
    ("sync:\n  - {from: erp, entities: [employees], max_deletes: true}\n", [("bad-value", 2, 53)]),
    ("sync:\n  - {from: erp, entities: [employees], stale_after: soon}\n", [("bad-value", 2, 53)]),
    ("sync:\n  - {from: $UNSET, entities: [employees]}\n", [("unset-variable", 2, 12)]),
]


@pytest.mark.parametrize(("text", "expected"), FLOW_MISTAKES)
def test_mistakes_of_a_flow(write: Write, text: str, expected: list[Place]) -> None:
    found = mistakes(write({"postroad.yaml": HEAD, "flows/a.yaml": text}))
    assert [place for place in places(found) if place[0] != "unknown-connection" or "epr" in text] == expected
    assert {mistake.file for mistake in found} == {"flows/a.yaml"}


def test_all_mistakes_of_all_files_come_at_once(write: Write) -> None:
    folder = write(
        {
            "postroad.yaml": "project: acme\nlakee: x\nconnections:\n  erp: {connector: fake, url: $UNSET, tokn: x}\n"
            "  good: {connector: fake, url: 'https://x', token: secret://T}\n",
            "flows/a.yaml": "sync: [{from: epr, entities: [x]}]\n",
            "flows/b.yaml": "sync: [{from: good, entities: [x]}]\nsync: []\n",
            "flows/c.yaml": "sync: [\n",
            ".env": "A=1\nnonsense\n",
        }
    )
    assert [f"{mistake.file} {mistake.code}" for mistake in mistakes(folder)] == [
        ".env bad-env",
        "flows/a.yaml unknown-connection",
        "flows/b.yaml unknown-entity",
        "flows/b.yaml duplicate-key",
        "flows/c.yaml bad-yaml",
        "postroad.yaml unknown-key",
        "postroad.yaml unset-variable",
        "postroad.yaml unknown-key",
    ]


def test_a_mistake_reads_as_one_line_with_a_suggestion(write: Write) -> None:
    folder = write({"postroad.yaml": HEAD + "    owner_set: MIN\n    tokn: x\n"})
    assert [str(mistake) for mistake in mistakes(folder)] == [
        "postroad.yaml:6:16 bad-value connections.erp.owner_set: must be 'MINE' or 'ALL'; did you mean 'MINE'?",
        (
            "postroad.yaml:7:5 unknown-key connections.erp.tokn is not known here; keys: url, token, owner_set, "
            "page_size, strict, companies, login; did you mean 'token'?"
        ),
    ]


def test_a_mistake_of_an_overlay_names_its_file(write: Write) -> None:
    folder = write({"postroad.yaml": HEAD, "environments/prod.yaml": "connections:\n  erp: {url: ftp://x}\n"})
    assert [(m.file, m.code, m.line, m.column) for m in mistakes(folder, "prod")] == [
        ("environments/prod.yaml", "bad-value", 2, 14)
    ]


@pytest.mark.parametrize(("root", "wrong"), [
    ("lake: ./dev\n", True),
    ("", True),
    ("database: postgresql://h/p\n", True),
    ("database: $BOOKS\n", False),
    ("lake: {url: ./prod}\n", False),
])  # fmt: skip
def test_an_environment_with_a_lake_of_its_own_needs_a_database_of_its_own(
    write: Write, monkeypatch: pytest.MonkeyPatch, root: str, wrong: bool
) -> None:
    monkeypatch.setenv("BOOKS", "sqlite:///b.db")
    folder = write({"postroad.yaml": f"project: acme\n{root}", "environments/prod.yaml": "lake: ./prod\n"})
    if not wrong:
        assert load_project(folder, "prod").lake == "./prod"
        return
    (found,) = mistakes(folder, "prod")
    assert (found.file, found.code, found.line, found.column) == ("environments/prod.yaml", "shared-database", 1, 7)


def test_an_unknown_environment_lists_the_others(write: Write) -> None:
    folder = write({"postroad.yaml": HEAD, "environments/prod.yaml": ""})
    (found,) = mistakes(folder, "prd")
    assert (found.code, found.hint) == ("unknown-environment", "did you mean 'prod'?")
    assert mistakes(folder, "../prod")[0].code == "unknown-environment"


def test_a_folder_that_is_no_project_says_how_to_make_one(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path)
    assert (found.code, found.hint) == ("no-project", "postroad init writes one")


def test_files_that_are_too_large_or_not_text_are_refused(write: Write) -> None:
    folder = write({"postroad.yaml": HEAD, "flows/big.yaml": "#" * 1_000_001})
    (folder / "flows/latin.yaml").write_bytes("sync: []\n# sj\xf6".encode("latin-1"))
    assert [(m.file, *place) for m, place in zip(mistakes(folder), places(mistakes(folder)), strict=True)] == [
        ("flows/big.yaml", "too-large", 1, 1),
        ("flows/latin.yaml", "bad-yaml", 2, 5),
    ]


def test_files_that_cannot_be_read_are_told(write: Write) -> None:
    folder = write({"postroad.yaml": HEAD})
    (folder / "flows").mkdir()
    (folder / "flows/gone.yaml").symlink_to(folder / "nowhere")
    (folder / "flows/folder.yaml").mkdir()
    (folder / ".env").write_bytes(b"A=\xff")
    assert [(m.file, m.code) for m in mistakes(folder)] == [
        (".env", "unreadable"),
        ("flows/folder.yaml", "unreadable"),
        ("flows/gone.yaml", "unreadable"),
    ]


def test_an_alias_bomb_is_refused_before_it_is_built(write: Write) -> None:
    bomb = "a0: &a0 [" + ", ".join("x" * 10) + "]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    (found,) = mistakes(write({"postroad.yaml": bomb}))
    assert (found.code, found.line) == ("bad-yaml", 5)


def test_an_ordinary_alias_is_fine(write: Write) -> None:
    text = HEAD.replace("http://localhost", "&url http://localhost") + "  two: {connector: fake, url: *url}\n"
    assert load_project(write({"postroad.yaml": text})).settings("two").url == "http://localhost"
