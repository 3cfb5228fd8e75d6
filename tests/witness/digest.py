"""What two readers of one table must agree on, computed alike in both environments."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pyarrow as pa


def summary(table: pa.Table, key: str) -> dict[str, Any]:
    """Rows, and per column its type, nulls, sum or maximum, and a digest of all values in the order of the key."""
    order = [(name, "ascending") for name in (key, "_version") if name in table.column_names]
    table = table.sort_by(order)
    return {"rows": table.num_rows, "columns": {name: column(table[name]) for name in sorted(table.column_names)}}


def column(values: pa.ChunkedArray) -> dict[str, Any]:
    seen = [plain(value) for value in values.to_pylist()]
    known = [value for value in values.to_pylist() if value is not None]
    facts: dict[str, Any] = {"type": type_name(values.type), "nulls": len(seen) - len(known)}
    if pa.types.is_decimal(values.type):
        facts["sum"] = str(sum(known))
    elif pa.types.is_integer(values.type):
        facts["max"] = max(known, default=None)
    text = json.dumps(seen, ensure_ascii=False, default=str)
    return {**facts, "sha256": hashlib.sha256(text.encode()).hexdigest()[:16]}


def plain(value: Any) -> Any:
    """A map as its sorted pairs: readers give pairs, dicts or structs of key and value. All else as it is."""
    if isinstance(value, list):
        pairs = (tuple(item.values()) if isinstance(item, dict) else item for item in value)
        return sorted([list(pair) for pair in pairs])
    return value


def type_name(kind: pa.DataType) -> str:
    """Arrow's name of the type; the layouts of text are one type, and so are those of maps."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    return "map" if pa.types.is_map(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind) else str(kind)
