"""Superseded: delete the files of the lake that are needed no more, once newer ones are listed.

Those are the staged parts of ended walks and all full syncs but the newest. The files go first, then their rows. A
crash between leaves rows whose files are gone: `check` knows that these may be, and every close and publish of the
dataset does it again.
"""

from __future__ import annotations

from postroad.engine.bench import Bench
from postroad.lake.lake import Dataset
from postroad.lake.names import twin


def drop_superseded(bench: Bench, dataset: Dataset) -> None:
    """Delete what newer files replaced, under the dataset's lease; never a member of the table (sequence 10).

    Tracking may still call a member staged: of a walk that was killed behind its commit and then abandoned.
    """
    paths = bench.tracking.files.superseded(dataset.name)
    if not paths:
        return
    members = {each.path for each in dataset.changes.members()}
    for path in paths:
        name = path.rpartition("/")[2]
        if name not in members:
            dataset.disk.remove(path)
            dataset.disk.remove(twin(path))
            dataset.disk.remove(f"{dataset.changes.folder}/{name}")
    bench.tracking.files.drop(paths)
