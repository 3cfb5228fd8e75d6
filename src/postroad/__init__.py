"""Carries business records between ERP/CRM systems and the applications that need them.

The names below are the whole public interface; they are imported on first use, so that `postroad --help` stays quick.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postroad.app import App
    from postroad.errors import ConfigError, PostroadError
    from postroad.project import Connection, Delivery, Project, Sync, load_project

__version__ = metadata.version("postroad")

__all__ = ["App", "ConfigError", "Connection", "Delivery", "PostroadError", "Project", "Sync", "load_project"]

_HOMES = {
    "App": "postroad.app",
    "ConfigError": "postroad.errors",
    "Connection": "postroad.project",
    "Delivery": "postroad.project",
    "PostroadError": "postroad.errors",
    "Project": "postroad.project",
    "Sync": "postroad.project",
    "load_project": "postroad.project",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'postroad' has no attribute '{name}'")
