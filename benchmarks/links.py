"""The largest workbooks that a connection of links takes by default: memory and time of the run that reads them.

    python -m benchmarks.links

Not part of `make bench`, as it takes minutes; its figures stand in docs/connectors/excel_link.md. Each workbook is read
from a file, so that no server shares the machine, by a `postroad run` of its own: the first load, then with one row
changed.
As a module with a kind and a path it is a process of its own, which writes a workbook.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Usage, measured
from benchmarks.scenarios import POSTROAD

KINDS = {
    "numbers": "1,000,000 cells, nine of ten of them numbers",
    "texts": "1,000,000 cells of short texts, all different",
    "long texts": "100,000 cells of 2,300 characters: 230 MB unpacked",
    "csv": "1,000,000 cells of csv, 23 MB",
}
COLUMNS = 10


def main() -> None:
    """Measure and tell."""
    for kind, what in KINDS.items():
        with tempfile.TemporaryDirectory(prefix="postroad-links-") as folder:
            first, second = of_kind(kind, Path(folder))
        print(
            f"{what}: first load {first.peak:.0f} MiB and {first.wall:.1f} s, "
            f"with one row changed {second.peak:.0f} MiB and {second.wall:.1f} s"
        )


def of_kind(kind: str, folder: Path) -> tuple[Usage, Usage]:
    """The run that reads such a file for the first time, and the one that finds one row changed."""
    path = folder / f"table.{'csv' if kind == 'csv' else 'xlsx'}"
    columns = {f"C{place}": "decimal" if kind == "numbers" and place else "text" for place in range(COLUMNS)}
    table = {"file": str(path), "columns": columns, "key": ["C0"]}
    connections = {"links": {"connector": "excel_link", "tables": {"t": table}}}
    (folder / "postroad.yaml").write_text(json.dumps({"project": "bench", "connections": connections}))
    (folder / "flows").mkdir()
    (folder / "flows" / "all.yaml").write_text(json.dumps({"sync": [{"from": "links", "entities": ["t"]}]}))
    usages = []
    for seed in ("1", "2"):
        subprocess.run([sys.executable, "-m", "benchmarks.links", kind, path, seed], check=True)
        command = [POSTROAD, "run", "--project", str(folder), "--json"]
        usages.append(measured(command, os.environ, None))
    return usages[0], usages[1]


def write(kind: str, path: Path, seed: int) -> None:
    """A file of that kind; another seed changes its last row."""
    draw = random.Random(0)
    rows = 10_000 if kind == "long texts" else 100_000
    lines = ([_cell(kind, row, place, draw) for place in range(COLUMNS)] for row in range(1, rows))
    if kind == "csv":
        with path.open("w") as file:
            file.write(",".join(f"C{place}" for place in range(COLUMNS)) + "\n")
            file.writelines(",".join(map(str, line)) + "\n" for line in lines)
            file.write(f"last,{seed}" + "," * (COLUMNS - 2) + "\n")
        return
    import xlsxwriter

    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, [f"C{place}" for place in range(COLUMNS)])
    for number, line in enumerate(lines, 1):
        sheet.write_row(number, 0, line)
    sheet.write_string(rows - 1, 0, "last")
    sheet.write_number(rows - 1, 1, seed)
    book.close()


def _cell(kind: str, row: int, place: int, draw: random.Random) -> str | float:
    if not place:
        return f"K{row:06}"
    if kind == "numbers":
        return round(draw.uniform(0, 1e6), 2)
    if kind == "long texts":
        return f"{row}-{place} " + "lorem ipsum dolor sit amet " * 85
    return f"{row}-{place} " + "x" * draw.randrange(30 if kind == "csv" else 20)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
