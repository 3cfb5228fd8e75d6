"""Fills `$VAR` and `secret://NAME` into a project's nodes from the environment, `.env` and the `secrets` folder."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from postroad.errors import ConfigError, Mistake
from postroad.project.nodes import Node, Notes, Spot
from postroad.sdk.secrets import Secret

DOTENV = ".env"
SECRETS = "secrets"
VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?P<default>:-[^}$]*)?\})?", re.ASCII
)
SECRET = re.compile(r"secret://(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)")
LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_]\w*)\s*=\s*
    (?:'(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | (?P<bare>(?:[^\s'"\#] (?:(?!\s\#).)*)?))
    \s*(?:\#.*)?""",
    re.VERBOSE | re.ASCII,
)


def read_dotenv(folder: Path, notes: Notes | None = None) -> dict[str, str]:
    """The variables of the folder's `.env`: `NAME=value`, quotes and `# comments` as shells have them, no expansion."""
    found: dict[str, str] = {}
    text = _text_of(folder / DOTENV)
    if text is None and notes:
        notes.mistake(Spot(DOTENV), "unreadable", "the file cannot be read, or is not UTF-8")
    for number, line in enumerate((text or "").splitlines(), 1):
        match = LINE.fullmatch(line)
        if match:
            found[match["name"]] = _unquoted(match)
        elif notes and line.strip() and not line.lstrip().startswith("#"):
            notes.mistake(Spot(DOTENV, number), "bad-env", "the line is not NAME=value")
    return found


def _text_of(path: Path) -> str | None:
    """The file's text, "" if there is no file, None if it cannot be read: the error itself would hold bytes of it."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return None


def _unquoted(match: re.Match[str]) -> str:
    if match["double"] is not None:
        return re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t"}.get(escape[1], escape[1]), match["double"])
    return match["single"] if match["single"] is not None else match["bare"].rstrip()


@dataclass(frozen=True)
class SecretReference:
    """A `secret://NAME` of a project: where it stands, and how it is found: environment, `.env`, `secrets/NAME`."""

    name: str
    folder: Path
    spot: Spot

    @property
    def file(self) -> Path:
        """The file that may hold it."""
        return self.folder / SECRETS / self.name

    def reveal(self) -> str:
        """The value now; ConfigError with code `missing-secret` that lists the places looked in."""
        value, trail = self._look()
        if value is None:
            sentence = f"no value for secret://{self.name}; looked in: {', '.join(trail)}"
            spot = self.spot
            raise ConfigError(mistakes=[Mistake(spot.file, spot.line, spot.column, "missing-secret", sentence)])
        return value

    def looked(self) -> tuple[bool, list[str]]:
        """Whether it is found, and the places looked in; the last one holds it."""
        value, trail = self._look()
        return value is not None, trail

    def readable_by_all(self) -> bool:
        """Whether it is in a file that everybody on this machine may read."""
        return os.name == "posix" and self.file.is_file() and bool(self.file.stat().st_mode & stat.S_IROTH)

    def _look(self) -> tuple[str | None, list[str]]:
        trail = [f"environment variable {self.name}"]
        if value := os.environ.get(self.name):
            return value, trail
        trail.append(DOTENV)
        if value := read_dotenv(self.folder).get(self.name):
            return value, trail
        text = _text_of(self.file)
        trail.append(f"{SECRETS}/{self.name}" + (" (which cannot be read)" if text is None else ""))
        return (text or "").rstrip("\r\n") or None, trail


class Filler:
    """Fills one project's nodes; collects the secrets that it meets."""

    def __init__(self, folder: Path, notes: Notes) -> None:
        self.folder, self.notes = folder, notes
        self.variables: Mapping[str, str] = {**read_dotenv(folder, notes), **os.environ}
        self.secrets: list[SecretReference] = []

    def fill(self, node: Node) -> Node:
        """The node with every `$VAR` replaced and every `secret://` turned into a Secret."""
        value = node.value
        if isinstance(value, dict):
            return replace(node, value={key: self.fill(child) for key, child in value.items()})
        if isinstance(value, list):
            return replace(node, value=[self.fill(child) for child in value])
        if isinstance(value, str) and value.startswith("secret://"):
            return replace(node, value=self._secret(node))
        return self._text(node) if isinstance(value, str) and "$" in value else node

    def secret(self, name: str, spot: Spot) -> Secret | None:
        """A secret that no file names, if it is to be found where those are looked for."""
        reference = SecretReference(name, self.folder, spot)
        if not reference.looked()[0]:
            return None
        self.secrets.append(reference)
        return Secret(reference.reveal, f"secret://{name}")

    def forget(self, spots: Sequence[Spot]) -> None:
        """Drop the secrets of values that are not used after all."""
        self.secrets = [each for each in self.secrets if each.spot not in spots]

    def _secret(self, node: Node) -> Any:
        match = SECRET.fullmatch(node.value)
        if match is None:
            self.notes.mistake(node.spot, "bad-secret", "a secret's name has letters, digits, '_', '.' and '-' only")
            return Secret("-", "secret://?")
        reference = SecretReference(match["name"], self.folder, node.spot)
        self.secrets.append(reference)
        if reference.readable_by_all():
            sentence = f"everybody on this machine can read {SECRETS}/{reference.name}"
            self.notes.warning(node.spot, "readable-secret", sentence, f"chmod 600 {SECRETS}/{reference.name}")
        return Secret(reference.reveal, f"secret://{reference.name}")

    def _text(self, node: Node) -> Node:
        spots = iter(node.dollars)

        def filled(match: re.Match[str]) -> str:
            # A `$` that was written as an escape stands nowhere in the file: the text's own place will do.
            first, *_ = [next(spots, node.spot) for _ in range(match[0].count("$"))]
            return self._variable(match, first)

        return replace(node, value=VARIABLE.sub(filled, node.value), literal=False)

    def _variable(self, match: re.Match[str], spot: Spot) -> str:
        if match["dollar"]:
            return "$"
        name, default = match["bare"] or match["name"], match["default"]
        if name is None:
            self.notes.mistake(
                spot, "bad-variable", "a '$' that begins no $NAME, ${NAME} or ${NAME:-default}", "write $$ for a dollar"
            )
            return ""
        value = self.variables.get(name)
        if default is not None:
            return value or default[2:]
        if value is None:
            self.notes.mistake(spot, "unset-variable", f"${name} is set neither in the environment nor in {DOTENV}")
        return value or ""
