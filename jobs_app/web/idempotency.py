"""Idempotency keys: the first answer to a POST is kept, and a repetition gets it again.

The key is claimed by the commit of the request's work, as its last statement. So the work is
checked without a lock, a refused request claims nothing, and of two requests at once with the
same key only one commits.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import event, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from jobs_app.core.errors import Conflict, IdempotencyMismatch
from jobs_app.db.models.accounts import KEEP_IDEMPOTENCY_KEYS, IdempotencyKey

#: The status of a key whose first request has not been answered yet.
IN_PROGRESS = 0

#: The code of the error for such a key.
IN_PROGRESS_CODE = "idempotency_in_progress"


@dataclass(frozen=True, slots=True)
class Answer:
    """The first answer: its status, the headers that matter, and its JSON body."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an idempotency key; *fingerprint* tells it from others of the principal."""

    principal: str
    key: str
    fingerprint: str
    at: datetime


def fingerprint(method: str, path: str, document: Any) -> str:
    """Return a hash that identifies a request; the order of names does not matter."""
    text = json.dumps([method, path, document], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def first_answer(session: Session, request: KeyedRequest) -> Answer | None:
    """Return the answer to the first request with this key; None if no request claimed it.

    Raises IdempotencyMismatch if the first request was another one, Conflict
    (`idempotency_in_progress`) if it has no answer yet.
    """
    earlier = session.scalars(
        select(IdempotencyKey).where(
            IdempotencyKey.principal == request.principal,
            IdempotencyKey.key == request.key,
            IdempotencyKey.created_at >= request.at - KEEP_IDEMPOTENCY_KEYS,
        )
    ).one_or_none()
    if earlier is None:
        return None
    if earlier.fingerprint != request.fingerprint:
        raise IdempotencyMismatch(
            "This Idempotency-Key came with another request before; use a fresh key."
        )
    if earlier.status == IN_PROGRESS:
        raise _in_progress()
    return Answer(earlier.status, dict(earlier.headers), dict(earlier.body))


@contextmanager
def claimed_at_commit(session: Session, request: KeyedRequest) -> Iterator[None]:
    """Let the next commit of *session* claim the key, in the same transaction.

    That commit raises Conflict (`idempotency_in_progress`) if another request claimed the key
    meanwhile: roll back, and ask for its answer. Later commits claim nothing.
    """
    claim = _claim_once(request)
    event.listen(session, "before_commit", claim)
    try:
        yield
    finally:
        event.remove(session, "before_commit", claim)


def keep(session: Session, request: KeyedRequest, answer: Answer) -> None:
    """Store the answer to the request that claimed its key."""
    statement = (
        update(IdempotencyKey)
        .where(IdempotencyKey.principal == request.principal, IdempotencyKey.key == request.key)
        .values(status=answer.status, headers=answer.headers, body=answer.body)
        .execution_options(synchronize_session=False)
    )
    session.execute(statement)
    session.commit()


def _claim_once(request: KeyedRequest) -> Callable[[Session], None]:
    is_claimed = False

    def claim(session: Session) -> None:
        nonlocal is_claimed
        if not is_claimed:
            _claim(session, request)
            is_claimed = True

    return claim


def _claim(session: Session, request: KeyedRequest) -> None:
    """Insert the key, or replace one that has expired; raises Conflict if there is another one."""
    is_postgres = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if is_postgres else sqlite.insert
    values = {
        "fingerprint": request.fingerprint,
        "status": IN_PROGRESS,
        "headers": {},
        "body": {},
        "created_at": request.at,
    }
    table = IdempotencyKey.__table__
    claim = insert(IdempotencyKey).values(principal=request.principal, key=request.key, **values)
    # A request that claims the same key at this moment is waited for: its row decides.
    claim_unless_taken = claim.on_conflict_do_update(
        index_elements=[table.c.principal, table.c.key],
        set_=values,
        where=table.c.created_at < request.at - KEEP_IDEMPOTENCY_KEYS,
    ).returning(table.c.key)
    # Past the session, which would write what is pending now, beyond what minds its errors.
    if session.connection().execute(claim_unless_taken).first() is None:
        raise _in_progress()


def _in_progress() -> Conflict:
    return Conflict(
        "A request with this Idempotency-Key is under way, or was interrupted after it took "
        "effect: look at the list before you repeat it with a fresh key.",
        code=IN_PROGRESS_CODE,
    )
