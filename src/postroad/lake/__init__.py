"""Landing, changes and tables: the files of a project. The one package that knows deltalake."""

from postroad.lake.lake import Dataset, Hand, Lake

__all__ = ["Dataset", "Hand", "Lake"]
