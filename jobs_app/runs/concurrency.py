"""Runs that share a concurrency key: at most so many of them at once, whatever their jobs.

Each running one has a numbered place of its key. Who finds none is *parked*: it stays
queued and has no message any more, until somebody who leaves a place *calls* it: then it
has one again. Who comes later lets those go first that have waited for a place, by
priority and then by age; in its own queue, because nobody may serve another one.
Claims and hand-overs of one key come one after the other, so that neither can look
away in the moment in which the other changes what it looks at.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, case, exists, func, select, text, update
from sqlalchemy.orm import Session, aliased

from jobs_app.core.states import RunState
from jobs_app.db.models.processes import Worker
from jobs_app.db.models.runs import CALLED, KEPT_WAITING, PARKED, Run
from jobs_app.runs.messages import Message
from jobs_app.runs.outbox import MESSAGE_COLUMNS, RESEND_SECONDS, message_of
from jobs_app.runs.transitions import move

#: Any number that no other program on the same database would pick ("keys" in ASCII).
_LOCK_SPACE = 0x6B657973

#: The highest limit that a key may have.
MAX_SLOTS = 1000

# Made once, as in `places`.
_OTHER = aliased(Run, name="other")
_ABOVE = aliased(Run, name="above")

# Written out, not bound: only then does a database know its partial index to fit.
_OTHER_RUNS = (_OTHER.concurrency_key == Run.concurrency_key, text("other.state = 'running'"))

_RUNNING = select(func.count(_OTHER.id)).where(*_OTHER_RUNS).scalar_subquery()

_LOWEST_FREE = case(
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


# How many of the key run, and how many that could be let in have waited for a place already.
_CROWD = text(f"""
WITH mine AS (
    SELECT id, concurrency_key, concurrency_limit AS most, queue, priority
    FROM runs WHERE id = :run_id
), taken AS (
    SELECT count(runs.id) AS running FROM mine LEFT JOIN runs
    ON runs.concurrency_key = mine.concurrency_key AND runs.state = 'running'
)
SELECT most, running, (SELECT count(*) FROM (
    SELECT 1 FROM runs WHERE {KEPT_WAITING}
    AND runs.concurrency_key = mine.concurrency_key AND runs.queue = mine.queue
    AND (runs.priority, runs.id) < (mine.priority, mine.id)
    AND runs.concurrency_limit > taken.running LIMIT {MAX_SLOTS}
) AS found) AS ahead
FROM mine, taken
""").bindparams(bindparam("run_id", type_=Run.id.type))  # noqa: S608 (no value of anybody's)


def claim_slot(
    session: Session,
    run_id: UUID,
    attempt: int,
    *,
    worker_id: UUID,
    at: datetime,
    returning: tuple[Any, ...],
) -> Row[Any] | None:
    """Claim an attempt of a run that has a key, with a place of it; park it if there is none.

    None for a run without a key too. Does not commit.
    """
    queued = (Run.id == run_id, Run.attempt == attempt, Run.state == RunState.QUEUED)
    key = session.scalars(select(Run.concurrency_key).where(*queued)).one_or_none()
    if key is None:
        return None
    _take_turn(session, key)
    found = session.execute(_CROWD, {"run_id": run_id}).one()
    worker_lives = exists().where(Worker.id == worker_id, Worker.gone_at.is_(None))
    statement = (
        update(Run)
        .where(*queued, worker_lives, Run.concurrency_limit > _RUNNING + found.ahead)
        .values(
            state=RunState.RUNNING,
            concurrency_slot=_LOWEST_FREE,
            worker_id=worker_id,
            started_at=at,
            send_at=None,
            # It told why the run had to wait.
            reason=None,
        )
        .returning(*returning)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        # A worker that was given up parks nothing: no place need be taken then.
        move(session, (*queued, worker_lives), send_at=None, reason=_why(key, found))
    return row


def _take_turn(session: Session, key: str) -> None:
    """Wait until no other transaction claims or hands over a place of *key*.

    What the statements after it see was committed by then. SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        hashed = func.hashtextextended(key, _LOCK_SPACE)
        session.execute(select(func.pg_advisory_xact_lock(hashed)))


def _why(key: str, found: Row[Any]) -> str:
    """Return the sentence that says why a run is parked."""
    ahead = f", and {found.ahead} have waited longer" if found.ahead else ""
    return (
        f"Waits for a place: {found.running} of {found.most} runs"
        f" with the concurrency key {key!r} are running{ahead}."
    )


# Each of these walks from value to value along the index of what is parked, and reads no
# more rows than there are values: the keys, the limits above what is running, the queues.
# `called` counts who has a message on its way already.
_OPENINGS = f"""
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
), openings (key, queue, most, running, called) AS (
    SELECT key, queue, most, running, (SELECT count(*) FROM (
        SELECT 1 FROM runs WHERE {CALLED}
        AND concurrency_key = queues.key AND runs.queue = queues.queue LIMIT {MAX_SLOTS}
    ) AS found)
    FROM queues WHERE queue IS NOT NULL
)
{{wanted}}
"""  # noqa: S608 (no value of anybody's is in it)
_EACH_KEY = f"""
    SELECT min(concurrency_key) FROM runs WHERE {PARKED}
    UNION ALL
    SELECT (SELECT min(concurrency_key) FROM runs WHERE {PARKED} AND concurrency_key > keys.key)
    FROM keys WHERE key IS NOT NULL
"""  # noqa: S608 (no value of anybody's is in it)

_OPENINGS_OF_KEY = text(
    _OPENINGS.format(
        keys="SELECT CAST(:key AS VARCHAR(100))",
        wanted="""
SELECT queue, most, most - running - called AS missing FROM openings ORDER BY most, queue""",
    )
)
_KEYS_WITH_ROOM = text(
    _OPENINGS.format(
        keys=_EACH_KEY,
        wanted="""
SELECT DISTINCT key FROM openings WHERE most - running - called > 0 ORDER BY key LIMIT :limit""",
    )
)


def keys_with_free_slots(session: Session, *, limit: int = 500) -> list[str]:
    """Return keys with free places and parked runs, and nobody on the way to take them.

    Whoever left the places died before it handed them over, or those it called never came.
    """
    return list(session.scalars(_KEYS_WITH_ROOM, {"limit": limit}))


def unpark(
    session: Session, key: str, *, at: datetime, fill_all_slots: bool = False
) -> list[Message]:
    """Call the next parked run of *key* to its free place, in each queue, and commit.

    By priority, then by age. One in each queue, because nobody may serve another queue:
    who comes too late is parked again. With *fill_all_slots* as many as there are free places
    that nobody was called to.
    """
    _take_turn(session, key)
    messages = []
    for opening in session.execute(_OPENINGS_OF_KEY, {"key": key}).all():
        count = opening.missing if fill_all_slots else 1
        if count > 0:
            messages += _unpark_queue(session, key, opening.queue, opening.most, count, at=at)
    session.commit()
    return messages


def _unpark_queue(
    session: Session, key: str, queue: str, most: int, count: int, *, at: datetime
) -> list[Message]:
    """Have up to *count* parked runs be sent like any queued one; return their messages."""
    next_ones = (
        select(Run.id)
        .where(
            text(PARKED),
            Run.concurrency_key == key,
            Run.concurrency_limit == most,
            Run.queue == queue,
        )
        .order_by(Run.priority, Run.id)
        .limit(count)
    )
    statement = (
        update(Run)
        .where(Run.id.in_(session.scalars(next_ones).all()))
        .where(Run.state == RunState.QUEUED, Run.send_at.is_(None))
        .values(sends=0, send_at=at + timedelta(seconds=RESEND_SECONDS))
        .returning(*MESSAGE_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    return [message_of(row.id, row.attempt, row) for row in session.execute(statement)]
