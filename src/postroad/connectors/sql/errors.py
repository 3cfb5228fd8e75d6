"""What an error of a database driver means to whoever sends (its texts never hold the statement's values)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from postroad.errors import AuthError, BatchRefusedError, ConfigError, PostroadError, TransientError

MOST_TEXT = 300
# psycopg gives no code for a refused sign-in; SQLSTATE 42501 is a missing right.
SIGN_IN = re.compile(r"authentication failed|no password supplied|role .* does not exist|no pg_hba\.conf entry")
# What PostgreSQL says of one record, though psycopg files it under outages or mistakes of ours: a trigger that raises
# (P0), the condition of a view (44), a value that is larger than a row or an index takes (54000).
REFUSALS = re.compile("P0|44|54000")
VALUE = re.compile('".*"')


@contextmanager
def named_errors(where: str) -> Iterator[None]:
    """Errors of the driver become ours; `where` names the target or the database, without a password."""
    try:
        yield
    except (OverflowError, ValueError) as error:  # of a value that Python cannot say, as the year 10000
        raise BatchRefusedError(f"{where}: {error}") from None
    except DataError as error:
        raise BatchRefusedError(f"{where}: {VALUE.sub('…', _said(error))}") from None
    except IntegrityError as error:
        raise BatchRefusedError(f"{where}: {_said(error)}") from None
    except (OperationalError, ProgrammingError) as error:
        raise _meant(where, error) from None
    except DBAPIError as error:
        raise TransientError(f"{where} did not take it: {_said(error)}") from None
    except StatementError as error:
        raise BatchRefusedError(f"{where}: {type(error.orig).__name__}") from None
    except SQLAlchemyError as error:
        raise ConfigError(f"{where}: {type(error).__name__}; see the connection's url") from None


def _meant(where: str, error: DBAPIError) -> PostroadError:
    """What an error is about: one record, our rights, what we ask for, or a database that is down."""
    state, told = getattr(error.orig, "sqlstate", None), _said(error)
    # Without a state it never left: the driver has no way to say such a value.
    if REFUSALS.match(state or "") or (isinstance(error, ProgrammingError) and state is None):
        return BatchRefusedError(f"{where}: {told}")
    if isinstance(error, ProgrammingError):
        return ConfigError(f"{where}: {told}; give us the right, or mend the table")
    if SIGN_IN.search(str(error.orig)):
        return AuthError(f"{where} refuses us: {told}")
    return TransientError(f"{where} did not take it: {told}")


def _said(error: DBAPIError) -> str:
    """The first line: further ones may quote a row."""
    return str(error.orig).partition("\n")[0][:MOST_TEXT]
