"""Reads of `/data`: sets, counts and single rows, as JSON (fact sheet 5)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.d365_finops.simulator.csvfile import joined
from postroad.connectors.d365_finops.simulator.entities import Entity, Field
from postroad.connectors.d365_finops.simulator.filters import Mask, invalid, literal, parsed, property_of, tokens
from postroad.connectors.d365_finops.simulator.mistakes import RefusedError
from postroad.connectors.d365_finops.simulator.pages import Holder, Query, Rows, Taken, counted, taken
from postroad.connectors.d365_finops.simulator.switches import Switches
from postroad.connectors.d365_finops.simulator.texts import JsonText, each
from postroad.sdk.simulator import Answer, Fault, Request

JSON = "application/json; odata.metadata=minimal"
OPTIONS = {"$filter", "$select", "$orderby", "$top", "$skip", "$count", "$skiptoken", "$format"}
_PART = re.compile(r"\s*(?:(\w+)\s*=\s*)?([\w.]*'(?:[^']|'')*'|[^,'\s]+)\s*(?:,|$)")

Find = Callable[[str], Entity]
Holders = Callable[[Entity, bool], Sequence[Holder]]
"""What holds an entity's rows: of all companies if the flag is set, else of the default company."""


@dataclass(frozen=True)
class Read:
    """A read of `/data` as its URL says it: a set, the number of its rows, or the row with a key."""

    entity: Entity
    key: Mapping[str, Any] | None
    counts: bool
    path: str
    options: Mapping[str, str]
    most: int | None  # rows of a page that the client prefers

    @classmethod
    def of(cls, request: Request, find: Find) -> Read:
        """The read that a request asks for; RefusedError if its path or options are not understood."""
        found = re.fullmatch(r"/data/(\w+)(?:\((.*)\))?(/\$count)?/?", unquote(request.path))
        if found is None:
            raise nothing(request.path)
        entity = find(found[1])
        unknown = [name for name in request.query if name.startswith("$") and name not in OPTIONS]
        if unknown:
            raise invalid(f"The query option '{unknown[0]}' is not supported.")
        preferred = re.search(r"odata\.maxpagesize=(\d+)", request.headers.get("prefer", ""))
        most = int(preferred[1]) if preferred else None
        key = None if found[2] is None else key_of(entity, found[2])
        return cls(entity, key, bool(found[3]), request.path, request.query, most)

    @property
    def across(self) -> bool:
        """Whether all companies are asked for."""
        return self.options.get("cross-company", "").lower() == "true"

    def selected(self) -> list[Field]:
        """The properties to show."""
        names = [name.strip() for name in self.options.get("$select", "*").split(",")]
        wanted = {property_of(self.entity, name).name for name in names if name != "*"}
        return [field for field in self.entity.properties if "*" in names or field.name in wanted]

    def where(self, ignore_case: bool) -> Mask | None:
        """The filter."""
        text = self.options.get("$filter")
        return None if text is None else parsed(text, self.entity, ignore_case)

    def order(self) -> Iterator[tuple[Field, bool]]:
        """The order: properties, each with whether it descends."""
        for part in filter(None, self.options.get("$orderby", "").split(",")):
            name, _, way = part.strip().partition(" ")
            if way.strip() not in {"", "asc", "desc"}:
                raise invalid(f"Syntax error in '{part}'.")
            yield property_of(self.entity, name), way.strip() == "desc"


def rows_asked(options: Mapping[str, str], name: str) -> int | None:
    """An option that is a number of rows; RefusedError if it is none."""
    text = options.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise invalid(f"Incorrect format for {name} argument '{text}'.")
    return int(text)


def nothing(path: str) -> RefusedError:
    """The error for a path under which there is nothing."""
    return RefusedError(f"No HTTP resource was found that matches the request URI '{path}'.", 404)


def key_of(entity: Entity, text: str) -> dict[str, Any]:
    """The values of a key in a URL; RefusedError unless they are all there."""
    parts = [(found[1] or "", found[2]) for found in _PART.finditer(text)]
    if len(parts) == 1 and not parts[0][0] and len(entity.keys) == 1:
        parts = [(entity.keys[0], parts[0][1])]
    names = {name for name, _ in parts}
    # Versions of the product differ in the key of a project: one has its operation type in it.
    fits = (
        names >= set(entity.keys) and names <= set(entity.by_name)
        if entity.scope == "own"
        else names == set(entity.keys)
    )
    if not fits:
        raise invalid(f"The key of '{entity.collection}' is {', '.join(entity.keys)}.")
    values = {name: literal(entity.by_name[name], next(tokens(value))) for name, value in parts}
    if None in values.values():
        raise invalid("A key is never null.")
    return values


class Reader:
    """Answers one read under the switches in force. `base` is the URL of the environment."""

    def __init__(self, read: Read, holders: Holders, switches: Switches, base: str, faults: Sequence[Fault]) -> None:
        self._read, self._entity, self._switches, self._base = read, read.entity, switches, base
        self._holders = holders(read.entity, read.across)
        self._fields = read.selected()
        self._faults = {fault.kind: fault for fault in faults}
        self._texts = JsonText(switches.time_of_dates)

    def answer(self, request: Request) -> Answer:
        """The answer; how many rows it holds is noted in the request's facts."""
        if self._read.key is not None:
            return self._row(self._read.key)
        where = self._read.where(self._switches.filter_case == "ignore")
        if self._read.counts:
            mark = "\ufeff" if self._switches.count_bom else ""
            number = counted(self._holders, Query(self._entity, where))
            return Answer(f"{mark}{number}".encode(), content_type="text/plain; charset=utf-8")
        after, skip, top = self._position()
        query = Query(self._entity, where, tuple(self._read.order()), skip, after)
        page = taken(self._holders, query, self._size() if top is None else min(self._size(), top))
        shown = sum(map(len, page.pieces))
        request.facts["rows"] = shown
        members = [f'"@odata.context":"{self._base}/data/$metadata#{self._entity.collection}"']
        if self._read.options.get("$count", "").lower() == "true":
            members.append(f'"@odata.count":{counted(self._holders, Query(self._entity, where))}')
        members.append(f'"value":[{",".join(map(self._lines, page.pieces))}]')
        left = None if top is None else top - shown
        if page.more and left != 0:
            members.append(f'"@odata.nextLink":{json.dumps(self._next(page, skip + shown, left))}')
        return Answer(f"{{{','.join(members)}}}".encode(), content_type=JSON)

    def _row(self, key: Mapping[str, Any]) -> Answer:
        found = next(filter(None, (holder.find(key) for holder in self._holders)), None)
        if found is None:
            raise RefusedError(f"No resource of '{self._entity.collection}' has that key.", 404)
        context = f'{{"@odata.context":"{self._base}/data/$metadata#{self._entity.collection}/$entity",'
        return Answer((context + self._lines(found)[1:]).encode(), content_type=JSON)

    def _size(self) -> int:
        limit = self._switches.page_limit
        heeded = self._switches.page_size_preference and self._read.most
        return min(limit, heeded) if heeded else limit

    def _position(self) -> tuple[tuple[int, int] | None, int, int | None]:
        """The last row of the page before, how many rows to skip, and how many are wanted in all."""
        token = self._read.options.get("$skiptoken")
        if token is None:
            return None, rows_asked(self._read.options, "$skip") or 0, rows_asked(self._read.options, "$top")
        try:
            held = json.loads(base64.urlsafe_b64decode(token))
            return held["after"] and (held["after"][0], held["after"][1]), held["skip"], held["top"]
        except (ValueError, KeyError, TypeError):
            raise invalid("The skip token is malformed.") from None

    def _next(self, page: Taken, skip: int, left: int | None) -> str:
        """The link to the next page: by the last row, or by count; in an order other than the key's always by count."""
        options = {name: value for name, value in self._read.options.items() if name != "$skiptoken"}
        if "repeat_page" in self._faults:
            options = dict(self._read.options)
        elif self._switches.next_link == "skip":
            options |= {"$skip": str(skip)} | ({} if left is None else {"$top": str(left)})
        else:
            ordered = page.last is None
            held = {"after": page.last, "skip": skip if ordered else 0, "top": left}
            options["$skiptoken"] = base64.urlsafe_b64encode(json.dumps(held).encode()).decode()
        base = self._switches.next_link_base or self._base
        return f"{base}{self._read.path}?{urlencode(options, quote_via=quote, safe='$')}"

    def _lines(self, rows: Rows) -> str:
        """The rows as JSON objects, with commas between them."""
        number, version = rows.numbers.cast(pa.string()), rows.versions().cast(pa.string())
        etag = pc.binary_join_element_wise('{"@odata.etag":"W/\\"', version, ",", number, '\\""', "")
        parts: list[Any] = [etag]
        for field in self._fields:
            texts = each(rows.column(field), lambda values, field=field: self._texts.of(field, values))  # type: ignore[misc]
            parts += [f',"{field.name}":', self._wronged(field, texts)]
        return joined(pc.binary_join_element_wise(*parts, "}", ""), ",")

    def _wronged(self, field: Field, texts: pa.Array) -> pa.Array:
        """The JSON of one column, with another value in one place if such a fault strikes."""
        fault = self._faults.get("bad_value")
        if fault is None or fault.options.get("field") != field.name or not len(texts):
            return texts
        shown = texts.to_pylist()
        shown[int(fault.options.get("row", 0)) % len(shown)] = json.dumps(fault.options.get("value", "abc"))
        return pa.array(shown)
