"""What a person types. Each command calls one method of a noun of `App`; heavy imports wait until a command runs."""

from __future__ import annotations

import gc
import os
import sys

import typer

from postroad.cli import adopting, delivering, looking, rejected, running, setting_up, state, tracing
from postroad.errors import ConfigError, PostroadError

app = typer.Typer(
    name="postroad",
    help="Carries business records between ERP/CRM systems and the applications that need them.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # Rich costs a third of a second at import
    pretty_exceptions_enable=False,
)
setting_up.register(app)
running.register(app)
adopting.register(app)
delivering.register(app)
looking.register(app)
tracing.register(app)
app.add_typer(rejected.app, name="rejected")
app.add_typer(state.app, name="state")


def main() -> None:
    """The command line; exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 partly succeeded or waiting."""
    # Imports and payloads make objects by the thousand and hardly a cycle: looking for them took 2 % of a run.
    gc.set_threshold(10_000, 20, 20)
    if sys.platform == "linux":
        # Arrow reads it once, at its first allocation; jemalloc keeps a sixth less than mimalloc.
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    try:
        app()
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except PostroadError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # a full disk, a folder without rights
        print(f"{error}; nothing durable was lost, the next run goes on from here", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped; the next run goes on from here", file=sys.stderr)
        sys.exit(130)
