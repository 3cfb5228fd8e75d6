"""Reads a project folder: every mistake at once, each with file, line and column."""

from postroad.project.loading import load_project
from postroad.project.model import Connection, MaxDeletes, Project, Sync

__all__ = ["Connection", "MaxDeletes", "Project", "Sync", "load_project"]
