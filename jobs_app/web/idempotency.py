"""Idempotency keys: the first answer to a POST is kept, and a repetition gets it again."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs_app.core.errors import Conflict, IdempotencyMismatch
from jobs_app.db.models.accounts import KEEP_IDEMPOTENCY_KEYS, IdempotencyKey

#: The status of a key whose first request has not been answered yet.
IN_PROGRESS = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The first answer: its status, the headers that matter, and its JSON body."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def fingerprint(method: str, path: str, document: Any) -> str:
    """Return a hash that identifies a request; the order of names does not matter."""
    text = json.dumps([method, path, document], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def begin(
    session: Session, *, principal: str, key: str, fingerprint: str, at: datetime
) -> Answer | None:
    """Take *key* for a request, in the transaction that its work will commit.

    None means: the key is new, go on. For a repetition, return the first answer.
    Raises IdempotencyMismatch if the first request was another one, Conflict
    (`idempotency_in_progress`) if it has no answer yet.
    """
    is_old = IdempotencyKey.created_at < at - KEEP_IDEMPOTENCY_KEYS
    session.execute(delete(IdempotencyKey).where(is_old))
    earlier = session.get(IdempotencyKey, (principal, key))
    if earlier is None:
        taken = IdempotencyKey(
            principal=principal,
            key=key,
            fingerprint=fingerprint,
            status=IN_PROGRESS,
            headers={},
            body={},
            created_at=at,
        )
        session.add(taken)
        try:
            session.flush()
        except IntegrityError:
            # Two requests with the same key waited for each other, and the other one was first.
            session.rollback()
            earlier = session.get_one(IdempotencyKey, (principal, key))
        else:
            return None
    answer = _answer(earlier, fingerprint)
    session.rollback()
    return answer


def keep(session: Session, *, principal: str, key: str, answer: Answer) -> None:
    """Store the answer to the request that took *key*."""
    statement = (
        update(IdempotencyKey)
        .where(IdempotencyKey.principal == principal, IdempotencyKey.key == key)
        .values(status=answer.status, headers=answer.headers, body=answer.body)
        .execution_options(synchronize_session=False)
    )
    session.execute(statement)
    session.commit()


def _answer(earlier: IdempotencyKey, fingerprint: str) -> Answer:
    if earlier.fingerprint != fingerprint:
        raise IdempotencyMismatch(
            "This Idempotency-Key came with another request before; use a fresh key."
        )
    if earlier.status == IN_PROGRESS:
        raise Conflict(
            "A request with this Idempotency-Key is under way, or was interrupted after it took "
            "effect: look at the list before you repeat it with a fresh key.",
            code="idempotency_in_progress",
        )
    return Answer(earlier.status, dict(earlier.headers), dict(earlier.body))
