"""Reads one YAML 1.2 file into nodes, as hostile input: no tags, no bombs, no duplicate keys, no surprises.

Values are composed from the parser's events, so that depth and size are known before anything is built, and every
duplicate key of a file is reported instead of the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

from postroad.project.nodes import Node, Notes, Spot

MOST_BYTES = 1_000_000
MOST_VALUES = 100_000
MOST_DEPTH = 50
LEADING_ZERO = re.compile(r"[+-]?0[0-9]+")
CORE = "tag:yaml.org,2002:"


def read_yaml(raw: bytes, name: str, notes: Notes) -> Node | None:
    """The mapping that the file's bytes hold (none: an empty one), or None after noting why there is none."""
    start = Spot(name)
    if len(raw) > MOST_BYTES:
        notes.mistake(start, "too-large", f"the file is over {MOST_BYTES:,} bytes")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, before = raw.count(b"\n", 0, error.start) + 1, raw.rfind(b"\n", 0, error.start)
        notes.mistake(Spot(name, line, error.start - before), "bad-yaml", "the file is not UTF-8")
        return None
    return _document(text, name, notes)


def _document(text: str, name: str, notes: Notes) -> Node | None:
    reader = _Reader(text, name, notes)
    try:
        node = reader.document()
    except _UnreadableError:
        return None
    except YAMLError as error:
        notes.mistake(_where(error, text, name), "bad-yaml", _problem(error))
        return None
    if node is None or node.value is None:
        return Node({}, Spot(name), Spot(name))
    if not isinstance(node.value, dict):
        notes.mistake(node.spot, "wrong-type", "the file must hold keys and values")
        return None
    return node


def _where(error: YAMLError, text: str, name: str) -> Spot:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    if mark is not None:
        return Spot(name, mark.line + 1, mark.column + 1)
    position = error.position if isinstance(error, ReaderError) else 0
    return Spot(name, text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))


def _problem(error: YAMLError) -> str:
    """What is wrong, without the lines that the library's message quotes: they may hold a secret."""
    problem = error.problem if isinstance(error, MarkedYAMLError) else None
    return problem or "a character that YAML does not allow"


class _UnreadableError(Exception):
    """The file cannot be read on; the reason is noted."""


class _Reader:
    """Composes the nodes of one text; `anchors` holds finished nodes with their sizes, so no alias can be circular."""

    def __init__(self, text: str, name: str, notes: Notes) -> None:
        self.text, self.name, self.notes = text, name, notes
        self.yaml = YAML(typ="safe", pure=True)
        self.events: Iterator[Any] = iter(self.yaml.parse(text))
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.values = 0

    def spot(self, mark: Any) -> Spot:
        return Spot(self.name, mark.line + 1, mark.column + 1)

    def stop(self, mark: Any, sentence: str) -> _UnreadableError:
        self.notes.mistake(self.spot(mark), "bad-yaml", sentence)
        return _UnreadableError()

    def document(self) -> Node | None:
        """The root node of the only document, None if there is none."""
        root: Node | None = None
        begun = False
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                if begun:
                    raise self.stop(event.start_mark, "a second document; a project file holds one")
                if event.version not in (None, (1, 2)):
                    raise self.stop(event.start_mark, "project files are YAML 1.2; remove the directive")
                begun = True
                root = self.node(next(self.events), 0)
        return root

    def node(self, event: Any, depth: int) -> Node:
        """The node that begins with the event."""
        before = self.values
        self.values += 1
        if depth > MOST_DEPTH:
            raise self.stop(event.start_mark, f"values are nested more than {MOST_DEPTH} deep")
        if isinstance(event, AliasEvent):
            node = self.alias(event)
        else:
            self.untagged(event)
            node = self.built(event, depth)
            if event.anchor:
                self.anchors[event.anchor] = (node, self.values - before)
        if self.values > MOST_VALUES:
            raise self.stop(event.start_mark, f"the file holds more than {MOST_VALUES:,} values, aliases included")
        return node

    def alias(self, event: Any) -> Node:
        if event.anchor not in self.anchors:
            raise self.stop(event.start_mark, "an alias of something that is not defined above it")
        node, size = self.anchors[event.anchor]
        self.values += size
        return node

    def untagged(self, event: Any) -> None:
        tag = str(event.tag) if event.tag is not None else None
        if tag not in (None, "!", *(CORE + kind for kind in ("str", "int", "float", "bool", "null", "seq", "map"))):
            self.notes.mistake(self.spot(event.start_mark), "bad-yaml", "a tag; project files hold plain values only")

    def built(self, event: Any, depth: int) -> Node:
        if isinstance(event, MappingStartEvent):
            return self.mapping(event, depth)
        if isinstance(event, SequenceStartEvent):
            return self.sequence(event, depth)
        return self.scalar(event)

    def sequence(self, event: Any, depth: int) -> Node:
        items = []
        while not isinstance(item := next(self.events), SequenceEndEvent):
            items.append(self.node(item, depth + 1))
        return Node(items, self.spot(event.start_mark), self.spot(event.start_mark))

    def mapping(self, event: Any, depth: int) -> Node:
        values: dict[str, Node] = {}
        while not isinstance(first := next(self.events), MappingEndEvent):
            key, spot = self.node(first, depth + 1).value, self.spot(first.start_mark)
            value = replace(self.node(next(self.events), depth + 1), key=spot)
            if not isinstance(key, str) or key == "<<":
                self.notes.mistake(spot, "wrong-type", "a key must be a text; put it in quotes")
            elif key in values:
                line = values[key].key.line
                self.notes.mistake(spot, "duplicate-key", f"'{key}' is given again; it stands on line {line} already")
            else:
                values[key] = value
        return Node(values, self.spot(event.start_mark), self.spot(event.start_mark))

    def scalar(self, event: ScalarEvent) -> Node:
        spot = self.spot(event.start_mark)
        value = self.typed(event, spot)
        dollars = self.dollars(event) if isinstance(value, str) and "$" in value else ()
        return Node(value, spot, spot, dollars)

    def typed(self, event: ScalarEvent, spot: Spot) -> Any:
        """The value under YAML 1.2's rules; dates, codes with leading zeros and absurd numbers stay texts."""
        text: str = event.value
        if event.style is None and LEADING_ZERO.fullmatch(text):
            self.notes.warning(
                spot, "leading-zero", f"{text} is read as the text '{text}', not as a number", "quote it"
            )
            return text
        tag = str(event.tag or self.yaml.resolver.resolve(ScalarNode, text, event.implicit))
        if tag.removeprefix(CORE) not in ("int", "float", "bool", "null"):
            return text
        build = getattr(self.yaml.constructor, f"construct_yaml_{tag.removeprefix(CORE)}")
        try:
            return build(ScalarNode(tag, text))
        except (ValueError, KeyError, IndexError):
            return text

    def dollars(self, event: ScalarEvent) -> tuple[Spot, ...]:
        """Where each `$` stands; folding and quoting move characters but keep their number and order."""
        begin, end = event.start_mark, event.end_mark
        spots = []
        line, column = begin.line, begin.column
        for character in self.text[begin.index : end.index]:
            if character == "$":
                spots.append(Spot(self.name, line + 1, column + 1))
            line, column = (line + 1, 0) if character == "\n" else (line, column + 1)
        return tuple(spots)
