"""A limited session finds the jobs with its tags, and all that tells of them, whatever it asks."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from jobs_app.accounts import audit, tag_limit
from jobs_app.core.states import Event, RunState
from jobs_app.db.engine import Database, reader_of
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.runs import Attempt, LogChunk, PrunedRuns, Run
from jobs_app.jobs import listing
from jobs_app.jobs.explain_runs import queue_workers
from jobs_app.runs import history, status
from tests.factories import NOON, claim, make_job, make_run, make_worker


def limited(database: Database, *tags: str) -> Session:
    """Return a session that is limited to *tags*."""
    session = database.session()
    tag_limit.limit(session, frozenset(tags))
    return session


def populate(database: Database) -> dict[str, Any]:
    """Store three jobs with a run each and its log, and a run without a job."""
    runs: dict[str, Any] = {}
    for name, tags in (("bill", ("billing",)), ("both", ("billing", "ops")), ("other", ("bill",))):
        runs[name] = make_run(database, make_job(database, name=name, tags=tags))
    runs["task"] = make_run(database)
    with database.session() as session:
        for run_id in runs.values():
            session.add(
                LogChunk(run_id=run_id, attempt=1, seq=0, stream="stdout", at=NOON, text="x")
            )
            session.add(Attempt(run_id=run_id, attempt=1, state=RunState.FAILED, finished_at=NOON))
            audit.note(session, "cancel", by="ann", at=NOON, run_id=run_id)
        for job_id in session.scalars(select(Job.id)):
            counted = {"state": RunState.FAILED, "count": 1, "latest_at": NOON}
            session.add(PrunedRuns(job_id=job_id, **counted))
            common = {"channel_id": 1, "channel": "ops", "event": Event.FAILED, "created_at": NOON}
            session.add(Notification(job_id=job_id, group_key="", **common))
        session.commit()
    return runs


def listed_jobs(session: Session) -> list[Job]:
    page, _ = listing.page(session, listing.Filter(), after=None, limit=9, at=NOON)
    return [job for job, _ in page]


def test_every_kind_of_select_finds_only_what_has_a_tag(database: Database) -> None:
    runs = populate(database)
    counts: dict[str, Callable[[Session], Any]] = {
        "jobs": lambda s: s.scalars(select(Job.name)).all(),
        "count": lambda s: s.scalar(select(func.count()).where(Job.id > 0)),
        "runs": lambda s: {run.id for run in s.scalars(select(Run))},
        "join": lambda s: s.scalars(select(Job.name).join(Run, Run.job_id == Job.id)).all(),
        "in": lambda s: s.scalars(select(LogChunk.text).where(LogChunk.run_id.in_(runs.values()))),
        "attempts": lambda s: s.scalar(select(func.count()).select_from(Attempt)),
        "pruned": lambda s: s.scalar(select(func.count()).select_from(PrunedRuns)),
        "notified": lambda s: s.scalar(select(func.count()).select_from(Notification)),
        "audit": lambda s: s.scalar(
            select(func.count()).where(AuditEvent.action.in_(["create", "cancel"]))
        ),
        "get": lambda s: [name for name, run_id in runs.items() if s.get(Run, run_id)],
        "loaded": lambda s: [
            len(run.attempts) for run in s.scalars(select(Run).options(selectinload(Run.attempts)))
        ],
        "pages": lambda s: [len(history.page(s, history.Filter(), before=None, limit=9)[0])],
        "names": lambda s: [job.name for job in listed_jobs(s)],
    }
    answers = {}
    for name, ask in counts.items():
        with limited(database, "billing") as session:
            answer = ask(session)
            answers[name] = sorted(answer) if isinstance(answer, list) else answer

    seen = {runs["bill"], runs["both"]}
    assert answers["jobs"] == answers["names"] == answers["join"] == ["bill", "both"]
    assert answers["count"] == 2
    assert answers["runs"] == seen
    assert len(list(answers["in"])) == 2
    assert answers["attempts"] == 2
    assert answers["pruned"] == answers["notified"] == 2
    assert answers["audit"] == 4
    assert answers["get"] == ["bill", "both"]
    assert answers["loaded"] == [1, 1]
    assert answers["pages"] == [2]


def test_the_load_of_a_worker_counts_the_runs_of_all_jobs(database: Database) -> None:
    worker_id, runs = make_worker(database), populate(database)
    for name in ("other", "task"):
        claim(database, runs[name], worker_id)

    with limited(database, "billing") as session:
        (state,) = status.worker_states(session)
        assert (state.runs, state.other_runs, state.free) == ([], 2, 0)
        queued = session.get_one(Run, runs["bill"])
        workers = queue_workers(session, queued)
        assert workers is not None
        assert (workers.slots, workers.busy) == (2, 2)


def test_without_a_limit_all_are_found_and_without_a_tag_none(database: Database) -> None:
    populate(database)

    with database.reading() as session:
        assert len(session.scalars(select(Run.id)).all()) == 4
    with limited(database) as session:
        assert session.scalars(select(Job.id)).all() == []
        assert session.scalars(select(Run.id)).all() == []


def test_a_reader_of_a_limited_session_is_limited_too(database: Database) -> None:
    populate(database)

    with limited(database, "ops") as session, reader_of(session) as reader:
        assert reader.scalars(select(Job.name)).all() == ["both"]
        everything = select(func.count()).where(Job.id > 0)
        assert reader.scalar(everything, execution_options=tag_limit.ALL_JOBS) == 3


def test_a_page_of_many_jobs_is_whole(database: Database, monkeypatch: Any) -> None:
    populate(database)
    # As with more visible jobs than a list has ranges.
    monkeypatch.setattr(history, "MAX_RANGES", 1)

    with limited(database, "billing") as session:
        runs, _ = history.page(session, history.Filter(), before=None, limit=2)

    assert [run.job.name for run in runs if run.job] == ["both", "bill"]
