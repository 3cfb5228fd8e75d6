"""Arrow as a command that works wants it: without pandas, which it would import wherever it finds it."""

from __future__ import annotations

import sys


class _Hiding:
    """An import hook under which there is no pandas."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("hidden from pyarrow", name=name)


def without_pandas() -> None:
    """Let pyarrow look for pandas now and find none: it looks once, at the first list that it makes an array of.

    Of an installed pandas a command would use nothing, and pay 0.3 s and 70 MiB. Whoever imports pandas later gets it.
    """
    import pyarrow as pa

    sys.meta_path.insert(0, _Hiding)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_Hiding)
