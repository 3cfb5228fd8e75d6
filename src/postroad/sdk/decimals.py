"""Decimals as texts with all their digits."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def plain(column: pa.Array) -> pa.Array:
    """Decimals as texts without an exponent, which Arrow gives to zero and to what is nearly zero."""
    zero = pa.scalar("0." + "0" * column.type.scale if column.type.scale else "0")
    texts = pc.if_else(pc.equal(column, pa.scalar(0, column.type)), zero, column.cast(pa.string()))
    odd = pc.fill_null(pc.match_substring(texts, "E"), False)
    if not pc.any(odd).as_py():
        return texts
    # Loops over values below a millionth.
    return pc.replace_with_mask(texts, odd, pa.array([f"{each:f}" for each in column.filter(odd).to_pylist()]))
