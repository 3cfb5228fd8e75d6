"""Files that somebody made to do harm, or that went wrong on their way; each must be refused without harm."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache

from postroad.connectors.excel_link.simulator.render import rendered

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Your session has expired</h1></body></html>"
SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"
DOCTYPE = b'<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE x [%b]>'
MADE = datetime(2026, 1, 1, tzinfo=UTC)


def plain() -> bytes:
    """A small workbook without harm, which the others are made from."""
    return rendered("xlsx", ["Code", "Description"], [{"Code": "1", "Description": "one"}], MADE)


def rezipped(replaced: Mapping[str, bytes], added: Mapping[str, bytes] | None = None) -> bytes:
    """The small workbook with some members replaced and others added."""
    memory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain())) as old, zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, replaced.get(info.filename, old.read(info.filename)))
        for name, data in (added or {}).items():
            new.writestr(name, data)
    return memory.getvalue()


def sheet_of(rows: bytes, prolog: bytes = b"") -> bytes:
    """A sheet whose data are these row elements."""
    space = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return prolog + b'<worksheet xmlns="%b"><sheetData>%b</sheetData></worksheet>' % (space, rows)


@cache
def _bomb() -> bytes:
    """Packing it takes a second, and it is served again to every further try."""
    return rezipped({}, {"xl/media/zeros.bin": bytes(300 << 20)})


def _entities() -> bytes:
    """The billion laughs: ten times ten times …"""
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    prolog = DOCTYPE % f'<!ENTITY a0 "ha">{levels}'.encode()
    return rezipped({SHEET: sheet_of(b'<row r="1"><c r="A1" t="inlineStr"><is><t>&a9;</t></is></c></row>', prolog)})


def _external_entity() -> bytes:
    prolog = DOCTYPE % b'<!ENTITY file SYSTEM "file:///etc/passwd">'
    return rezipped({SHEET: sheet_of(b'<row r="1"><c r="A1" t="inlineStr"><is><t>&file;</t></is></c></row>', prolog)})


def _far_cell() -> bytes:
    cells = b'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    return rezipped({SHEET: sheet_of(cells)})


def _repeated_text() -> bytes:
    """One long text that every cell shows: small in the file, huge in memory."""
    strings = b"<sst><si><t>%b</t></si></sst>" % (b"x" * 32_000)
    rows = b"".join(b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (row, row) for row in range(1, 20_001))
    return rezipped({STRINGS: strings, SHEET: sheet_of(rows)})


def _traversal() -> bytes:
    return rezipped({}, {"../../etc/cron.d/evil": b"* * * * * root true\n"})


def _lying_size() -> bytes:
    """The directory says 10 bytes; the data are a megabyte."""
    zeros = bytes(1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(zeros) + packer.flush()
    whole = rezipped({}, {"xl/lie.bin": zeros})
    lie, truth = struct.pack("<II", len(packed), 10), struct.pack("<II", len(packed), len(zeros))
    return whole.replace(truth, lie)


def _encrypted() -> bytes:
    """The beginning of an encrypted workbook, which is no zip but an old compound file."""
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(512)


def _macros() -> bytes:
    """No harm: what would run is never looked at."""
    return rezipped({}, {"xl/vbaProject.bin": b"Sub AutoOpen()"})


KINDS: Mapping[str, Callable[[], bytes]] = {
    "bomb": _bomb,
    "encrypted": _encrypted,
    "entities": _entities,
    "external_entity": _external_entity,
    "far_cell": _far_cell,
    "lying_size": _lying_size,
    "macros": _macros,
    "repeated_text": _repeated_text,
    "traversal": _traversal,
}
"""Hostile workbooks by name."""
