"""Concurrency keys: at most a number of runs with the same key at once, whatever their jobs.

Each running run has a numbered slot of its key. A run that finds no free slot is
*parked*: it stays queued, but without a message. When a slot becomes free, the next parked
run is *unparked*: it gets a message again. A run that claims a slot lets pass the runs
that waited before it, by priority and then by age. This order holds within a queue,
because a worker may not serve other queues. Claims and unparking of one key run one after
the other, so that neither misses a change by the other.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, case, exists, func, select, text, update
from sqlalchemy.orm import Session, aliased

from jobs_app.core.policies import MAX_SLOTS
from jobs_app.core.states import RunState
from jobs_app.core.text import counted
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import KEPT_WAITING, PARKED, UNPARKED, Run
from jobs_app.runs import transitions
from jobs_app.runs.messages import Message

#: A run that is parked.
IS_PARKED = text(PARKED)

#: A seed for advisory locks that no other program on the same database uses ("keys" in ASCII).
_LOCK_SEED = 0x6B657973

# Built once: building an alias of a wide table takes longer than its query.
_OTHER = aliased(Run, name="other")
_ABOVE = aliased(Run, name="above")

# Literals, not bound parameters: only then does a database use its partial index.
_OTHER_RUNS = (_OTHER.concurrency_key == Run.concurrency_key, text("other.state = 'running'"))

_RUNNING = select(func.count(_OTHER.id)).where(*_OTHER_RUNS).scalar_subquery()

_LOWEST_FREE_SLOT = case(
    (~exists().where(*_OTHER_RUNS, _OTHER.concurrency_slot == 1), 1),
    else_=select(func.min(_OTHER.concurrency_slot) + 1)
    .where(
        *_OTHER_RUNS,
        ~exists().where(
            _ABOVE.concurrency_key == _OTHER.concurrency_key,
            _ABOVE.concurrency_slot == _OTHER.concurrency_slot + 1,
            text("above.state = 'running'"),
        ),
    )
    .scalar_subquery(),
)


# How many runs of the key are running, and how many that fit have waited longer.
_SLOT_USE = text(f"""
WITH mine AS (
    SELECT id, concurrency_key, concurrency_limit AS slots, queue, priority
    FROM runs WHERE id = :run_id
), taken AS (
    SELECT count(runs.id) AS running FROM mine LEFT JOIN runs
    ON runs.concurrency_key = mine.concurrency_key AND runs.state = 'running'
)
SELECT slots, running, (SELECT count(*) FROM (
    SELECT 1 FROM runs WHERE {KEPT_WAITING}
    AND runs.concurrency_key = mine.concurrency_key AND runs.queue = mine.queue
    AND (runs.priority, runs.id) < (mine.priority, mine.id)
    AND runs.concurrency_limit > taken.running LIMIT {MAX_SLOTS}
) AS waiting) AS ahead
FROM mine, taken
""").bindparams(bindparam("run_id", type_=Run.id.type))  # noqa: S608 (built from constants)


def claim_slot(
    session: Session,
    run_id: UUID,
    attempt: int,
    *,
    worker_id: UUID,
    at: datetime,
    returning: tuple[Any, ...],
) -> Row[Any] | None:
    """Claim an attempt of a run together with a slot of its key; park the run if none is free.

    Return None also for a run without a key. Does not commit.
    """
    queued = (Run.id == run_id, Run.attempt == attempt, Run.state == RunState.QUEUED)
    key = session.scalars(select(Run.concurrency_key).where(*queued)).one_or_none()
    if key is None:
        return None
    _lock_key(session, key)
    use = session.execute(_SLOT_USE, {"run_id": run_id}).one()
    worker_lives = exists().where(Worker.id == worker_id, Worker.gone_at.is_(None))
    statement = (
        update(Run)
        .where(*queued, worker_lives, Run.concurrency_limit > _RUNNING + use.ahead)
        .values(
            state=RunState.RUNNING,
            concurrency_slot=_LOWEST_FREE_SLOT,
            worker_id=worker_id,
            started_at=at,
            send_at=None,
            # The reason said why the run was parked.
            reason=None,
        )
        .returning(*returning)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        # A worker that was declared gone parks nothing: the slots may all be free then.
        reason = _parked_reason(key, use)
        transitions.move(session, (*queued, worker_lives), send_at=None, reason=reason)
    return row


def _lock_key(session: Session, key: str) -> None:
    """Wait until no other transaction claims a slot of *key* or unparks a run of it.

    The statements after it see what the other transaction committed. SQLite has a single
    writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        hashed = func.hashtextextended(key, _LOCK_SEED)
        session.execute(select(func.pg_advisory_xact_lock(hashed)))


def _parked_reason(key: str, use: Row[Any]) -> str:
    are = "is" if use.running == 1 else "are"
    have = "has" if use.ahead == 1 else "have"
    ahead = f", and {use.ahead} {have} waited longer" if use.ahead else ""
    return (
        f"Waits for a slot: {use.running} of {counted(use.slots, 'run')}"
        f" with the concurrency key {key!r} {are} running{ahead}."
    )


# Each step skips from value to value along the index of parked runs: the keys, the limits
# above the number of running runs, the queues. So it reads one row for each value. `unparked`
# counts the runs that have a message on its way.
_FREE_SLOTS = f"""
WITH RECURSIVE keys (key) AS ({{keys}}), taken (key, running) AS (
    SELECT key, (SELECT count(*) FROM runs WHERE concurrency_key = key AND state = 'running')
    FROM keys WHERE key IS NOT NULL
), limits (key, running, most) AS (
    SELECT key, running,
        (SELECT max(concurrency_limit) FROM runs WHERE {PARKED} AND concurrency_key = key)
    FROM taken
    UNION ALL
    SELECT key, running, (SELECT max(concurrency_limit) FROM runs WHERE {PARKED}
        AND concurrency_key = limits.key AND concurrency_limit < limits.most)
    FROM limits WHERE most > running
), queues (key, running, most, queue) AS (
    SELECT key, running, most, (SELECT min(runs.queue) FROM runs WHERE {PARKED}
        AND concurrency_key = limits.key AND concurrency_limit = limits.most)
    FROM limits WHERE most > running
    UNION ALL
    SELECT key, running, most, (SELECT min(runs.queue) FROM runs WHERE {PARKED}
        AND concurrency_key = queues.key AND concurrency_limit = queues.most
        AND runs.queue > queues.queue)
    FROM queues WHERE queue IS NOT NULL
), free_slots (key, queue, most, running, unparked) AS (
    SELECT key, queue, most, running, (SELECT count(*) FROM (
        SELECT 1 FROM runs WHERE {UNPARKED}
        AND concurrency_key = queues.key AND runs.queue = queues.queue LIMIT {MAX_SLOTS}
    ) AS messages)
    FROM queues WHERE queue IS NOT NULL
)
{{result}}
"""  # noqa: S608 (built from constants)
_ALL_KEYS = f"""
    SELECT min(concurrency_key) FROM runs WHERE {PARKED}
    UNION ALL
    SELECT (SELECT min(concurrency_key) FROM runs WHERE {PARKED} AND concurrency_key > keys.key)
    FROM keys WHERE key IS NOT NULL
"""  # noqa: S608 (built from constants)

_FREE_SLOTS_OF_KEY = text(
    _FREE_SLOTS.format(
        keys="SELECT CAST(:key AS VARCHAR(100))",
        result="""
SELECT queue, most, most - running - unparked AS free FROM free_slots ORDER BY most, queue""",
    )
)
_KEYS_WITH_FREE_SLOTS = text(
    _FREE_SLOTS.format(
        keys=_ALL_KEYS,
        result="""
SELECT DISTINCT key FROM free_slots
WHERE most - running - unparked > 0 ORDER BY key LIMIT :limit""",
    )
)


def keys_with_free_slots(session: Session, *, limit: int = 500) -> list[str]:
    """Return keys that have parked runs and free slots for which no run was unparked.

    The process that freed the slots died before it unparked a run, or a message got lost.
    """
    return list(session.scalars(_KEYS_WITH_FREE_SLOTS, {"limit": limit}))


def unpark(
    session: Session, key: str, *, at: datetime, fill_all_slots: bool = False
) -> list[Message]:
    """Unpark the next run of *key* in each queue, and commit; return their messages.

    The next one is the first by priority, then by age. It is one in each queue, because a
    queue may have no worker; a run that comes too late is parked again. With
    *fill_all_slots* it is one for each free slot for which no run was unparked.
    """
    _lock_key(session, key)
    messages = []
    for free_slots in session.execute(_FREE_SLOTS_OF_KEY, {"key": key}).all():
        count = free_slots.free if fill_all_slots else 1
        if count > 0:
            messages += _unpark_queue(session, key, free_slots.queue, free_slots.most, count, at=at)
    session.commit()
    return messages


def _unpark_queue(
    session: Session, key: str, queue: str, limit: int, count: int, *, at: datetime
) -> list[Message]:
    """Give up to *count* parked runs a message again, and return the messages."""
    next_runs = (
        select(Run.id)
        .where(
            IS_PARKED,
            Run.concurrency_key == key,
            Run.concurrency_limit == limit,
            Run.queue == queue,
        )
        .order_by(Run.priority, Run.id)
        .limit(count)
    )
    ids = session.scalars(next_runs).all()
    is_parked = (Run.state == RunState.QUEUED, Run.send_at.is_(None))
    return transitions.queue_runs(session, (Run.id.in_(ids), *is_parked), at=at, sends=0)
