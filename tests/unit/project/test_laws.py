"""Laws of merging and of variables, on whatever Hypothesis thinks of."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.project.nodes import Node, Notes, Spot, merge
from postroad.project.reading import read_yaml
from postroad.project.variables import Filler, read_dotenv

HERE = Spot("f")
KEYS = st.sampled_from("abcd")
SCALARS = st.none() | st.integers() | st.text(max_size=3)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
MAPPINGS = st.dictionaries(KEYS, TREES, max_size=3)
# Levels that are mappings everywhere: merging is associative only where nobody replaces a mapping by a scalar.
LEVELS = st.dictionaries(
    KEYS, st.dictionaries(KEYS, st.dictionaries(KEYS, SCALARS, max_size=3), max_size=3), max_size=3
)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)


def node(value: Any) -> Node:
    if isinstance(value, dict):
        return Node({key: node(child) for key, child in value.items()}, HERE, HERE)
    return Node([node(child) for child in value] if isinstance(value, list) else value, HERE, HERE)


def merged(*values: Any) -> Any:
    first, *others = map(node, values)
    for other in others:
        first = merge(first, other)
    return first.plain()


@given(MAPPINGS)
def test_nothing_is_neutral_and_merging_twice_changes_nothing(value: Any) -> None:
    assert merged(value, {}) == merged({}, value) == merged(value, value) == value


@given(MAPPINGS, MAPPINGS)
def test_the_overlay_wins_and_nothing_else_is_lost(base: Any, overlay: Any) -> None:
    both = merged(base, overlay)
    assert both.keys() == base.keys() | overlay.keys()
    assert merged(both, overlay) == both
    for key, value in both.items():
        if key not in overlay:
            assert value == base[key]
        elif not isinstance(overlay[key], dict):
            assert value == overlay[key]


@given(LEVELS, LEVELS, LEVELS)
def test_merging_is_associative_over_equal_shapes(a: Any, b: Any, c: Any) -> None:
    assert merged(merged(a, b), c) == merged(a, merged(b, c))


def fill(text: str, variables: dict[str, str]) -> tuple[str, list[str]]:
    notes = Notes()
    filler = Filler(Path(tempfile.gettempdir()) / "nowhere", notes)
    filler.variables = variables
    spots = tuple(Spot("f", 1, place + 1) for place, character in enumerate(text) if character == "$")
    value = filler.fill(Node(text, HERE, HERE, spots)).value
    return value, [f"{mistake.column} {mistake.code}" for mistake in notes.mistakes]


@given(VALUES)
def test_a_text_with_its_dollars_doubled_is_itself(text: str) -> None:
    if not text.startswith("secret://"):
        assert fill(text.replace("$", "$$"), {}) == (text, [])


@given(NAMES, VALUES, VALUES, VALUES)
def test_a_variable_is_replaced_once_and_its_value_not_read_again(
    name: str, value: str, before: str, after: str
) -> None:
    quoted = [text.replace("$", "$$").replace("secret://", "") for text in (before, after)]
    found, mistakes = fill(f"{quoted[0]}${{{name}}}{quoted[1]}", {name: value})
    plain = [text.replace("$$", "$") for text in quoted]
    assert (found, mistakes) == (f"{plain[0]}{value}{plain[1]}", [])


@given(NAMES, VALUES.filter(lambda text: not set(text) & set("}$")))
def test_a_default_stands_in_for_unset_and_empty(name: str, default: str) -> None:
    text = f"${{{name}:-{default}}}"
    assert fill(text, {}) == fill(text, {name: ""}) == (default, [])
    assert fill(text, {name: "x"}) == ("x", [])


@given(VALUES)
def test_any_text_is_filled_or_told_and_every_mistake_stands_on_a_dollar(text: str) -> None:
    _value, mistakes = fill(f"x{text}", {})
    for mistake in mistakes:
        assert f"x{text}"[int(mistake.split()[0]) - 1] == "$"


@given(st.text(max_size=60) | st.text("{}[]:,-&*!|>'\"% \n\t#ab0$<\\x24", max_size=60))
def test_any_bytes_are_read_or_told(text: str) -> None:
    notes = Notes()
    found = read_yaml(text.encode("utf-8", "surrogatepass"), "f", notes)
    assert (found is None) <= bool(notes.mistakes)
    assert all(mistake.line >= 1 and mistake.column >= 1 for mistake in notes.mistakes)
    if found:
        Filler(Path(tempfile.gettempdir()) / "nowhere", notes).fill(found).plain()


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A = b c  # why", "b c"),
        ("A=", ""),
        ("A=  # nothing", ""),
        ("A=pass#word", "pass#word"),
        ("A='it is # $X \\n'", "it is # $X \\n"),
        (r'A="a \"b\"\n\\"', 'a "b"\n\\'),
        ("A=b=c", "b=c"),
        ("A='open", None),
        ("A b", None),
        ("1=b", None),
    ],
)
def test_a_line_of_dotenv(tmp_path: Path, line: str, value: str | None) -> None:
    (tmp_path / ".env").write_text(f"\ufeff# comment\n\n{line}\n", encoding="utf-8")
    notes = Notes()
    assert read_dotenv(tmp_path, notes) == ({} if value is None else {"A": value})
    assert [(m.code, m.line) for m in notes.mistakes] == ([("bad-env", 3)] if value is None else [])


@given(
    st.dictionaries(
        NAMES, st.text(string.ascii_letters + string.digits + "!#%&/()=?+-_.:;,<>|@", min_size=1), max_size=4
    )
)
def test_ordinary_tokens_survive_dotenv_unquoted(values: dict[str, str]) -> None:
    values = {name: value for name, value in values.items() if not value.startswith("#")}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, ".env").write_text(
            "".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8"
        )
        assert read_dotenv(Path(folder)) == values
