"""Takes over the files and the cursor of an earlier app that read the same records (fact sheet 2.1 and 3.1).

Its columns are the leaves of a node joined by `.`, and `mutationType`; values were cast by pandas. They are turned
back into what Xledger had sent, and read from there as a change with its `_current` is: so a row is taken or refused,
and its local times and empty references are understood, exactly as from Xledger itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc

from postroad.connectors.xledger.api import Api
from postroad.connectors.xledger.declaration import JSON_TYPES, Declaration, find
from postroad.connectors.xledger.deltas import current_rows
from postroad.connectors.xledger.documents import tenant_document
from postroad.connectors.xledger.edges import Edges
from postroad.connectors.xledger.frames import as_sent, as_text, may_have_lost
from postroad.connectors.xledger.positions import LONGEST_TRUST
from postroad.connectors.xledger.scope import Identity
from postroad.connectors.xledger.settings import XledgerSettings
from postroad.errors import ConfigError, CursorExpiredError
from postroad.records import Entity
from postroad.sdk.casting import Bad
from postroad.sdk.connector import Adopted, Tools

MUTATION, MUTATED_AT = "mutationType", "mutatedAt"
ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T"
SKEW = timedelta(minutes=5)


class XledgerAdopter:
    """See `Adopter`."""

    def __init__(
        self,
        settings: XledgerSettings,
        tools: Tools,
        *,
        entities: Sequence[Declaration] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._entities = tuple(entities) if entities is not None else settings.declarations
        self._clock = tools.clock
        self._api = Api(settings, tools, transport)
        self._identity = Identity(settings)

    def rows(self, entity: Entity, found: pa.RecordBatch) -> Adopted:
        """See `Adopter.rows`."""
        declaration = find(self._entities, entity.name)
        names = _names(found.schema.names, declaration)
        for name in ("dbId", MUTATION):
            if name not in names:
                raise ConfigError(f"there is no column {name}")
        sent: dict[str, pa.Array] = {}
        bad: dict[int, Bad] = {}
        for each in declaration.fields:
            if each.name in names:
                sent[each.name], wrong = as_sent(found.column(names[each.name]), each)
                bad = {**wrong, **bad}
        rows = current_rows(_edges(found, sent, declaration), declaration, self._settings.time_zone, bad)
        absent = tuple(each.column for each in declaration.fields if each.name not in names)
        types = {each: found.schema.field(names[each.name]).type for each in declaration.fields if each.name in names}
        return Adopted(
            replace(rows, records=rows.records.drop_columns(list(absent)), absent=absent),
            left_out=tuple(name for name in found.schema.names if name not in names.values()),
            inexact=tuple(each.column for each, kind in types.items() if may_have_lost(kind, each)),
        )

    def position(self, entity: Entity, position: str, taken_at: datetime) -> dict[str, Any]:
        """See `Adopter.position`; one call, to know the tenant and Xledger's own time."""
        tenant, now = "", datetime.fromtimestamp(self._clock(), UTC)
        if self._identity.asked:
            reply = self._api.ask(tenant_document())
            tenant, now = reply.tenant(), reply.date
        if taken_at > now + SKEW:
            raise ConfigError(f"the cursor cannot have been taken at {taken_at:%Y-%m-%d %H:%M %Z}: that is yet to come")
        if now - taken_at > LONGEST_TRUST:
            told = f"its cursor was taken {taken_at:%Y-%m-%d %H:%M %Z}, and Xledger forgets changes after 3 days"
            raise CursorExpiredError(told, [entity.name])
        # As a position is stored of which nothing more is known; without a cursor the oldest change is the next.
        scope = self._identity.fingerprint_of(tenant)
        return {"after": position or None, "polled_at": taken_at.isoformat(), "scope": scope}

    def close(self) -> None:
        """Give back the connections."""
        self._api.close()


@dataclass(frozen=True)
class _Edges(Edges):
    """The rows of a batch in place of edges; the text of one is made when somebody has to see why it was refused."""

    batch: pa.RecordBatch
    keys: pa.Array

    def texts(self) -> Sequence[bytes]:
        """See `Edges.texts`."""
        return _Texts(self.batch, self.keys)


class _Texts(Sequence[bytes]):
    def __init__(self, batch: pa.RecordBatch, keys: pa.Array) -> None:
        self._batch = batch
        self._keys = keys

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def __getitem__(self, row: Any) -> Any:
        values = {name: values[row].as_py() for name, values in zip(self._batch.schema.names, self._batch, strict=True)}
        # JSON has no words for NaN and the infinities.
        odd = {name: str(each) for name, each in values.items() if isinstance(each, float) and not math.isfinite(each)}
        node = {**values, **odd, "dbId": self._keys[row].as_py()}
        return json.dumps({"node": node}, ensure_ascii=False, default=str).encode()


def _names(found: Sequence[str], declaration: Declaration) -> dict[str, str]:
    """The file's column for each field and for `mutationType` and `mutatedAt`; a field may also go by its column."""
    names = {name: name for name in (MUTATION, MUTATED_AT) if name in found}
    for each in declaration.fields:
        claims = [name for name in found if name in (each.name, each.column)]
        if len(claims) > 1:
            raise ConfigError(f"two columns for {each.name}: {' and '.join(claims)}; leave one of them out")
        if claims:
            names[each.name] = claims[0]
    return names


def _edges(found: pa.RecordBatch, sent: Mapping[str, pa.Array], declaration: Declaration) -> Edges:
    """A batch as an answer with changes: values of the JSON types, nested."""
    size = found.num_rows
    keys = sent["dbId"]
    node: dict[str, Any] = {}
    for each in declaration.fields:
        branch = node
        for step in each.path[:-1]:
            branch = branch.setdefault(step, {})
        branch[each.path[-1]] = sent.get(each.name, pa.nulls(size, JSON_TYPES[each.kind]))
    changed_at = _changed_at(found, sent, declaration)
    kinds = _texts(found, MUTATION)
    nodes = _nested({"dbId": keys, MUTATION: kinds, MUTATED_AT: changed_at, "_current": node})
    return _Edges(lambda: b"", nodes, range(size), {}, found, keys)


def _changed_at(found: pa.RecordBatch, sent: Mapping[str, pa.Array], declaration: Declaration) -> pa.Array:
    """When the change happened; of a row of a full sync, which only knows when it was fetched, as of a walk's."""
    walked = next((sent.get(each.name) for each in declaration.fields if each.column == declaration.changed_at), None)
    told = [_texts(found, MUTATED_AT), pa.nulls(found.num_rows, pa.string()) if walked is None else walked]
    return pc.coalesce(
        *(pc.if_else(pc.match_substring_regex(each, ISO), each, pa.scalar(None, pa.string())) for each in told)
    )


def _texts(found: pa.RecordBatch, name: str) -> pa.Array:
    return as_text(found.column(name), name) if name in found.schema.names else pa.nulls(found.num_rows, pa.string())


def _nested(tree: Mapping[str, Any]) -> pa.StructArray:
    arrays = [_nested(inner) if isinstance(inner, dict) else inner for inner in tree.values()]
    return pa.StructArray.from_arrays(arrays, names=list(tree))
