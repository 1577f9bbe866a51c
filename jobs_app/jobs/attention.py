"""What needs a person, the most urgent first: each a sentence, since when, and what helps."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from jobs_app.core.states import JobState
from jobs_app.core.text import counted
from jobs_app.db.revisions import is_newer
from jobs_app.jobs import attention_queries as queries
from jobs_app.jobs import overruns
from jobs_app.jobs.attention_installation import Acknowledgement, Installation, installation
from jobs_app.jobs.attention_queries import JobFacts, MessageFacts, RunFacts, RunningFacts
from jobs_app.jobs.pause_end import SYSTEM
from jobs_app.runs.last_line import last_line
from jobs_app.secrets import references

#: A scheduler that has not looked for this long is down.
SCHEDULER_SILENCE = timedelta(minutes=1)

#: A pause without an end is reported after this long.
LONG_PAUSE = timedelta(days=30)

#: Characters of an error that a line has.
MOST_ERROR_CHARS = 200

#: Characters of the id of a line.
ID_CHARS = 16


NEWER_SCHEMA = "A newer version of jobs-app has migrated the database: upgrade this one."


class Kind(StrEnum):
    """The kinds, the most urgent first."""

    NEWER_SCHEMA = "newer_schema"
    NO_SCHEDULER = "no_scheduler"
    NO_WORKER = "no_worker"
    FAILING = "failing"
    LATE = "late"
    MISSED = "missed"
    PAUSED_BY_FAILURES = "paused_by_failures"
    SECRET_GONE = "secret_gone"  # noqa: S105  (a kind, not a password)
    CHANNEL_FAILED = "channel_failed"
    OVERRUN = "overrun"
    LONG_PAUSED = "long_paused"


class Step(StrEnum):
    """What may help; the page has a button for it."""

    READ_LOG = "read_log"
    RETRY = "retry"
    CANCEL = "cancel"
    RUN = "run"
    RESUME = "resume"
    EDIT = "edit"
    EXPLAIN = "explain"
    START_SCHEDULER = "start_scheduler"
    START_WORKER = "start_worker"
    UPGRADE = "upgrade"
    STORE_SECRET = "store_secret"  # noqa: S105  (a step, not a password)
    TEST_CHANNEL = "test_channel"


@dataclass(frozen=True, slots=True)
class Item:
    """Something that needs a person; `job`, `queue` or `channel` names what it is about.

    `run` shows it best; `error` and `last_line`, the last line of its output, are those of this
    run. `acknowledgement` says who takes care of it.
    """

    kind: Kind
    sentence: str
    since: datetime | None = None
    job: str | None = None
    queue: str | None = None
    channel: str | None = None
    run: UUID | None = None
    error: str | None = None
    last_line: str | None = None
    steps: tuple[Step, ...] = ()
    acknowledgement: Acknowledgement | None = None

    @property
    def id(self) -> str:
        """The line's own id: another once its state has changed, as then `since` is another."""
        parts = (self.kind, self.job, self.queue, self.channel, self.since)
        return sha256(repr(tuple(map(str, parts))).encode()).hexdigest()[:ID_CHARS]


@dataclass(frozen=True, slots=True)
class Survey:
    """What needs a person, and the facts from which that is known."""

    items: list[Item]
    installation: Installation
    running: list[RunningFacts]


def attention(session: Session, *, at: datetime, with_secrets: bool = True) -> list[Item]:
    """Return what needs a person at *at*, the most urgent first; see `survey`."""
    return survey(session, at=at, with_secrets=with_secrets).items


def survey(session: Session, *, at: datetime, with_secrets: bool = True) -> Survey:
    """Return what needs a person at *at*, with the facts, in three statements.

    Without *with_secrets* no sentence names a secret.
    """
    jobs = queries.jobs(session, at=at, paused_before=at - LONG_PAUSE)
    secrets = {job.name: references.names(job.task, job.kwargs) for job in jobs if job.kwargs}
    facts = installation(session, at=at, secrets=set().union(*secrets.values()))
    ticked_at = facts.ticked_at
    running = queries.running_with_past(session)
    is_ticking = not is_silent(ticked_at, at=at)
    items = [
        *_of_schema(facts.revision),
        *([] if is_ticking else [_no_scheduler(ticked_at)]),
        *_of_queues(facts.unserved, facts.runs),
        *_of_jobs(jobs, at=at, is_ticking=is_ticking),
        *_of_runs(facts.runs, facts.served),
        *_of_secrets(secrets, facts.secrets, with_secrets=with_secrets),
        *_of_channels(facts.messages),
        *_overruns(running, at=at),
    ]
    order = list(Kind)
    items.sort(key=lambda item: (order.index(item.kind), item.since or at))
    known = facts.acknowledgements
    if known:
        items = [replace(item, acknowledgement=known.get(item.id)) for item in items]
    return Survey(items, facts, running)


def _of_schema(revision: str | None) -> Iterator[Item]:
    if is_newer(revision):
        yield Item(Kind.NEWER_SCHEMA, NEWER_SCHEMA, steps=(Step.UPGRADE,))


def is_silent(ticked_at: datetime | None, *, at: datetime) -> bool:
    """Tell whether no scheduler has looked for a minute, if the last one did at *ticked_at*."""
    return ticked_at is None or ticked_at <= at - SCHEDULER_SILENCE


def silence(ticked_at: datetime | None) -> str:
    """Return the sentence about schedulers that have not looked since *ticked_at*."""
    if ticked_at is None:
        return "No scheduler runs: no job fires."
    return "No scheduler has looked for a minute: no job fires."


def _no_scheduler(ticked_at: datetime | None) -> Item:
    return Item(
        Kind.NO_SCHEDULER, silence(ticked_at), since=ticked_at, steps=(Step.START_SCHEDULER,)
    )


def _of_queues(unserved: dict[str, int], runs: Iterable[RunFacts]) -> Iterator[Item]:
    late = {run.queue: run for run in runs if not run.is_missed}
    for queue, jobs in unserved.items():
        sentence = f"No worker serves the queue {queue!r}: {counted(jobs, 'job')} "
        sentence += "names it." if jobs == 1 else "name it."
        since = late[queue].since if queue in late else None
        yield Item(Kind.NO_WORKER, sentence, since=since, queue=queue, steps=(Step.START_WORKER,))


def _of_jobs(jobs: Iterable[JobFacts], *, at: datetime, is_ticking: bool) -> Iterator[Item]:
    for job in jobs:
        is_paused = job.state is JobState.PAUSED
        failures = counted(job.failures, "time")
        if is_paused and job.paused_by == SYSTEM:
            sentence = f"Paused after it failed {failures} in a row."
            steps = (Step.READ_LOG, Step.RESUME)
            yield _of_job(Kind.PAUSED_BY_FAILURES, job, sentence, job.paused_at, steps)
        elif job.is_failing:
            sentence = f"Failed {failures} in a row." if job.failures > 1 else "Failed."
            steps = (Step.READ_LOG, Step.RETRY)
            yield _of_job(Kind.FAILING, job, sentence, job.failing_since, steps)
        if is_paused and job.is_paused_long and job.paused_by != SYSTEM:
            reason = f": {job.paused_reason.rstrip('.')}." if job.paused_reason else "."
            sentence = f"Paused for over {counted(LONG_PAUSE.days, 'day')}{reason}"
            steps = (Step.RESUME, Step.EDIT)
            yield _of_job(Kind.LONG_PAUSED, job, sentence, job.paused_at, steps)
        # Without a scheduler all jobs are late: one line says so.
        if job.is_fire_late and is_ticking:
            sentence = "A fire is due, and no scheduler has recorded it yet."
            yield _of_job(Kind.LATE, job, sentence, job.next_due_at, (Step.EXPLAIN,))


def _of_job(
    kind: Kind, job: JobFacts, sentence: str, since: datetime | None, steps: tuple[Step, ...]
) -> Item:
    if Step.READ_LOG not in steps:
        return Item(kind, sentence, since=since, job=job.name, steps=steps)
    error = None if job.error is None else _first_line(job.error)
    if job.exit_code:
        error = f"exit code {job.exit_code}" + (f", {error}" if error else "")
    return Item(
        kind,
        sentence,
        since=since,
        job=job.name,
        run=job.last_failure,
        error=error,
        last_line=last_line(job.log_end),
        steps=steps,
    )


def _first_line(error: dict[str, Any]) -> str:
    """Return the type and the first line of the message of an error."""
    lines = str(error.get("message") or "").strip().splitlines()
    message = lines[0] if lines else ""
    text = ": ".join(filter(None, (str(error.get("type") or ""), message)))
    return text if len(text) <= MOST_ERROR_CHARS else f"{text[:MOST_ERROR_CHARS]}…"


def _of_runs(runs: Iterable[RunFacts], served: set[str]) -> Iterator[Item]:
    for run in runs:
        if run.is_missed:
            fires = counted(run.fires, "fire")
            verb = "was" if run.fires == 1 else "were"
            sentence = f"{fires} {verb} missed in the last 24 hours."
            steps = (Step.EXPLAIN, Step.RUN)
            yield Item(Kind.MISSED, sentence, run.since, job=run.job, run=run.run, steps=steps)
        # One line says that a queue has no worker.
        elif run.queue in served:
            sentence = f"{counted(run.count, 'run')} " + ("waits" if run.count == 1 else "wait")
            sentence += f" for a free worker of the queue {run.queue!r}."
            if run.is_parked:
                sentence = "A run waits for a slot of its concurrency key."
            steps = (Step.EXPLAIN, Step.START_WORKER)
            yield Item(Kind.LATE, sentence, run.since, job=run.job, run=run.run, steps=steps)


def _of_secrets(
    by_job: dict[str, set[str]], known: set[str], *, with_secrets: bool
) -> Iterator[Item]:
    for name, names in by_job.items():
        if missing := sorted(names - known):
            which = ", ".join(map(repr, missing))
            sentence = f"It refers to secrets that do not exist: {which}."
            if not with_secrets:
                sentence = "It refers to secrets that do not exist."
            yield Item(Kind.SECRET_GONE, sentence, job=name, steps=(Step.STORE_SECRET, Step.EDIT))


def _of_channels(messages: Iterable[MessageFacts]) -> Iterator[Item]:
    for message in messages:
        if message.has_failed:
            error = f": {message.error.rstrip('.')}." if message.error else "."
            sentence = f"The last message was not delivered{error}"
            yield Item(
                Kind.CHANNEL_FAILED,
                sentence,
                since=message.at,
                channel=message.channel,
                steps=(Step.TEST_CHANNEL,),
            )


def _overruns(running: Iterable[RunningFacts], *, at: datetime) -> Iterator[Item]:
    for run in running:
        if overruns.usual_seconds(run, at=at) is None:
            continue
        sentence = "A run takes more than three times as long as most before it."
        yield Item(
            Kind.OVERRUN,
            sentence,
            since=run.started_at,
            job=run.job,
            run=run.id,
            steps=(Step.READ_LOG, Step.CANCEL),
        )
