"""What an answer says of each record of a batch. Nothing is assumed: what it leaves open is an error, or asked again.

The answer is what somebody else sends: its size is bounded by the client, its depth by the reader, and a text of it
that a person is shown is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import pyarrow as pa

from postroad.connectors.http.paths import at_path, steps
from postroad.connectors.http.settings import Answers
from postroad.errors import ConfigError, RemoteError
from postroad.records import Outcome

MOST_TEXT = 300
UNANSWERED = "unanswered"
# Spaces, and what moves a cursor or turns a line round: C0, DEL, C1, the marks of direction.
SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")

Verdict = tuple[Literal["applied", "unchanged", "rejected", "retry"], str]


def decoded(body: bytes) -> Any:
    """The answer's JSON; RemoteError if it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise RemoteError(f"the answer of {len(body):,} bytes is no JSON that can be read") from None


def has_results(answers: Answers, value: Any) -> bool:
    """Whether the results stand where they should."""
    return isinstance(at_path(value, steps(answers.results)), list)


def outcomes(answers: Answers, value: Any, keys: pa.RecordBatch, *, idempotent: bool) -> Sequence[Outcome]:
    """An outcome for each record, of those that say the same one together.

    RemoteError where the results are not those of this batch; ConfigError for a word that no setting explains.
    """
    results = at_path(value, steps(answers.results))
    if not isinstance(results, list):
        raise RemoteError(f"the answer has no list at {answers.results}: nobody knows what was taken")
    if answers.ids:
        found = _by_key(answers, results, keys)
    elif len(results) == keys.num_rows:
        found = {place: _verdict(answers, each) for place, each in enumerate(results)}
    else:
        raise RemoteError(f"the answer has {len(results):,} results for {keys.num_rows:,} records")
    silent = _silent(answers, idempotent=idempotent)
    groups: dict[Verdict, list[int]] = {}
    for place in range(keys.num_rows):
        groups.setdefault(found.get(place, silent), []).append(place)
    return [_outcome(verdict, places, silent) for verdict, places in groups.items()]


def sentence(value: Any, path: str | None = None) -> str:
    """What an answer says to a person, at the path or where RFC 9457 puts it; "" if nothing."""
    names = [steps(path)] if path else [("detail",), ("title",), ("message",)]
    for each in names:
        said = at_path(value, each)
        if isinstance(said, str | int | float | bool) and str(said).strip():
            return one_line(str(said))
    return ""


def one_line(text: str) -> str:
    """Somebody else's text as a part of a sentence."""
    return SPACES.sub(" ", text[: 4 * MOST_TEXT]).strip()[:MOST_TEXT]


def _by_key(answers: Answers, results: Sequence[Any], keys: pa.RecordBatch) -> Mapping[int, Verdict]:
    paths = [steps(each) for each in answers.ids]
    if len(paths) != keys.num_columns:
        raise ConfigError(f"`id` names {len(paths)} fields, and the key has {keys.num_columns}: name one for each")
    places = {key: place for place, key in enumerate(_rows(keys))}
    found: dict[int, Verdict] = {}
    for each in results:
        place = places.get(tuple(_text(at_path(each, path)) for path in paths))
        if place is None:
            raise RemoteError("the answer names a record that was not sent: check `id`, or ask who keeps the receiver")
        verdict = _verdict(answers, each)
        if found.setdefault(place, verdict)[0] != verdict[0]:
            raise RemoteError("the answer says two different things of one record")
    return found


def _rows(keys: pa.RecordBatch) -> Iterator[tuple[str, ...]]:
    """Loops over keys: an answer names them one by one."""
    return zip(*(column.to_pylist() for column in keys.columns), strict=True)


def _verdict(answers: Answers, result: Any) -> Verdict:
    why = sentence(result, answers.message) if answers.message else ""
    if answers.status is None:
        return "rejected", why
    word = _text(at_path(result, steps(answers.status)))
    if word in answers.accepted:
        return "applied", ""
    if word in answers.unchanged:
        return "unchanged", ""
    if word in answers.rejected:
        return "rejected", why or f"the receiver says {one_line(word)}"
    if word in answers.retry:
        return "retry", why
    said = "nothing" if not word else f"'{one_line(word)}'"
    raise ConfigError(
        f"the answer says {said} at {answers.status} of a record: list that word under accepted, unchanged, rejected "
        "or retry"
    )


def _silent(answers: Answers, *, idempotent: bool) -> Verdict:
    """What is true of a record that the answer does not mention."""
    if answers.unmentioned == "applied":
        return "applied", ""
    if idempotent:
        return "retry", ""
    return "rejected", "the answer does not mention it: look whether the receiver has it before it is sent again"


def _outcome(verdict: Verdict, places: Sequence[int], silent: Verdict) -> Outcome:
    answer, why = verdict
    if answer != "rejected":
        return Outcome(places, answer)
    return Outcome(places, answer, UNANSWERED if verdict == silent else "refused", why)


def _text(value: Any) -> str:
    """A value of an answer as the text that keys and words are compared with."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else ""
