"""Turns pydantic's errors into mistakes with a place, a code, a sentence and a suggestion.

Values are never quoted: what stands in the file, or came from a variable, may be a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from postroad.project.nodes import Node, Notes
from postroad.sdk.secrets import Secret

CODES = {"missing": "missing-key", "extra_forbidden": "unknown-key"}
WRONG_TYPE = ("_type", "_parsing", "_from_float")


def near(word: str, words: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest of the words, else nothing."""
    found = difflib.get_close_matches(word, list(words), 1)
    return f"did you mean '{found[0]}'?" if found else ""


def one_of(words: Iterable[str]) -> str:
    """The words for a sentence."""
    return ", ".join(words) or "none"


def note_errors(error: ValidationError, model: type[BaseModel], node: Node, notes: Notes, prefix: str = "") -> None:
    """Note each error of a model that was validated from the node; `prefix` names the node in sentences."""
    for detail in error.errors(include_url=False, include_input=False):
        _note(detail, model, node, notes, prefix)


def _note(detail: ErrorDetails, model: type[BaseModel], node: Node, notes: Notes, prefix: str) -> None:
    path = [step for step in detail["loc"] if step != "[key]"]
    name = ".".join(filter(None, [prefix, *map(str, path)]))
    code = CODES.get(detail["type"]) or ("wrong-type" if detail["type"].endswith(WRONG_TYPE) else "bad-value")
    target = node.at(path)
    if notes.about(target.dollars):
        return  # the variable is told already
    if code == "unknown-key":
        keys = field_names(model, path[:-1])
        hint = near(str(path[-1]), keys)
        notes.mistake(target.key, code, f"{name} is not known here; keys: {one_of(keys)}", hint)
        return
    if code == "missing-key":
        # A key beside it that is nearly this one is its misspelling.
        beside = node.at(path[:-1]).value
        written = difflib.get_close_matches(str(path[-1]), list(beside), 1) if isinstance(beside, dict) else []
        notes.mistake(target.key, code, f"{name} is missing", f"is it misspelt as '{written[0]}'?" if written else "")
        return
    about_key = detail["loc"][-1:] == ("[key]",)
    spot = target.key if about_key else target.spot
    notes.mistake(spot, code, f"{name}: {_sentence(detail, target)}", _suggestion(detail, target))


def _sentence(detail: ErrorDetails, target: Node) -> str:
    if isinstance(target.value, Secret):
        return "takes no secret://; use a variable, as $NAME"
    return detail["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("String should", "must")


def _suggestion(detail: ErrorDetails, target: Node) -> str:
    context = detail.get("ctx", {})
    if "hint" in context:
        return str(context["hint"])
    expected = str(context.get("expected", ""))
    words = [word for word in expected.replace(" or ", ", ").split("'") if word.strip(" ,")]
    return near(target.value, words) if words and isinstance(target.value, str) else ""


def field_names(model: type[BaseModel], path: Sequence[object] = ()) -> list[str]:
    """The keys that the model takes at the path, as they are written."""
    for step in path:
        for name, info in model.model_fields.items():
            if step in (name, info.alias):
                model = _model_in(info.annotation) or model
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def secret_paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where secrets stand in validated settings, by the keys that a file writes."""
    if isinstance(value, Secret):
        yield path
    elif isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield from secret_paths(getattr(value, name), (*path, info.alias or name))
    elif isinstance(value, Mapping | list | tuple):
        for step, child in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from secret_paths(child, (*path, step))
