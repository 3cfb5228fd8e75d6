"""The same timesheets carried by dlt 1.31: a script and an environment of their own, with nothing of ours.

    python benchmarks/dlt_script.py URL FOLDER TOKEN_VARIABLE QUERIES rest|lean [WORKERS]

It reads the same pages as the floor script and writes Parquet into a folder, by dlt's filesystem destination: nested
objects become columns (`owner__db_id`), and ids, times, dates and amounts are declared (`COLUMNS`) as the types that
they have in our table. Declared or inferred costs dlt the same (within 5 %, measured); declared, the results are alike.

Two ways, so that nobody can say that dlt was held back:

- `rest` is what dlt's documentation tells people to write for a web API: its declarative source `rest_api` with its own
  cursor paginator. The selector takes the edges and a processing step takes the node out of each, which is a tenth
  quicker than the selector `edges[*].node`. The buffers are twice the default, a page at once, as its page "Optimizing
  dlt" advises; 1,000 and 50,000 were slower. All other settings are its defaults.
- `lean` follows that page as far as it goes: a generator of our own over dlt's requests client, dlt's orjson for the
  answers, one list of rows for each page, and no gzip of the files between extract and normalize (meant there for
  people who want to read them; it saves a fifth of the CPU).

Rows are Python dictionaries in both: that is how dlt takes JSON. Arrow tables, its quick way, are for sources that
have them; decoding the JSON into Arrow first would be the floor script with dlt around it.

With WORKERS, extracted rows go to files of 50,000, so that as many processes normalize them; without, one process does
all, dlt's default. Loading copies a file and takes no time either way. Telemetry is off, as there is no network.

dlt does less than a sync of ours here: nothing is kept as it came, flushed to the disk, checked for repeated keys,
sorted, or kept as history.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "10000",
}
LEAN = {"DATA_WRITER__DISABLE_COMPRESSION": "true"}
PARALLEL = {"SOURCES__DATA_WRITER__FILE_MAX_ITEMS": "50000"}

KINDS = {
    "bigint": ("dbId",),
    "timestamp": ("createdAt", "modifiedAt", "headerApprovedAt"),
    "date": ("assignmentDate",),
    "decimal": ("workingHours", "hourlyRevenueCurrency"),
}
MONEY = {"precision": 38, "scale": 9}
COLUMNS: dict[str, Any] = {
    name: {"data_type": kind, **(MONEY if kind == "decimal" else {})} for kind, names in KINDS.items() for name in names
}


def rest(url: str, headers: dict[str, str], queries: dict[str, str]) -> Any:
    """The source that dlt has for web APIs. Braces are doubled, since it fills in templates."""
    from dlt.sources.rest_api import rest_api_resources

    paginator = {
        "type": "cursor",
        "cursor_path": "data.timesheets.edges[-1].cursor",
        "cursor_body_path": "variables.after",
        "has_more_path": "data.timesheets.pageInfo.hasNextPage",
    }
    query = queries["next"].replace("{", "{{").replace("}", "}}")
    timesheets = {
        "name": "timesheets",
        "write_disposition": "replace",
        "columns": COLUMNS,
        "endpoint": {
            "path": "",
            "method": "POST",
            "json": {"query": query, "variables": {}},
            "data_selector": "data.timesheets.edges",
            "paginator": paginator,
        },
        "processing_steps": [{"map": lambda edge: edge["node"]}],
    }
    client = {"base_url": url, "headers": headers}
    return rest_api_resources({"client": client, "resources": [timesheets]})[0]


def lean(url: str, headers: dict[str, str], queries: dict[str, str]) -> Any:
    """The quickest generator that still yields rows as dlt takes JSON."""
    import dlt

    pages = walk(url, headers, queries)
    return dlt.resource(pages, name="timesheets", write_disposition="replace", columns=COLUMNS)


def walk(url: str, headers: dict[str, str], queries: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """The rows of each page."""
    from dlt.common.json import json as orjson
    from dlt.sources.helpers import requests

    client = requests.Client()
    body: dict[str, Any] = {"query": queries["first"], "variables": {}}
    while True:
        answer = orjson.loadb(client.post(url, json=body, headers=headers).content)["data"]["timesheets"]
        yield [edge["node"] for edge in answer["edges"]]
        if not answer["pageInfo"]["hasNextPage"]:
            return
        body = {"query": queries["next"], "variables": {"after": answer["edges"][-1]["cursor"]}}


def main(url: str, folder: str, variable: str, queries: str, way: str, workers: str = "1") -> None:
    """Extract, normalize, load; prints how many rows, and dlt's version."""
    parallel = {**PARALLEL, "NORMALIZE__WORKERS": workers} if int(workers) > 1 else {}
    os.environ.update({**SETTINGS, **(LEAN if way == "lean" else {}), **parallel, "DLT_DATA_DIR": f"{folder}/home"})
    import dlt

    headers = {"authorization": f"token {os.environ[variable]}"}
    resource = {"rest": rest, "lean": lean}[way](url, headers, json.loads(Path(queries).read_text()))
    lake = dlt.destinations.filesystem(bucket_url=Path(folder, "lake").as_uri())
    pipeline = dlt.pipeline(
        "bench", destination=lake, dataset_name="xledger", pipelines_dir=f"{folder}/pipelines", progress=None
    )
    pipeline.run(resource, loader_file_format="parquet")
    counts = pipeline.last_trace.last_normalize_info.row_counts
    print(json.dumps({"rows": counts["timesheets"], "version": dlt.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
