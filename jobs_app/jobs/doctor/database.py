"""Checks of the database as a server: does it answer, take writes, and have connections left?"""

from collections.abc import Iterator

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.core.text import reason_of
from jobs_app.db.errors import UNREACHABLE, describe_outage
from jobs_app.db.write_check import WriteCheck
from jobs_app.jobs.doctor.findings import Finding, Level

#: The remedy for a database that is not there, or does not answer.
START = (
    "Start the database, or set JOBS_DATABASE_URL or JOBS_DATA_DIR to where it is. A new"
    " installation begins with jobs-app up, or jobs-app migrate. If the database is lost, restore"
    " a backup: jobs-app restore FILE."
)

#: Fewer free connections than this, and fewer than this part of all, are a warning.
FEW_CONNECTIONS, FEW_PERCENT = 10, 10

MORE_CONNECTIONS = (
    "See in pg_stat_activity who holds them, and end what is not needed; or raise max_connections"
    " of PostgreSQL, or the CONNECTION LIMIT of the role or the database."
)

#: Parts of what PostgreSQL and libpq say when they let nobody in, and what helps.
_REFUSALS = {
    "too many clients": MORE_CONNECTIONS,
    "too many connections": MORE_CONNECTIONS,
    "connection slots": MORE_CONNECTIONS,
    "authentication failed": "Correct the user and the password in JOBS_DATABASE_URL.",
    "no password supplied": "Give the password in JOBS_DATABASE_URL: postgresql://USER:PASSWORD@…",
    "pg_hba.conf": "Allow this machine and user in pg_hba.conf of the server, with TLS if it asks"
    " for that (sslmode in JOBS_DATABASE_URL).",
    "resolve host": "Correct the host in JOBS_DATABASE_URL, or mend the look-up of names"
    " (getent hosts NAME) on this machine.",
    "does not support SSL": "Turn TLS on in the server, or leave sslmode out of JOBS_DATABASE_URL.",
    "certificate": "Correct sslrootcert in JOBS_DATABASE_URL, or the server's certificate.",
    "does not exist": "Create the role and the database that JOBS_DATABASE_URL names.",
}


def unreachable(error: SQLAlchemyError) -> Finding:
    """Return the error for a database that does not answer, or refuses this process."""
    outage = describe_outage(error)
    if outage is not UNREACHABLE:
        return Finding("database", Level.ERROR, f"{outage.cause}.", outage.remedy)
    reason = _reason(error)
    remedies = (remedy for part, remedy in _REFUSALS.items() if part in reason)
    sentence = f"The database does not answer: {reason}." if reason else f"{outage.cause}."
    return Finding("database", Level.ERROR, sentence, next(remedies, START))


def _reason(error: SQLAlchemyError) -> str:
    """Return the last line of what the driver says, which tells of the last address tried."""
    if not isinstance(error, DBAPIError) or not isinstance(error.orig, Exception):
        return ""
    lines = [line.strip() for line in reason_of(error.orig).splitlines() if line.strip()]
    # psycopg lists each address that it tried.
    tried = [line for line in lines if line.startswith(("- host:", "connection"))]
    return (tried or lines or [""])[-1].removeprefix("- ").rstrip(".")


def writes(session: Session, url: str) -> Iterator[Finding]:
    """Yield an error if the database takes no writes; *url* is that of *session*."""
    if session.get_bind().dialect.name == "postgresql":
        if session.scalar(text("SELECT pg_is_in_recovery()")):
            yield Finding(
                "database_writes",
                Level.ERROR,
                "The PostgreSQL server is a replica, and takes no writes: no job fires.",
                "Set JOBS_DATABASE_URL to the primary. With several hosts in it,"
                " target_session_attrs=read-write finds the primary.",
            )
            return
        if session.scalar(text("SHOW default_transaction_read_only")) == "on":
            user, name = session.execute(text("SELECT current_user, current_database()")).one()
            yield Finding(
                "database_writes",
                Level.ERROR,
                "PostgreSQL begins each transaction read-only (default_transaction_read_only is"
                " on): no job fires.",
                f'ALTER ROLE "{user}" RESET default_transaction_read_only; ALTER DATABASE'
                f' "{name}" RESET default_transaction_read_only; or turn it off in'
                " postgresql.conf.",
            )
            return
    check = WriteCheck(url)
    if not check.takes_writes() and check.failure is not None:
        outage = describe_outage(check.failure)
        yield Finding("database_writes", Level.ERROR, f"{outage.cause}.", outage.remedy)


_CONNECTIONS = text(
    "SELECT current_setting('max_connections')::int"
    " - current_setting('superuser_reserved_connections')::int,"
    " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
    " rolconnlimit,"
    " (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),"
    " datconnlimit,"
    " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())"
    " FROM pg_roles, pg_database"
    " WHERE rolname = current_user AND datname = current_database()"
)


def connections(session: Session) -> Iterator[Finding]:
    """Yield a warning if PostgreSQL has few connections left for this role or database."""
    if session.get_bind().dialect.name != "postgresql":
        return
    most, used, of_role, by_role, of_database, in_database = session.execute(_CONNECTIONS).one()
    limits = [
        ("PostgreSQL (max_connections)", most, used),
        ("its role (CONNECTION LIMIT)", of_role, by_role),
        ("its database (CONNECTION LIMIT)", of_database, in_database),
    ]
    for name, limit, count in limits:
        # -1: no limit.
        left = limit - count
        if limit >= 0 and left < FEW_CONNECTIONS and 100 * left < FEW_PERCENT * limit:
            yield Finding(
                "database_connections",
                Level.WARNING,
                f"{count} of {limit} connections of {name} are in use: soon processes get none.",
                MORE_CONNECTIONS,
            )
            return
