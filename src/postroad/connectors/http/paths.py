"""Where something stands in a JSON answer: `data.items`, `['the key'].state`; names only.

`$` is the whole answer, and may stand before a path as in JSONPath; in YAML a `$` is written `$$`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

STEP = re.compile(r"""\.?(?P<name>[^.\[\]'"$\s]+)|\['(?P<single>[^']+)'\]|\["(?P<double>[^"]+)"\]""")
MISSING = object()


@cache
def steps(path: str) -> tuple[str, ...]:
    """The names of a path, from the outside in; none for `$`, the whole answer. ValueError if it is no path."""
    rest = path.removeprefix("$")
    found, at = [], 0
    while at < len(rest):
        match = STEP.match(rest, at)
        # A name in the middle needs its dot; at the beginning it may go without, as in `error.text`.
        if match is None or (match["name"] and match[0][0] != "." and (at or path.startswith("$"))):
            raise ValueError(f"'{path}' is no path such as data.items: names with dots, or ['…'], and nothing else")
        found.append(match["name"] or match["single"] or match["double"])
        at = match.end()
    if not path:
        raise ValueError("a path is empty; $$ is the whole answer")
    return tuple(found)


def at_path(value: Any, path: tuple[str, ...]) -> Any:
    """What stands there; MISSING if nothing does."""
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value
