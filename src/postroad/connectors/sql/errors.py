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

from postroad.errors import AuthError, BatchRefusedError, ConfigError, TransientError

MOST_TEXT = 300
# psycopg gives no code for a refused sign-in; SQLSTATE 42501 is a missing right.
SIGN_IN = re.compile(r"authentication failed|no password supplied|role .* does not exist|no pg_hba\.conf entry")


@contextmanager
def named_errors(where: str) -> Iterator[None]:
    """Errors of the driver become ours; `where` names the target or the database, without a password."""
    try:
        yield
    except (OverflowError, ValueError) as error:  # of a value that Python cannot say, as the year 10000
        raise BatchRefusedError(f"{where}: {error}") from None
    except (DataError, IntegrityError) as error:
        raise BatchRefusedError(f"{where}: {_said(error)}") from None
    except OperationalError as error:
        if SIGN_IN.search(str(error.orig)):
            raise AuthError(f"{where} refuses us: {_said(error)}") from None
        raise TransientError(f"{where} did not take it: {_said(error)}") from None
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) is None:  # the driver has no way to say such a value
            raise BatchRefusedError(f"{where}: {_said(error)}") from None
        raise ConfigError(f"{where}: {_said(error)}; give us the right, or mend the table") from None
    except DBAPIError as error:
        raise TransientError(f"{where} did not take it: {_said(error)}") from None
    except StatementError as error:
        raise BatchRefusedError(f"{where}: {type(error.orig).__name__}") from None
    except SQLAlchemyError as error:
        raise ConfigError(f"{where}: {type(error).__name__}; see the connection's url") from None


def _said(error: DBAPIError) -> str:
    """The first line: further ones may quote a row."""
    return str(error.orig).partition("\n")[0][:MOST_TEXT]
