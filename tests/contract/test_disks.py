"""What the disk of a lake must do, whichever it is: on this machine, and in a container of Azurite."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from postroad.errors import ConfigError, StateError
from postroad.lake.delta import FENCE, DeltaLog, Member
from postroad.lake.disk import Disk, LocalDisk
from postroad.lake.objects import BLOCK, ObjectStore
from postroad.lake.parquet import SortedFile, finish, read_file
from postroad.telemetry import Point
from tests.azurite import Container

POINT = Point.PAYLOAD_FILE
SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), ("text", pa.string())])


@pytest.fixture(params=["local", "azurite"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """An empty disk."""
    if request.param == "local":
        yield LocalDisk(tmp_path / "lake")
        return
    container: Container = request.getfixturevalue("container")
    yield ObjectStore(f"{container.url}/lake", container.options)


def test_a_file_is_there_with_its_point_or_not_at_all(disk: Disk) -> None:
    passed: list[bool] = []
    disk.watcher = lambda point: passed.append(point is POINT and disk.exists("landing/a/1.zst"))
    assert not disk.exists("landing/a/1.zst")
    disk.write_new("landing/a/1.zst", b"one", POINT)
    assert passed == [True]
    assert (disk.read("landing/a/1.zst"), disk.size("landing/a/1.zst")) == (b"one", 3)


def test_a_file_is_never_overwritten(disk: Disk) -> None:
    disk.write_new("landing/a/1.zst", b"one", POINT)
    with pytest.raises(FileExistsError):
        disk.write_new("landing/a/1.zst", b"two", POINT)
    assert disk.read("landing/a/1.zst") == b"one"


def test_of_writers_at_the_same_moment_one_wins(disk: Disk) -> None:
    start, refused = threading.Barrier(4), []

    def write(data: bytes) -> None:
        start.wait()
        try:
            disk.write_new("landing/a/1.zst", data, POINT)
        except FileExistsError:
            refused.append(data)

    every = [bytes([letter]) * 1000 for letter in b"abcd"]
    threads = [threading.Thread(target=write, args=[data]) for data in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [data for data in every if data not in refused] == [disk.read("landing/a/1.zst")]


@pytest.mark.parametrize("size", [0, 1, BLOCK, 2 * BLOCK + 1])
def test_a_file_of_any_size_is_streamed(disk: Disk, size: int) -> None:
    data = os.urandom(size)
    file = disk.create("tables/a/b/1.parquet")
    for start in range(0, size, 700_000):
        file.write(data[start : start + 700_000])
    assert disk.seal("tables/a/b/1.parquet", file, POINT) == size
    assert disk.size("tables/a/b/1.parquet") == size
    with disk.open("tables/a/b/1.parquet") as source:
        assert source.size() == size
        assert source.read(10) == data[:10]
        source.seek(max(size - 5, 0))
        assert source.read() == data[-5:]
    assert disk.read("tables/a/b/1.parquet") == data


def test_a_discarded_file_leaves_nothing(disk: Disk) -> None:
    file = disk.create("tables/a/b/1.parquet")
    file.write(b"x" * (BLOCK + 1))
    disk.discard("tables/a/b/1.parquet", file)
    assert list(disk.names("tables")) == []


def test_a_move_that_is_done_again_is_done(disk: Disk) -> None:
    disk.write_new("changes/a/b/_staged/1.parquet", b"rows", POINT)
    for _ in range(2):
        disk.move("changes/a/b/_staged/1.parquet", "changes/a/b/1.parquet")
        assert list(disk.names("changes")) == ["changes/a/b/1.parquet"]
        assert disk.read("changes/a/b/1.parquet") == b"rows"
    with pytest.raises(FileNotFoundError):
        disk.move("changes/a/b/_staged/2.parquet", "changes/a/b/2.parquet")


def test_a_file_that_is_gone_says_so(disk: Disk) -> None:
    disk.write_new("landing/a/1.zst", b"one", POINT)
    for _ in range(2):
        disk.remove("landing/a/1.zst")
    assert not disk.exists("landing/a/1.zst")
    for look in (disk.read, disk.size, disk.open):
        with pytest.raises(FileNotFoundError):
            look("landing/a/1.zst")


def test_names_are_those_below_a_folder(disk: Disk) -> None:
    written = {f"changes/{name}" for name in ("a/b/1", "a/b/_delta_log/0", "a/bc/1", "ab/b/1", "å/ä/ö 1=2+3%20.x")}
    for name in written:
        disk.write_new(name, b"", POINT)
    assert set(disk.names("changes")) == written
    assert set(disk.names("changes/a/b")) == {"changes/a/b/1", "changes/a/b/_delta_log/0"}
    assert list(disk.names("tables")) == []
    assert all(disk.read(name) == b"" for name in written)


def test_rows_come_back_as_they_were_written(disk: Disk) -> None:
    name, rows = "tables/a/b/1.parquet", _rows(range(60_000))
    file = SortedFile(disk, name, SCHEMA, ["id"], POINT)
    file.write(rows)
    assert finish(file, "tables/a/b", ["id"]) == Member("1.parquet", 60_000, disk.size(name), {"id": 0}, {"id": 59_999})
    assert pa.concat_tables(read_file(disk, name, SCHEMA)).equals(rows)


def test_commits_carry_their_positions_and_files(disk: Disk) -> None:
    log = DeltaLog(disk, "tables/a/b")
    log.open_for_writing()
    assert (log.exists(), log.expected, log.members()) == (False, None, [])
    for version in (10, 20):
        member = _file(disk, f"{version}.parquet")
        log.commit(SCHEMA, version, [member], positions={"changes": version}, point=POINT, check=_leased)
        again = DeltaLog(disk, "tables/a/b")
        assert (again.exists(), again.actions([FENCE, "changes"])) == (True, {FENCE: version, "changes": version})
        assert [each.path for each in again.members()] == [f"{each}.parquet" for each in (10, 20) if each <= version]
    assert log.ever_named() == {"10.parquet", "20.parquet"}


def test_a_column_is_added_under_the_fence(disk: Disk) -> None:
    log, other = DeltaLog(disk, "tables/a/b"), DeltaLog(disk, "tables/a/b")
    log.open_for_writing()
    log.commit(SCHEMA, 10, [_file(disk, "1.parquet")], point=POINT, check=_leased)
    other.open_for_writing()
    log.add_columns([pa.field("more", pa.int64())], check=_leased)
    assert (log.schema() or SCHEMA).names == ["id", "text", "more"]
    log.commit(SCHEMA, 20, [], point=POINT, check=_leased)
    with pytest.raises(StateError, match="somebody else"):
        other.add_columns([pa.field("most", pa.int64())], check=_leased)


@pytest.mark.parametrize("begun", [False, True])
def test_of_two_writers_of_a_table_one_is_refused(disk: Disk, begun: bool) -> None:
    """Both saw the same fence and passed every check: the store decides, and nothing of the loser is in the table."""
    if begun:
        first = DeltaLog(disk, "tables/a/b")
        first.open_for_writing()
        first.commit(SCHEMA, 5, [], point=POINT, check=_leased)
    together, refused = threading.Barrier(2), []

    def commit(version: int) -> None:
        log = DeltaLog(disk, "tables/a/b")
        log.open_for_writing()
        member = _file(disk, f"{version}.parquet")
        try:
            log.commit(SCHEMA, version, [member], point=POINT, check=lambda: (together.wait(20), None)[1])
        except StateError:
            refused.append(version)

    threads = [threading.Thread(target=commit, args=[version]) for version in (10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (loser,) = refused
    log = DeltaLog(disk, "tables/a/b")
    assert log.action(FENCE) == 30 - loser
    assert [member.path for member in log.members()] == [f"{30 - loser}.parquet"]


def test_a_table_is_tidied(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint, from which another opens the table; files out of it for long enough are deleted."""
    monkeypatch.setattr("postroad.lake.delta.TIDY_EVERY", 3)
    eight_days_ago = time.time_ns() - 8 * 24 * 3600 * 1_000_000_000
    monkeypatch.setattr("postroad.lake.delta.time", SimpleNamespace(time_ns=lambda: eight_days_ago))
    log = DeltaLog(disk, "tables/a/b")
    log.open_for_writing()
    old: list[Member] = []
    for version in (10, 20, 30, 40):
        new = [_file(disk, f"{version}.parquet")]
        log.commit(SCHEMA, version, new, old, {"changes": version}, point=POINT, check=_leased)
        log.tidy()
        old = new
    assert any("checkpoint.parquet" in name for name in disk.names("tables/a/b/_delta_log"))
    assert not disk.exists("tables/a/b/10.parquet")
    again = DeltaLog(disk, "tables/a/b")
    assert again.actions([FENCE, "changes"]) == {FENCE: 40, "changes": 40}
    assert [member.path for member in again.members()] == ["40.parquet"]


def test_a_rotated_key_is_found_after_a_refusal(container: Container) -> None:
    """And neither key is shown by whoever holds it."""
    keys = ["cGxhbnRlZCBwbGFudGVk", container.options()["account_key"]]
    disk = ObjectStore(container.url, lambda: {**container.options(), "account_key": keys[0]})
    with pytest.raises(ConfigError, match="refuses us") as refused:
        disk.write_new("landing/a/1.zst", b"one", POINT)
    assert keys.pop(0) not in f"{refused.value} {disk!r} {disk._store!r}"
    disk.write_new("landing/a/1.zst", b"one", POINT)
    assert keys[0] not in repr(disk._store)


def test_a_machine_without_certificates_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match="ca-certificates"):
        ObjectStore("az://dev", lambda: {"account_name": "acme", "account_key": "QUJD"}).probe()


def _rows(numbers: range) -> pa.Table:
    return pa.table([list(numbers), [f"text {number}" for number in numbers]], schema=SCHEMA)


def _file(disk: Disk, name: str) -> Member:
    file = SortedFile(disk, f"tables/a/b/{name}", SCHEMA, ["id"], POINT)
    file.write(_rows(range(3)))
    return finish(file, "tables/a/b", ["id"])


def _leased() -> None:
    """The lease is ours."""
