"""Several feeds at a time: threads for work that mostly waits for a remote system or runs in Arrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


class Crew:
    """Runs tasks, at most `size` at a time."""

    def __init__(self, size: int) -> None:
        self._size = size

    def each(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Run every task.

        An error is raised in the end; side by side, the others work on meanwhile.
        """
        if self._size == 1 or len(tasks) < 2:
            for task in tasks:
                task()
            return
        with ThreadPoolExecutor(min(self._size, len(tasks)), thread_name_prefix="feed") as pool:
            done = [pool.submit(task) for task in tasks]
        for each in done:
            each.result()
