"""New projects are sound, nothing is overwritten, and the offline check names each step."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from postroad.errors import ConfigError
from postroad.project import check_project, init_project, load_project, network_filesystem
from tests.unit.project.conftest import EXAMPLE, SECOND

Write = Callable[[Mapping[str, str]], Path]

ROOT = "project: acme\nconnections:\n  erp: {connector: fake, url: http://x, token: secret://TOKEN}\n"


def steps(folder: Path) -> list[tuple[str, bool]]:
    return [(check.step, check.ok) for check in check_project(folder)]


def test_a_new_skeleton_is_a_project_without_mistakes_or_warnings(tmp_path: Path) -> None:
    written = init_project(tmp_path / "new")
    assert {path.relative_to(tmp_path / "new").as_posix() for path in written} == {
        ".env.example",
        ".gitignore",
        "flows/my_flow.yaml",
        "postroad.yaml",
    }
    project = load_project(tmp_path / "new")
    assert (project.name, project.syncs, project.warnings) == ("my_project", (), ())


def test_an_example_is_a_project_that_runs_with_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_URL", "http://localhost")
    init_project(tmp_path, "fake")
    project = load_project(tmp_path)
    assert project.syncs[0].entities == ("timesheets",)
    assert (tmp_path / ".env.example").read_text().startswith("FAKE_URL")
    ignored = (tmp_path / ".gitignore").read_text().splitlines()
    assert {"lake/", "*.db", ".env"} <= set(ignored)


def test_two_examples_are_one_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_URL", "http://localhost")
    init_project(tmp_path, "fake", "second")
    project = load_project(tmp_path)
    assert (project.name, list(project.connections)) == ("sample", ["erp", "desk"])
    assert [sync.connection for sync in project.syncs] == ["desk", "erp"]
    text = (tmp_path / "postroad.yaml").read_text()
    assert text.count("connections:") == 1
    assert text.endswith("{connector: second, url: 'http://x'} # a comment\n")
    assert (tmp_path / ".env.example").read_text() == EXAMPLE[".env.example"] + "\nDESK_TOKEN=\n"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("flows/hours.yaml", "sync: []\n", "two of the examples have a file flows/hours.yaml"),
        ("postroad.yaml", "project: p\nconnections:\n  erp: {connector: fake}\n", "have a connection 'erp'"),
    ],
)
def test_examples_that_clash_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, message: str
) -> None:
    monkeypatch.setitem(SECOND, file, text)
    with pytest.raises(ConfigError, match=message):
        init_project(tmp_path / "new", "fake", "second")
    assert not (tmp_path / "new").exists()


def test_what_holds_secrets_is_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXAMPLE, ".env", "FAKE_TOKEN=x\n")
    init_project(tmp_path, "fake")
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine")
    assert tmp_path / ".gitignore" not in init_project(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="holds a project already"):
        init_project(tmp_path, "fake")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_file_is_no_folder_and_an_unknown_example_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is not a folder"):
        init_project(tmp_path / "file")
    with pytest.raises(ConfigError):
        init_project(tmp_path / "new", "broken")
    assert not (tmp_path / "new").exists()


def test_the_check_names_its_steps_and_where_it_looked(write: Write) -> None:
    folder = write({"postroad.yaml": ROOT, ".env": "TOKEN=x"})
    assert steps(folder) == [("configuration", True), ("secret TOKEN", True), ("lake", True), ("database", True)]
    (secret,) = [check for check in check_project(folder) if check.step == "secret TOKEN"]
    assert secret.sentence == "found in .env; looked in: environment variable TOKEN, .env"
    assert sorted(path.name for path in folder.iterdir()) == [".env", "postroad.yaml"]


def test_the_check_goes_on_after_a_missing_secret(write: Write) -> None:
    assert steps(write({"postroad.yaml": ROOT}))[1:] == [("secret TOKEN", False), ("lake", True), ("database", True)]


def test_the_check_tells_every_mistake_and_ends(write: Write) -> None:
    found = list(check_project(write({"postroad.yaml": "lakee: x\n"})))
    assert [(check.step, check.ok) for check in found] == [("configuration", False)] * 2
    assert found[1].sentence.startswith("postroad.yaml:1:1 unknown-key")


def test_a_lake_that_cannot_be_written_is_told(write: Write) -> None:
    folder = write({"postroad.yaml": "project: acme\nlake: ./taken/lake\n", "taken": "a file in the way"})
    (lake,) = [check for check in check_project(folder) if check.step == "lake"]
    assert not lake.ok
    assert "cannot be written" in lake.sentence


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_lake_without_rights_is_told(write: Write) -> None:
    folder = write({"postroad.yaml": "project: acme\nlake: ./closed\n"})
    (folder / "closed").mkdir(mode=0o500)
    assert ("lake", False) in steps(folder)


def test_sqlite_on_a_network_file_system_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write({"postroad.yaml": "project: acme\n", "mounts": ""})
    (folder / "mounts").write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {folder} nfs4 rw 0 0\n")
    monkeypatch.setattr("postroad.project.checking.MOUNTS", folder / "mounts")
    (database,) = [check for check in check_project(folder) if check.step == "database"]
    assert not database.ok
    assert database.sentence.endswith("is on nfs4, where SQLite is not safe: use PostgreSQL")


def test_postgresql_needs_no_local_disk(write: Write) -> None:
    folder = write({"postroad.yaml": "project: acme\ndatabase: postgresql://u:pl4nted@localhost/x\n"})
    assert ("database", True) in steps(folder)
    assert "pl4nted" not in repr(list(check_project(folder))) + repr(load_project(folder))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/x.db", None),
        ("/data/share/x.db", "cifs"),
        ("/data/share/local/x.db", None),
        ("/data/sharex/x.db", None),
        ("/data/my disk/x.db", "fuse.sshfs"),
        ("/data/over/x.db", None),
    ],
)
def test_the_longest_and_latest_mount_counts(tmp_path: Path, path: str, kind: str | None) -> None:
    (tmp_path / "mounts").write_text(
        "/dev/sda / ext4 rw 0 0\n//srv/share /data/share cifs rw 0 0\n/dev/sdb /data/share/local xfs rw 0 0\n"
        "me@x:/ /data/my\\040disk fuse.sshfs rw 0 0\nsrv:/x /data/over nfs rw 0 0\n/dev/sdc /data/over ext4 rw 0 0\n"
    )
    assert network_filesystem(Path(path), tmp_path / "mounts") == kind
    assert network_filesystem(Path(path), tmp_path / "none") is None


def test_a_store_that_does_not_answer_is_told(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroad.lake.objects.PATIENCE", 1.0)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)  # tests of flows leave it empty for the whole process
    lake = "{url: az://dev, account: acme, key: QUJD, endpoint: 'http://127.0.0.1:9/acme'}"
    (found,) = [check for check in check_project(write({"postroad.yaml": f"project: acme\nlake: {lake}\n"}))
                if check.step == "lake"]  # fmt: skip
    assert not found.ok
    assert found.sentence.startswith("az://dev did not answer")
