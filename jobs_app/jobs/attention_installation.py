"""What is known of processes, queues, late runs and messages, in one bounded statement."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Select,
    String,
    Text,
    cast,
    func,
    literal,
    select,
    text,
    type_coerce,
    union_all,
)
from sqlalchemy.orm import Session

from jobs_app.core.states import RunState
from jobs_app.db import run_indexes
from jobs_app.db.models.accounts import Person, Token
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import Acknowledgement as Row
from jobs_app.db.models.processes import SchedulerProcess, Worker
from jobs_app.db.models.runs import Run
from jobs_app.db.models.secrets import Secret
from jobs_app.jobs import attention_queries as queries
from jobs_app.jobs.attention_queries import MessageFacts, RunFacts
from jobs_app.jobs.fact_rows import by_kind, facts

#: Rows that are counted or read at most.
MOST_RUNS = 1000
MOST_ACKNOWLEDGEMENTS = 1000
MOST_TOKENS = 100

#: The end of a token is announced for so long.
TOKEN_NOTICE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who takes care of a line, since when, and a note for the others."""

    by: str
    at: datetime
    note: str | None


@dataclass(frozen=True, slots=True)
class EndingToken:
    """A token that ends soon, and the name of its owner."""

    name: str
    owner: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Installation:
    """The processes and the queues; `queued` and `waiting` count runs, up to MOST_RUNS.

    `acknowledgements` are the newest, by the id of their line. `secrets` are those that exist of
    the names that were asked for.
    """

    revision: str | None
    ticked_at: datetime | None
    served: set[str]
    jobs_by_queue: dict[str, int]
    queued: int
    waiting: int
    runs: list[RunFacts] = field(default_factory=list)
    messages: list[MessageFacts] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    acknowledgements: dict[str, Acknowledgement] = field(default_factory=dict)
    ending_tokens: list[EndingToken] = field(default_factory=list)

    @property
    def unserved(self) -> dict[str, int]:
        """The queues that jobs name and no worker serves, with the number of jobs, by name."""
        counts = sorted(self.jobs_by_queue.items())
        return {queue: count for queue, count in counts if queue not in self.served}


def installation(session: Session, *, at: datetime, secrets: Collection[str] = ()) -> Installation:
    """Return what is known of the installation at *at*; *secrets* are names to look up."""
    revision = select(text("max(version_num)")).select_from(text("alembic_version"))
    tick = facts(
        "tick",
        name=type_coerce(revision.scalar_subquery(), String()),
        instant=func.max(SchedulerProcess.ticked_at),
    )
    workers = facts(
        "worker", name=Worker.name, value=cast(Worker.queues, Text), count=literal(1)
    ).where(Worker.gone_at.is_(None))
    queues = (
        facts("queue", name=Job.queue, count=func.count())
        .where(Job.deleted_at.is_(None))
        .group_by(Job.queue)
    )
    waiting = [_counted(state) for state in (RunState.QUEUED, RunState.WAITING)]
    parts = [tick, workers, queues, *waiting, _acknowledgements(), _ending_tokens(at)]
    parts += [*queries.late_and_missed(at=at), queries.newest_messages()]
    if secrets:
        parts.append(facts("secret", name=Secret.name).where(Secret.name.in_(secrets)))
    of_kind = by_kind(session.execute(union_all(*parts)))
    (last_tick,) = of_kind["tick"]
    served = {name for row in of_kind.get("worker", ()) for name in json.loads(row.value)}
    return Installation(
        revision=last_tick.name,
        ticked_at=last_tick.instant,
        served=served,
        jobs_by_queue={row.name: row.count for row in of_kind.get("queue", ())},
        queued=of_kind[RunState.QUEUED][0].count,
        waiting=of_kind[RunState.WAITING][0].count,
        runs=queries.run_facts(of_kind),
        messages=queries.message_facts(of_kind),
        secrets={row.name for row in of_kind.get("secret", ())},
        acknowledgements={
            row.name: Acknowledgement(row.actor, row.instant, row.value)
            for row in of_kind.get("acknowledgement", ())
        },
        ending_tokens=[
            EndingToken(row.name, row.actor, row.instant) for row in of_kind.get("token", ())
        ],
    )


def _counted(state: RunState) -> Select[Any]:
    """Return a query that counts the runs in *state*, up to MOST_RUNS."""
    guard = run_indexes.in_state(state).guard
    some = select(Run.id).where(*guard).limit(MOST_RUNS).subquery()
    return facts(str(state), count=func.count(some.c.id)).select_from(some)


def _acknowledgements() -> Select[Any]:
    newest = select(Row).order_by(Row.at.desc()).limit(MOST_ACKNOWLEDGEMENTS).subquery()
    columns = newest.c
    return facts(
        "acknowledgement",
        name=columns.line,
        value=columns.note,
        instant=columns.at,
        actor=columns.actor,
    )


def _ending_tokens(at: datetime) -> Select[Any]:
    some = (
        select(Token.name, Token.expires_at, Person.name.label("owner"))
        .join(Person, Person.id == Token.owner_id)
        .where(Token.revoked_at.is_(None), Person.removed_at.is_(None))
        .where(Token.expires_at > at, Token.expires_at <= at + TOKEN_NOTICE)
        .order_by(Token.expires_at, Token.id)
        .limit(MOST_TOKENS)
        .subquery()
    )
    return facts("token", name=some.c.name, instant=some.c.expires_at, actor=some.c.owner)
