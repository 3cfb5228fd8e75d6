"""What a good project folder becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from postroad.errors import ConfigError
from postroad.project import Allowance, Connection, Delivery, MailServer, Notify, Project, Sync, load_project
from postroad.sdk.secrets import Secret
from tests.unit.project.conftest import FakeSettings

Write = Callable[[Mapping[str, str]], Path]

ROOT = """\
project: acme
connections:
  erp: {connector: fake, url: http://localhost, token: secret://TOKEN, companies: [se01, '0012']}
"""
FLOW = """\
sync:
  - {from: erp, entities: [timesheets]}
  - {from: erp, entities: [employees], max_deletes: 2.5%}
"""
OWN_BOOKS = "database: sqlite:///own.db\n"


def test_the_same_project_is_read_or_built_in_python(write: Write) -> None:
    folder = write({"postroad.yaml": ROOT, "flows/hours.yaml": FLOW})
    settings = FakeSettings(url="http://localhost", token=Secret("x", "secret://TOKEN"), companies=["se01", "0012"])
    built = Project(
        name="acme",
        folder=folder,
        connections={"erp": Connection("erp", "fake", settings)},
        syncs=(Sync("erp", ("timesheets",)), Sync("erp", ("employees",), Allowance(rows=0, percent=2.5))),
    )
    read = load_project(folder)
    assert replace(read, secrets=(), fingerprint="") == built


def test_a_project_built_in_python_knows_its_connections(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no connection"):
        Project("acme", tmp_path, syncs=(Sync("erp", ("timesheets",)),))


def test_defaults_are_a_local_lake_and_sqlite(write: Write) -> None:
    folder = write({"postroad.yaml": "project: acme\n"})
    project = load_project(folder)
    assert (project.lake, project.database) == ("./lake", "sqlite:///postroad.db")
    assert (project.lake_folder, project.database_file) == (folder / "lake", folder / "postroad.db")
    assert project.database_url == f"sqlite:///{folder / 'postroad.db'}"
    assert project.syncs == ()


def test_an_absolute_sqlite_path_and_postgresql_stay_as_they_are(tmp_path: Path) -> None:
    absolute = Project("acme", tmp_path, database=f"sqlite:///{tmp_path}/x.db")
    assert absolute.database_file == tmp_path / "x.db"
    remote = Project("acme", tmp_path, database="postgresql://localhost/postroad")
    assert (remote.database_file, remote.database_url) == (None, "postgresql://localhost/postroad")


def test_max_deletes_is_the_greater_of_rows_and_share() -> None:
    assert [Allowance().of(rows) for rows in (0, 1_000, 1_001, 20_000)] == [100, 100, 100, 2_000]
    assert Allowance(rows=5, percent=0).of(1_000_000) == 5
    assert Allowance(rows=0, percent=10).of(50) == 5


@pytest.mark.parametrize(("text", "most"), [("0", 0), ("7", 7), ("'7'", 7), ("10%", 20), ("'12.5 %'", 25), ("0%", 0)])
def test_max_deletes_is_rows_or_a_percentage(write: Write, text: str, most: int) -> None:
    flow = f"sync: [{{from: erp, entities: [timesheets], max_deletes: {text}}}]"
    project = load_project(write({"postroad.yaml": ROOT, "flows/a.yaml": flow}))
    assert project.syncs[0].max_deletes.of(200) == most


@pytest.mark.parametrize(
    ("text", "seconds"), [("always", 0), ("hourly", 3_600), ("daily", 86_400), ("weekly", 604_800), ("12h", 43_200)]
)
def test_keys_are_swept_as_often_as_a_flow_says(write: Write, text: str, seconds: float) -> None:
    flow = f"sync: [{{from: erp, entities: [timesheets], sweep_deletes: {text}}}]"
    project = load_project(write({"postroad.yaml": ROOT, "flows/a.yaml": flow}))
    assert project.syncs[0].sweep_deletes == seconds


def test_an_environment_overlays_the_project_key_by_key(write: Write) -> None:
    overlay = (
        f"protected: true\nlake: ./prod\n{OWN_BOOKS}connections:\n  erp: {{url: https://prod, companies: [no01]}}\n"
    )
    folder = write({"postroad.yaml": ROOT, "environments/prod.yaml": overlay})
    project = load_project(folder, "prod")
    settings = project.settings("erp")
    assert (project.environment, project.protected, project.lake) == ("prod", True, "./prod")
    assert (settings.url, settings.companies, str(settings.token)) == ("https://prod", ["no01"], "secret://TOKEN")
    assert load_project(folder).protected is False


AZURE = "project: acme\nlake: {url: az://xledger-dev/lake, account: acme, key: secret://STORAGE_KEY}\n"


def test_a_lake_on_azure_names_its_account_and_who_we_are_there(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_KEY", "planted")
    project = load_project(write({"postroad.yaml": AZURE}))
    assert (project.lake, project.lake_folder) == ("az://xledger-dev/lake", None)
    assert project.storage is not None
    assert project.storage.options() == {"account_name": "acme", "account_key": "planted"}
    assert [secret.name for secret in project.secrets] == ["STORAGE_KEY"]
    assert "planted" not in repr(project)


@pytest.mark.parametrize(
    ("lake", "options"),
    [
        ("sas: '?sv=1&sig=2'", {"sas_token": "sv=1&sig=2"}),
        ("identity: azure_cli", {"use_azure_cli": "true"}),
        ("identity: managed_identity", {}),
        ("", {}),
        (
            "key: k, endpoint: 'http://127.0.0.1:10000/acme'",
            {"account_key": "k", "azure_storage_endpoint": "http://127.0.0.1:10000/acme", "allow_http": "true"},
        ),
    ],
)
def test_every_way_into_a_storage_account(write: Write, lake: str, options: dict[str, str]) -> None:
    project = load_project(write({"postroad.yaml": f"project: acme\nlake: {{url: az://dev, account: acme, {lake}}}\n"}))
    assert project.storage is not None
    assert project.storage.options() == {"account_name": "acme", **options}


def test_the_account_and_its_key_may_come_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "planted")
    folder = write({"postroad.yaml": "project: acme\nlake: az://dev\n", ".env": "AZURE_STORAGE_ACCOUNT_NAME=acme\n"})
    project = load_project(folder)
    assert project.storage is not None
    assert project.storage.options() == {"account_name": "acme", "account_key": "planted"}
    assert [secret.name for secret in project.secrets] == ["AZURE_STORAGE_ACCOUNT_KEY"]


def test_an_environment_has_a_container_of_its_own(write: Write) -> None:
    folder = write({"postroad.yaml": AZURE, "environments/prod.yaml": "lake: az://xledger-prod/lake\n" + OWN_BOOKS})
    dev, prod = load_project(folder), load_project(folder, "prod")
    assert (dev.lake, prod.lake) == ("az://xledger-dev/lake", "az://xledger-prod/lake")
    assert dev.storage == prod.storage


def test_an_environment_with_a_folder_needs_no_account(write: Write) -> None:
    folder = write({"postroad.yaml": AZURE, "environments/laptop.yaml": "lake: ./lake\n" + OWN_BOOKS})
    project = load_project(folder, "laptop")
    assert (project.lake, project.storage, project.secrets) == ("./lake", None, ())


def test_an_environment_signs_in_its_own_way(write: Write) -> None:
    overlay = "lake: {url: az://prod, key: null, identity: azure_cli}\n" + OWN_BOOKS
    project = load_project(write({"postroad.yaml": AZURE, "environments/prod.yaml": overlay}), "prod")
    assert project.storage is not None
    assert project.storage.options() == {"account_name": "acme", "use_azure_cli": "true"}
    assert project.secrets == ()


def test_a_storage_key_in_the_file_is_warned_of(write: Write) -> None:
    project = load_project(write({"postroad.yaml": AZURE.replace("secret://STORAGE_KEY", "QUJD")}))
    assert [(warning.code, warning.line, warning.column) for warning in project.warnings] == [("literal-secret", 2, 56)]


def test_a_project_built_in_python_names_the_account_of_its_lake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs its storage account"):
        Project("acme", tmp_path, lake="az://dev")


def test_a_variable_that_the_overlay_replaces_need_not_be_set(write: Write) -> None:
    root = "project: acme\nlake: $UNSET\n"
    folder = write({"postroad.yaml": root, "environments/dev.yaml": "lake: ./dev\n" + OWN_BOOKS})
    assert load_project(folder, "dev").lake == "./dev"


def test_variables_fill_any_kind_of_value(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "from-environment")
    text = (
        "project: acme\nconnections:\n  erp:\n    connector: fake\n    url: http://${HOST}:$PORT/${UNSET:-graphql}$$\n"
    )
    text += "    page_size: $PORT\n    strict: ${UNSET:-no}\n"
    folder = write({"postroad.yaml": text, ".env": "HOST=from-dotenv\nPORT=8080\n"})
    settings = load_project(folder).settings("erp")
    assert (settings.url, settings.page_size, settings.strict) == ("http://from-environment:8080/graphql$", 8080, False)


def test_yaml_is_1_2_and_keeps_codes_and_dates_as_texts(write: Write) -> None:
    erp = "{connector: fake, url: 'http://x', companies: [no, 0012, 2024-01-01, '007']}"
    text = f"project: acme\nconnections:\n  erp: {erp}\n"
    project = load_project(write({"postroad.yaml": text}))
    assert project.settings("erp").companies == ["no", "0012", "2024-01-01", "007"]
    assert [(w.code, w.line, w.column) for w in project.warnings] == [("leading-zero", 3, 59)]


def test_flows_that_are_not_read_are_warned_of(write: Write) -> None:
    project = load_project(write({"postroad.yaml": ROOT, "flows/a.yml": FLOW, "flows/deep/b.yaml": FLOW}))
    assert project.syncs == ()
    assert [(w.file, w.code) for w in project.warnings] == [
        ("flows/a.yml", "ignored-file"),
        ("flows/deep/b.yaml", "ignored-file"),
    ]


def test_the_fingerprint_follows_the_files_but_not_the_secrets(write: Write) -> None:
    files = {"postroad.yaml": ROOT, "flows/a.yaml": FLOW, ".env": "TOKEN=a"}
    first = load_project(write(files)).fingerprint
    assert load_project(write({".env": "TOKEN=b"})).fingerprint == first
    assert load_project(write({"flows/a.yaml": FLOW + "# changed\n"})).fingerprint != first


NOTIFY = "project: acme\nnotify:\n  to: mailto://it@acme.example\n"


def test_who_is_told_and_by_which_server(write: Write) -> None:
    """A server on this machine unless said; the first address is the sender's."""
    told = load_project(write({"postroad.yaml": NOTIFY})).notify
    assert told == Notify(("it@acme.example",), "it@acme.example", MailServer("localhost", 25, "none"))
    smtp = "  smtp: {host: mail.acme.example, user: postroad, password: secret://SMTP}\n"
    overlay = "notify: {to: [a@b, mailto:c@d, a@b], from: us@acme.example}\n"
    folder = write({"postroad.yaml": NOTIFY + smtp, ".env": "SMTP=x", "environments/prod.yaml": overlay,
                    "environments/laptop.yaml": "notify: null\n"})  # fmt: skip
    told = load_project(folder, "prod").notify
    assert told is not None
    assert (told.to, told.sender) == (("a@b", "c@d"), "us@acme.example")
    assert (told.server.port, told.server.security, told.server.user) == (587, "starttls", "postroad")
    assert told.server.password is not None
    assert told.server.password.reveal() == "x"
    assert load_project(folder, "laptop").notify is None


def test_a_password_in_the_file_is_warned_of(write: Write) -> None:
    smtp = "  smtp: {host: mail, security: tls, user: u, password: planted}\n"
    project = load_project(write({"postroad.yaml": NOTIFY + smtp}))
    assert [(each.code, each.line) for each in project.warnings] == [("literal-secret", 4)]
    assert "planted" not in repr(project)


SINK = "  sink: {connector: second, url: http://localhost}\n"


def test_deliveries_are_read_in_the_order_of_their_lines(write: Write) -> None:
    flow = FLOW + "deliver:\n  - {dataset: erp.employees, to: sink.people, start: 2026-10-01}\n"
    later = "deliver:\n  - {dataset: erp.timesheets, to: sink.hours, max_lag: 14d, most_records: 500}\n"
    project = load_project(write({"postroad.yaml": ROOT + SINK, "flows/a.yaml": later, "flows/b.yaml": flow}))
    hours, people = project.deliveries
    assert hours == Delivery("erp.timesheets", "sink.hours", max_lag=14 * 86_400, most_records=500)
    assert hours.offset is None
    assert (people.connection, people.entity, people.destination, people.target) == (
        "erp",
        "employees",
        "sink",
        "people",
    )
    assert people.offset == 1_790_812_800_000_000 - 1
    assert replace(people, start="beginning").offset == 0


@pytest.mark.parametrize(
    ("lines", "code", "sentence"),
    [
        ("{dataset: erp.employes, to: sink.a}", "unknown-dataset", "did you mean 'erp.employees'"),
        ("{dataset: erp.employees, to: snik.a}", "unknown-destination", "did you mean 'sink'"),
        ("{dataset: erp.employees, to: files.a}", "unknown-destination", "there are: sink"),
        (
            "{dataset: erp.employees, to: sink.a}\n  - {dataset: erp.timesheets, to: sink.a}",
            "repeated-target",
            "line 5",
        ),
        (
            "{dataset: erp.employees, to: sink.A}\n  - {dataset: erp.timesheets, to: sink.a}",
            "repeated-target",
            "line 5",
        ),
        ("{dataset: erp.employees, to: sink}", "bad-value", "deliver.0.to"),
        ("{dataset: erp.employees, to: sink.a, start: now}", "bad-value", "current, beginning, or a day"),
        ("{dataset: erp.employees, to: sink.a, start: 2026-13-01}", "bad-value", "current, beginning, or a day"),
        ("{dataset: erp.employees}", "missing-key", "deliver.0.to is missing"),
        (
            "{dataset: erp.employees, to: sink.a, where: now() > 1}",
            "bad-where",
            "5:49 bad-where deliver.0.where: expected",
        ),
        ("{dataset: erp.employees, to: sink.a, select: []}", "bad-value", "deliver.0.select"),
        ("{dataset: erp.employees, to: sink.a, most_records: 0}", "bad-value", "deliver.0.most_records"),
        ("{dataset: erp.employees, to: sink.a, rename: {name: _op}}", "bad-value", "deliver.0.rename.name"),
        ("{dataset: erp.employees, to: sink.a, constants: {_run: 1}}", "bad-value", "deliver.0.constants._run"),
        ("{dataset: erp.employees, to: sink.a, constants: {a: [1]}}", "bad-value", "deliver.0.constants.a"),
    ],
)
def test_mistakes_of_deliveries(write: Write, lines: str, code: str, sentence: str) -> None:
    folder = write({"postroad.yaml": ROOT + SINK, "flows/a.yaml": f"{FLOW}deliver:\n  - {lines}\n"})
    with pytest.raises(ConfigError) as raised:
        load_project(folder)
    (mistake,) = raised.value.mistakes
    assert mistake.code == code
    assert sentence in str(mistake)


def test_what_a_variable_held_is_not_quoted(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RULE", "planted secret")
    line = "{dataset: erp.employees, to: sink.a, where: $RULE}"
    folder = write({"postroad.yaml": ROOT + SINK, "flows/a.yaml": f"{FLOW}deliver:\n  - {line}\n"})
    with pytest.raises(ConfigError) as raised:
        load_project(folder)
    assert "what the variable holds cannot be read" in str(raised.value)
    assert "planted" not in str(raised.value)


def test_a_delivery_built_in_python_needs_its_connection(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="on no connection"):
        Project("acme", tmp_path, deliveries=(Delivery("erp.timesheets", "sink.hours"),))


def test_a_queue_is_a_secret_that_is_looked_up_when_it_is_used(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_URL", "amqps://user:planted@broker.example/acme")
    assert load_project(write({"postroad.yaml": "project: acme\n"})).queue is None
    for text in ("$RABBITMQ_URL", "secret://RABBITMQ_URL"):
        project = load_project(write({"postroad.yaml": f"project: acme\nqueue: {text}\n"}))
        assert project.queue is not None
        assert project.queue.reveal() == "amqps://user:planted@broker.example/acme"
        assert "planted" not in repr(project)
        assert project.warnings == ()
    overlay = {"environments/prod.yaml": "queue: null\n"}
    assert (
        load_project(write({"postroad.yaml": "project: acme\nqueue: amqp://here\n", **overlay}), "prod").queue is None
    )


def test_a_queue_with_its_password_in_the_file_is_warned_of(write: Write) -> None:
    project = load_project(write({"postroad.yaml": "project: acme\nqueue: amqp://user:planted@here\n"}))
    assert [(each.code, each.line, each.column) for each in project.warnings] == [("literal-secret", 2, 8)]
    assert "planted" not in repr(project)
    assert load_project(write({"postroad.yaml": "project: acme\nqueue: amqp://here\n"})).warnings == ()
