"""Keeps the memory of a long command small."""

from __future__ import annotations

import pyarrow as pa


def use_frugal_pool() -> None:
    """Let Arrow allocate by jemalloc, or by the system's allocator where there is none.

    Arrow's own choice, mimalloc, keeps so much of what was freed that a run takes 60 MiB more. Set for the whole
    process, so by the command line only; a program that embeds us chooses for itself.
    """
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    else:
        pa.set_memory_pool(pa.system_memory_pool())
