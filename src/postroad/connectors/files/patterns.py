"""The pattern of a dataset's files, and which files are never meant: hidden ones and those that are being written."""

from __future__ import annotations

import re
from functools import cache

PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
PIECES = re.compile(r"\*\*/|\*|\?|\{[a-z][a-z0-9_]*\}|[^*?{]+|\{")
# What browsers, file servers, office programs and copying tools call a file that is not whole.
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", "~")
UNFINISHED_BEGINS = (".", "~$")


def places(pattern: str) -> list[str]:
    """The names in braces, in order: what they match becomes a column."""
    return PLACE.findall(pattern)


@cache
def expression(pattern: str) -> re.Pattern[str]:
    """`*`, `?` and `{name}` match within one folder, `**/` any folders below."""
    wild = {"**/": r"(?:[^/]+/)*", "*": r"[^/]*", "?": r"[^/]"}
    found = []
    for piece in PIECES.findall(pattern):
        name = PLACE.fullmatch(piece)
        found.append(f"(?P<{name[1]}>[^/]+?)" if name else wild.get(piece) or re.escape(piece))
    return re.compile("".join(found), re.DOTALL)


def matched(pattern: str, name: str) -> dict[str, str] | None:
    """What the names in braces stand for in a file's name; None if the file is none of the pattern's."""
    found = expression(pattern).fullmatch(name)
    return None if found is None else found.groupdict()


def unfinished(name: str) -> bool:
    """Whether a file, or a folder on its way, is hidden or named as one that is still being written."""
    parts = name.split("/")
    return any(part.startswith(UNFINISHED_BEGINS) for part in parts) or parts[-1].casefold().endswith(UNFINISHED)
