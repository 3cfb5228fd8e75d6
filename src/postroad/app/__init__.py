"""Opens a project and hands out its nouns; the commands and, later, the HTTP routes call their methods."""

from postroad.app.app import App

__all__ = ["App"]
