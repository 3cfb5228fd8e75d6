"""The project that `postroad init --example sql` writes: a receiver for datasets of other connections."""

from __future__ import annotations

FILE = "app.db"

POSTROAD_YAML = """\
# An application's database, which gets tables of its own.
project: app
lake: ./lake
database: sqlite:///postroad.db
connections:
  appdb:
    connector: sql
    url: secret://APPDB_URL
"""

DOT_ENV = f"""\
# The application's database: a file in this folder, or postgresql://USER:PASSWORD@HOST/DATABASE
APPDB_URL=sqlite:///{FILE}
"""

EXAMPLE = {"postroad.yaml": POSTROAD_YAML, ".env": DOT_ENV}
