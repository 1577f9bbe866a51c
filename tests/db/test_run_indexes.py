"""Statements on the unfinished runs of a job read only the indexes of unfinished runs."""

import re
from functools import partial
from typing import Protocol

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from jobs_app.core.errors import Conflict
from jobs_app.core.states import CancelMode, CatchupPolicy, OverlapPolicy, RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import service
from jobs_app.jobs.start import start_job
from jobs_app.runs import fires, overlap
from tests import factories
from tests.factories import HOUR, MINUTE, NOON, TASKS, make_run
from tests.plans import kept_plans
from tests.profiles import sqlite_nightly

#: The indexes that have no run that is over.
OF_UNFINISHED = {
    "uq_runs_active",
    "ix_runs_beside",
    "ix_runs_waiting",
    "ix_runs_awaited",
    "ix_runs_unfinished",
}

#: A run by its id.
BY_ID = {"pk_runs", "sqlite_autoindex_runs_1"}

_READ = re.compile(r"(?:Seq Scan on|SCAN) runs\b(?! USING)|\b(?:ix|uq|pk)_runs\w*|\w+_runs_\d\b")


def start(session: Session, job: Job, policy: OverlapPolicy) -> None:
    kwargs = {"duration": 0}
    start_job(session, job, app=TASKS, by="ann", at=NOON, kwargs=kwargs, overlap_policy=policy)


def be_refused(session: Session, job: Job) -> None:
    with pytest.raises(Conflict):
        start(session, job, OverlapPolicy.SKIP)


def settle(session: Session, job: Job) -> None:
    due = {"next_fire_at": NOON, "next_due_at": NOON, "overlap_policy": OverlapPolicy.CANCEL_OTHER}
    session.execute(update(Job).where(Job.id == job.id).values(**due))
    fires.record_before_change(session, service.lock(session, job), at=NOON + MINUTE)


def make_room(session: Session, job: Job) -> None:
    overlap.make_room(session, job.id, CancelMode.KILL, drop_waiting=True, at=NOON)


def catch_up(session: Session, job: Job) -> None:
    fires.catch_up(session, job, CatchupPolicy.LAST, since=NOON - HOUR, at=NOON)


def remove(session: Session, job: Job) -> None:
    service.remove(session, job, version=None, by="ann", at=NOON, to_purge=True)


class Work(Protocol):
    def __call__(self, session: Session, job: Job) -> object: ...


OF_ONE_JOB: dict[str, Work] = {
    "start": lambda session, job: start(session, job, OverlapPolicy.CANCEL_OTHER),
    "start beside others": lambda session, job: start(session, job, OverlapPolicy.ALLOW_ALL),
    "be refused": be_refused,
    "settle": settle,
    "catch up": catch_up,
    "give way": make_room,
    "promote": lambda session, job: overlap.promote(session, job.id, at=NOON),
    "remove": remove,
}


@sqlite_nightly
def test_no_statement_on_the_unfinished_runs_of_a_job_reads_finished_ones(
    long_history: Database,
) -> None:
    for number, (name, work) in enumerate(OF_ONE_JOB.items()):
        job = factories.job(long_history, f"job-{number}")
        make_run(long_history, job)
        make_run(long_history, job, state=RunState.WAITING)
        plans = kept_plans(long_history, partial(work, job=job))
        read = {name for plan in plans for name in _READ.findall(plan)}
        assert read & OF_UNFINISHED, f"{name}: {plans}"
        assert read <= OF_UNFINISHED | BY_ID, f"{name}: {read} {plans}"
