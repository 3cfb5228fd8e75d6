"""XML parts of a workbook, read by expat before the spreadsheet reader sees them.

Well-formed, in UTF-8, without a document type: so entities, external or nested, do not exist, and no two readers can
understand a part differently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn
from xml.parsers import expat

from postroad.errors import RemoteError

Attributes = dict[str, str]
Begin = Callable[[str, Attributes], None]
UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"\0<", b"<\0")


def scan(pieces: Iterable[bytes], begin: Begin | None = None, text: Callable[[str], None] | None = None) -> None:
    """Parse one part; `begin` is told each element by its local name with attributes as written, `text` all text.

    A text may come in pieces; an empty part holds nothing. RemoteError for what is not well-formed, not in UTF-8 or
    declares a document type.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.EntityDeclHandler = _no_doctype
    parser.XmlDeclHandler = _only_utf8
    if begin is not None:
        parser.StartElementHandler = lambda name, attributes: begin(name.rpartition(":")[2], attributes)
    if text is not None:
        parser.CharacterDataHandler = text
    began = False
    try:
        for piece in pieces:
            if not began and piece[:2] in UTF_16:
                _only_utf8("", "utf-16", 0)
            began = began or bool(piece)
            parser.Parse(piece, False)
        if began:  # programs that write ods list empty parts
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise RemoteError(f"a part of the workbook is no well-formed XML ({error}): export it again") from None


def local(attributes: Attributes, name: str) -> str | None:
    """An attribute by its local name, whatever its prefix."""
    for key, value in attributes.items():
        if key == name or key.endswith(f":{name}"):
            return value
    return None


def _no_doctype(*_: object) -> NoReturn:
    raise RemoteError(
        "a part of the workbook declares a document type or entities: no spreadsheet program writes that; it is refused"
    )


def _only_utf8(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.casefold() not in ("utf-8", "utf8", "us-ascii"):
        raise RemoteError("a part of the workbook is not in UTF-8: save it again with a spreadsheet program")
