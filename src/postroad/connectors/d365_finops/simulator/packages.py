"""The package builder: one zip of entity files, manifest and header, streamed to a file in the background (3.1).

A package is built from frozen rows, so nothing waits for it; its memory is that of a block of rows. It writes into the
simulator's own temporary folder, which goes with the simulator: nothing here outlives the process on purpose.
"""

from __future__ import annotations

import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import gmtime
from typing import Literal, get_args

from postroad.connectors.d365_finops.simulator import manifests
from postroad.connectors.d365_finops.simulator.csvfile import CsvWriter
from postroad.connectors.d365_finops.simulator.excelfile import ExcelWriter
from postroad.connectors.d365_finops.simulator.files import EntityFile, ExportError
from postroad.connectors.d365_finops.simulator.switches import Switches
from postroad.connectors.d365_finops.simulator.texts import FileText

Hostile = Literal["traversal", "absolute", "drive", "symlink", "many", "bomb", "twice", "folder", "encrypted", "nested"]
Kept = Literal["whole", "partial", "absent"]
HOSTILE: tuple[Hostile, ...] = get_args(Hostile)
KEPT: tuple[Kept, ...] = get_args(Kept)

MANY = 100_001
BOMB_BYTES = 1 << 28
LARGE_FILE = 1 << 20  # rows from which on an entry may pass 2 GiB; the genuine packages have no zip64 fields


@dataclass(frozen=True)
class Planned:
    """One file of a package to build: its refresh type, and how much of it is there if its entity failed."""

    file: EntityFile
    refresh: str
    kept: Kept = "whole"


@dataclass(frozen=True)
class Plan:
    """A package to build."""

    project: str
    files: tuple[Planned, ...]
    switches: Switches
    moment: float
    hostile: Hostile | None = None
    bomb_bytes: int = BOMB_BYTES
    entries: int = MANY


@dataclass
class Build:
    """A package that is being built, or was: `sound` once it is whole. `errors` are by entity label."""

    path: Path
    done: threading.Event = field(default_factory=threading.Event)
    errors: dict[str, ExportError] = field(default_factory=dict)
    sound: bool = False

    @property
    def size(self) -> int:
        """Bytes of the finished package."""
        return self.path.stat().st_size


def start(plan: Plan, path: Path, stopping: threading.Event) -> Build:
    """Build a package on a thread of its own, until it is done or the simulator stops."""
    build = Build(path)

    def work() -> None:
        try:
            build.errors = write(plan, path, stopping.is_set)
            build.sound = not stopping.is_set()
        finally:
            build.done.set()

    threading.Thread(target=work, daemon=True).start()
    return build


def write(plan: Plan, path: Path, stopped: Callable[[], bool] = lambda: False) -> dict[str, ExportError]:
    """Write a package; the errors of the entities that could not be exported, whose files are missing."""
    errors: dict[str, ExportError] = {}
    level = plan.switches.compression
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for planned in plan.files:
            try:
                _write_file(archive, plan, planned, stopped)
            except ExportError as error:
                errors[planned.file.entity.label] = error
        files = [(planned.file, planned.refresh) for planned in plan.files]
        texts = {
            "Manifest.xml": manifests.manifest(plan.project, plan.project, files),
            "PackageHeader.xml": manifests.header(plan.project, plan.switches.package_version),
        }
        for name, text in texts.items():
            content = manifests.encoded(text, plan.switches.manifest)
            if content is not None:
                archive.writestr(_info(plan, name), content)
        if plan.hostile is not None:
            _add_hostile(archive, plan, plan.hostile)
    if path.stat().st_size > plan.switches.package_megabytes * 1_000_000:
        message = f"The file is larger than the {plan.switches.package_megabytes:g} MB that can be exported."
        errors = {planned.file.entity.label: ExportError("", message) for planned in plan.files}
    return errors


def _write_file(archive: zipfile.ZipFile, plan: Plan, planned: Planned, stopped: Callable[[], bool]) -> None:
    file, switches = planned.file, plan.switches
    if planned.kept == "absent" or (not len(file) and switches.empty_delta == "absent"):
        return
    if planned.kept == "partial":
        file = replace(file, limit=len(file) // 2)
    if not len(file) and switches.empty_delta == "zero_bytes":
        archive.writestr(_info(plan, file.name), b"")
        return
    texts = FileText(
        switches.dates, switches.decimals, switches.enums, file.format.time_zone, switches.zone_shifts_dates
    )
    if file.format.kind == "excel":
        _write_excel(archive, plan, ExcelWriter(file, texts, switches.excel_values), file)
        return
    writer = CsvWriter(file, texts, switches.quoting, switches.utf8_bom)
    if file.format.code_page in {1252, 20127}:
        for _ in writer.chunks():  # the whole file fails if one character does
            pass
    with archive.open(_info(plan, file.name), "w", force_zip64=len(file) > LARGE_FILE) as entry:
        for chunk in _until(stopped, writer.chunks()):
            entry.write(chunk)


def _write_excel(archive: zipfile.ZipFile, plan: Plan, writer: ExcelWriter, file: EntityFile) -> None:
    book = Path(f"{archive.filename}.{file.entity.table}")
    try:
        writer.write(book)
        with book.open("rb") as source, archive.open(_info(plan, file.name), "w") as entry:
            while chunk := source.read(1 << 20):
                entry.write(chunk)
    finally:
        book.unlink(missing_ok=True)


def _until(stopped: Callable[[], bool], chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if stopped():
            return
        yield chunk


def _info(plan: Plan, name: str, system: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, max(gmtime(plan.moment)[:6], (1980, 1, 1, 0, 0, 0)))
    info.compress_type = zipfile.ZIP_DEFLATED if plan.switches.compression else zipfile.ZIP_STORED
    info._compresslevel = plan.switches.compression  # type: ignore[attr-defined]  # noqa: SLF001  (public from 3.13 on)
    info.create_system = system
    return info


def _add_hostile(archive: zipfile.ZipFile, plan: Plan, hostile: Hostile) -> None:
    """An entry that no careful reader extracts."""
    names = {
        "traversal": "../../outside.csv",
        "absolute": "/tmp/outside.csv",  # noqa: S108  (never written: the name is the test)
        "drive": "C:\\Windows\\outside.csv",
        "folder": "folder/Vendors V2.csv",
    }
    if hostile in names:
        archive.writestr(_info(plan, names[hostile]), b"VENDORACCOUNTNUMBER\r\n1\r\n")
    elif hostile == "symlink":
        link = _info(plan, "link.csv", system=3)
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, b"/etc/passwd")
    elif hostile == "many":
        for number in range(plan.entries):
            archive.writestr(_info(plan, f"{number}.csv"), b"")
    elif hostile == "bomb":
        with archive.open(_info(plan, "Bomb.csv"), "w", force_zip64=True) as entry:
            for _ in range(plan.bomb_bytes >> 20):
                entry.write(bytes(1 << 20))
    elif hostile == "nested":
        archive.writestr(_info(plan, "inner.zip"), b"PK\x05\x06" + bytes(18))
    else:
        _add_again(archive, plan, encrypted=hostile == "encrypted")


def _add_again(archive: zipfile.ZipFile, plan: Plan, encrypted: bool) -> None:
    """A second entry under the name of the first one, or one whose flag says that it is encrypted."""
    name = "Secret.csv" if encrypted else archive.infolist()[0].filename
    archive.NameToInfo.pop(name, None)
    archive.writestr(_info(plan, name), b"VENDORACCOUNTNUMBER\r\n1\r\n")
    info = archive.infolist()[-1]
    if encrypted and archive.fp is not None:
        info.flag_bits |= 1
        archive.fp.seek(info.header_offset + 6)
        archive.fp.write(info.flag_bits.to_bytes(2, "little"))
