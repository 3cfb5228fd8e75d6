"""What the documentation points to exists: files, headings, commands and their options."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A command stands alone on a line of a block, after `$ ` or indented, or between backticks in a sentence.
TYPED = re.compile(r"^(?:\$ |)(?:timeout -s KILL \d+ )?(postroad .+)$", re.MULTILINE)
QUOTED = re.compile(r"`(postroad [^`\n]+)`")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FOREIGN = {"simulate"}  # its options are the connector's


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ +(.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist_with_their_options(page: Path) -> None:
    app = typer.main.get_command(importlib.import_module("postroad.cli").app)
    text = page.read_text()
    typed = [line for block in BLOCK.findall(text) for line in TYPED.findall(block)]
    wrong = [line for line in [*typed, *QUOTED.findall(text)] if not understood(app, line)]
    assert not wrong


def test_each_weakness_of_the_earlier_app_has_its_line_and_its_test() -> None:
    """The numbers of the fact sheet, 3.3: 1 to 30, none missing, none twice on the page."""
    page = (ROOT / "docs" / "connectors" / "xledger.md").read_text().partition("## Weaknesses")[2]
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == list(range(1, 31))
    text = (ROOT / "tests" / "flow" / "test_weaknesses.py").read_text()
    tested = [int(number) for number in re.findall(r"^def test_weakness_(\d\d)_", text, re.MULTILINE)]
    assert sorted(set(tested)) == list(range(1, 31))
    assert tested == sorted(tested), "they stand in their order"


def understood(command: Any, line: str) -> bool:
    words = iter(arguments(line))
    while hasattr(command, "commands"):
        word = next(words, None)
        if word is None or not re.fullmatch(r"[a-z]+", word):
            return word is None or not word.isalpha() or word.isupper()  # `postroad COMMAND`, `postroad state …`
        if word not in command.commands:
            return False
        command = command.commands[word]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return command.name in FOREIGN or {word.split("=")[0] for word in words if word.startswith("-")} <= known


def arguments(line: str) -> Iterator[str]:
    """The words after `postroad`, up to what belongs to the shell; brackets and bars mark choices."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    for word in list(lexer)[1:]:
        if word[0] in "|;&>":
            return
        yield word.strip("[]")
