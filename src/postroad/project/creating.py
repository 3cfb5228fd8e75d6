"""Writes a new project: examples of connectors, or a commented skeleton. Never overwrites a file."""

from __future__ import annotations

import os
from pathlib import Path

from postroad.errors import ConfigError
from postroad.project.examples import example_files
from postroad.project.loading import ROOT
from postroad.project.variables import DOTENV, SECRETS

IGNORED = """\
# Made by runs, or secret: neither belongs into version control.
lake/
*.db
*.db-*
.env
secrets/
"""

ENV_EXAMPLE = """\
# Copy to .env. A secret://NAME or $NAME of postroad.yaml is looked for in the environment first, then in .env;
# a secret also in the file secrets/NAME.
# MY_TOKEN=
"""

SKELETON = """\
# What is connected. An environment of environments/NAME.yaml overlays this file: postroad run --env NAME
project: my_project
lake: ./lake                            # a folder on this machine
database: sqlite:///postroad.db         # or postgresql://…
# queue: secret://RABBITMQ_URL          # has a RabbitMQ hand out what is delivered; without it the database does
connections: {}
#  my_system:
#    connector: …                       # the kind of system; its settings follow
#    url: $MY_URL                       # from the environment or .env; write $$ for a dollar
#    token: secret://MY_TOKEN           # from the environment, .env or the file secrets/MY_TOKEN
# notify:                               # who is told by e-mail of failures, recoveries and what a person should know
#   to: mailto://it-support@acme.example
#   smtp: {host: mail.acme.example}
"""

FLOW = """\
# What is kept in step in the lake.
sync: []
#  - from: my_system
#    entities: […]
#    max_deletes: 10%                   # ask a person before a full sync deletes more than this
# What goes on from there to a receiver, which is a connection too.
# deliver:
#  - {dataset: my_system.invoices, to: my_receiver.invoices}
"""

COMMON = {".gitignore": IGNORED, ".env.example": ENV_EXAMPLE}


def init_project(folder: Path, *examples: str) -> tuple[Path, ...]:
    """Write a project into the folder; the files that were written.

    `examples` are the connectors whose examples it is made of. A folder that is a project already is refused with a
    ConfigError; any other file that exists is left as it is.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder")
    if (folder / ROOT).exists():
        raise ConfigError(f"{folder} holds a project already")
    files = COMMON | (example_files(examples) or {ROOT: SKELETON, "flows/my_flow.yaml": FLOW})
    return tuple(folder / name for name, text in files.items() if _written(folder / name, text))


def _written(path: Path, text: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    # What holds secrets is its owner's from the first moment.
    mode = 0o600 if path.name == DOTENV or path.parent.name == SECRETS else 0o666
    try:
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
