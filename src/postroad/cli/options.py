"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Option("--project", "-p", help="The project's folder.")]
Environment = Annotated[
    str | None, typer.Option("--env", "-e", help="The environment, as in environments/<name>.yaml.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every stage as a line of JSON on standard error.")]
Select = Annotated[str | None, typer.Argument(help="A connection or one dataset; nothing for all.")]
Dataset = Annotated[str, typer.Argument(help="A dataset, such as erp.invoices.")]
HERE = Path()
