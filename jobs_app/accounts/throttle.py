"""Slows down sign-ins that fail, by name and by address; nobody is ever locked out."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.db.models.accounts import FORGET_FAILURES, SignInAttempt

#: So many failures cost no time; then each one doubles the wait, up to the longest.
FREE_FAILURES = 5
LONGEST_WAIT = timedelta(seconds=300)


def keys(name: str, address: str | None) -> tuple[str, ...]:
    """Return what to count a sign-in under: the name that was typed, and the address."""
    # In order: of two sign-ins at once, each would hold a row that the other one waits for.
    return tuple(sorted((_key_of_name(name), _key_of_address(address))))


def wait_after(failures: int) -> timedelta:
    """Return how long to wait after the last of so many failures."""
    if failures < FREE_FAILURES:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failures - FREE_FAILURES, 20)), LONGEST_WAIT)


def begin(session: Session, counted: Iterable[str], *, at: datetime) -> timedelta:
    """Count a sign-in as failed before it is tried, and commit; return 0, or how long to wait.

    Counting it before, not after, stops many at once. One that has to wait is not counted.
    `succeeded` takes it back.
    """
    session.execute(delete(SignInAttempt).where(SignInAttempt.last_at <= at - FORGET_FAILURES))
    rows = [_locked(session, key, at=at) for key in counted]
    wait = max(row.last_at + wait_after(row.failures) - at for row in rows)
    if wait <= timedelta(0):
        for row in rows:
            row.failures, row.last_at = row.failures + 1, at
    session.commit()
    return max(wait, timedelta(0))


def succeeded(session: Session, name: str, address: str | None) -> None:
    """Forget the failures of *name*, and the last one of *address*; the caller commits."""
    session.execute(delete(SignInAttempt).where(SignInAttempt.key == _key_of_name(name)))
    one_less = {"failures": SignInAttempt.failures - 1}
    is_it = (SignInAttempt.key == _key_of_address(address), SignInAttempt.failures > 0)
    session.execute(update(SignInAttempt).where(*is_it).values(one_less))


def _key_of_name(name: str) -> str:
    return _key(f"name {name.lower()}")


def _key_of_address(address: str | None) -> str:
    return _key(f"address {_network(address)}")


def _key(text: str) -> str:
    # A hash: somebody may have typed the password as the name.
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _locked(session: Session, key: str, *, at: datetime) -> SignInAttempt:
    """Return the row of *key*, made if there is none, which no other sign-in changes meanwhile."""
    is_postgres = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if is_postgres else sqlite.insert
    row = insert(SignInAttempt).values(key=key, failures=0, last_at=at)
    # An update that changes nothing locks the row, and returns it.
    taken = row.on_conflict_do_update(index_elements=["key"], set_={"key": key})
    statement = taken.returning(SignInAttempt)
    return session.scalars(statement, execution_options={"populate_existing": True}).one()


def _network(address: str | None) -> str:
    """Return what to count *address* as: of IPv6 the first 64 bits, which one machine has."""
    try:
        known = ip_address((address or "").strip("[]"))
    except ValueError:
        return "unknown"
    if isinstance(known, IPv6Address):
        return str(ip_network((int(known), 64), strict=False).network_address)
    return str(known)
