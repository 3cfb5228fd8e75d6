"""Reads, checks and writes a project folder; every mistake in it is told at once, with file, line and column."""

from postroad.project.checking import check_project, network_filesystem
from postroad.project.cleaning import Cleaning
from postroad.project.creating import init_project
from postroad.project.lakes import open_disk
from postroad.project.loading import load_project
from postroad.project.model import (
    Allowance,
    Connection,
    Delivery,
    MailServer,
    Notify,
    Project,
    Reload,
    StorageAccount,
    Sync,
)

__all__ = [
    "Allowance",
    "Cleaning",
    "Connection",
    "Delivery",
    "MailServer",
    "Notify",
    "Project",
    "Reload",
    "StorageAccount",
    "Sync",
    "check_project",
    "init_project",
    "load_project",
    "network_filesystem",
    "open_disk",
]
