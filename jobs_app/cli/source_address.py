"""The address of another scheduler's data, which may hold a password."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from jobs_app.cli.failure import DOWN, USAGE, Failure

if TYPE_CHECKING:
    from jobs_app.db.foreign_database import ForeignDatabase


def read_address(address: str) -> str:
    """Return *address*, or the first line of standard input for -.

    So a password is in no list of processes. Raises UsageError if there is none.
    """
    if address != "-":
        return address
    line = sys.stdin.readline().strip()
    if not line:
        raise click.UsageError("Standard input has no address in its first line.")
    return line


@contextmanager
def reading(address: str) -> "Iterator[ForeignDatabase]":
    """Open the database at *address*, to be read only; raises Failure if that fails."""
    # Late, for the start of other commands: SQLAlchemy takes a while to import.
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    from jobs_app.db.foreign_database import BadAddress, open_foreign

    try:
        with open_foreign(address) as database:
            yield database
    except BadAddress as error:
        raise Failure(str(error), USAGE) from error
    except SQLAlchemyError as error:
        # The driver's own text: that of SQLAlchemy adds the statement.
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise Failure(f"The database cannot be read: {str(cause).strip()}", DOWN) from error
