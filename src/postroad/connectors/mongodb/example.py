"""The project that `postroad init --example mongodb` writes: a receiver for datasets of other connections."""

from __future__ import annotations

POSTROAD_YAML = """\
# A MongoDB, which gets collections of its own.
project: app
lake: ./lake
database: sqlite:///postroad.db
connections:
  mongo:
    connector: mongodb
    url: secret://MONGODB_URL
    database: ${MONGODB_DATABASE:-app}
    id: text                          # `_id` is se01|V-1042; without this line a sub-document of the key's fields
"""

DOT_ENV = """\
# The MongoDB: mongodb://USER:PASSWORD@HOST/?tls=true
MONGODB_URL=mongodb://127.0.0.1:27017/
"""

EXAMPLE = {"postroad.yaml": POSTROAD_YAML, ".env": DOT_ENV}
