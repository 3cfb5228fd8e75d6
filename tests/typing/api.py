"""Uses of the public interface, checked by mypy and never run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from postroad import App, ConfigError, Connection, PostroadError, Project, Sync, load_project


def sync(folder: Path) -> int:
    """Run a project and read its result."""
    try:
        project: Project = load_project(folder, "dev")
    except ConfigError as error:
        return len(error.mistakes)
    with App(project) as app:
        report = app.runs.start("erp.invoices", full_refresh=True, limit=3)
        rows: pa.Table = app.datasets.query("select * from erp.invoices")
        count: int = rows.num_rows
        return report.exit_code + count


def build(connection: Connection) -> App:
    """Build a project without files."""
    project = Project("p", Path(), connections={"erp": connection}, syncs=(Sync("erp", ("invoices",)),))
    return App(project)


def explain(error: PostroadError) -> str:
    """Every error of ours has one base."""
    return str(error)
