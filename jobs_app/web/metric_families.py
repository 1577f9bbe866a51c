"""The metrics of /metrics: their names, what they mean, and the values of one scrape.

No query reads the history of runs: what grows with it is counted when it happens.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs_app import __version__
from jobs_app.core.states import FAILURES, NotificationState, RunState
from jobs_app.db import counters, run_indexes
from jobs_app.db.counters import DURATION_BUCKETS, WAIT_BUCKETS
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.metrics import MetricCounter
from jobs_app.db.models.notifications import Notification
from jobs_app.db.models.processes import SchedulerProcess, Worker
from jobs_app.db.models.runs import Run
from jobs_app.runs import counting, status

PREFIX = "jobs_app_"

#: The label values of runs without a job, and of jobs without metrics of their own. No job can
#: have such a name.
NO_JOB, OTHER_JOBS = "(none)", "(other)"

#: A scheduler that has not ticked for so long counts no more.
SILENT = timedelta(seconds=60)

#: A fire is overdue after this time: a tick comes each second.
OVERDUE = timedelta(seconds=5)

#: Overdue jobs are counted up to this number.
MOST_OVERDUE = 10_000

#: Queues and workers with metrics of their own; more queues count as OTHER_JOBS together.
MOST_QUEUES, MOST_WORKERS = 100, 200

Labels = tuple[str, ...]


@dataclass(slots=True)
class Family:
    """A metric with its samples: the suffix of the name, the values of the labels, and a number."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    samples: list[tuple[str, dict[str, str], float]] = field(default_factory=list)

    def add(self, value: float, *labels: str, suffix: str = "", le: str | None = None) -> None:
        """Add a sample; *le* is the upper bound of a bucket."""
        named = dict(zip(self.labels, labels, strict=True)) | ({} if le is None else {"le": le})
        self.samples.append((suffix, named, value))


@dataclass(frozen=True, slots=True)
class _Counted:
    """A family of counters: its name in the table, its help, and its own label."""

    counter: str
    name: str
    help: str
    label: str | None = None
    is_by_job: bool = False
    buckets: tuple[float, ...] = ()
    #: The values that the label can have: a series must be there before its first event, or
    #: Prometheus sees no increase.
    values: tuple[str, ...] = ()

    @property
    def labels(self) -> Labels:
        job: Labels = ("job_name",) if self.is_by_job else ()
        return job if self.label is None else (*job, self.label)


_COUNTED = (
    _Counted(
        counting.FIRES,
        "fires_recorded",
        "Fires on record, by what became of them: run, skipped, missed or observed.",
        "outcome",
        values=("run", *counting.OUTCOMES.values()),
    ),
    _Counted(
        "schedule_lag",
        "schedule_lag_seconds",
        "How late the scheduler was for each job that was due.",
        buckets=WAIT_BUCKETS,
    ),
    _Counted(
        counting.FINISHED,
        "runs_finished",
        "Runs that have ended, by job and final state.",
        "state",
        is_by_job=True,
        values=tuple(sorted((*FAILURES, RunState.SUCCEEDED))),
    ),
    _Counted(
        counting.RETRIES,
        "run_retries",
        "Attempts after the first one of runs that have ended.",
        is_by_job=True,
        values=("",),
    ),
    _Counted(
        counting.DURATION,
        "run_duration_seconds",
        "From the first start of a run to its end.",
        is_by_job=True,
        buckets=DURATION_BUCKETS,
    ),
    _Counted(
        counting.WAIT,
        "run_wait_seconds",
        "From the moment a run was queued to its start, of runs that have ended.",
        buckets=WAIT_BUCKETS,
    ),
    _Counted(
        "janitor_actions",
        "janitor_actions",
        "Runs, messages, workers and entries that the janitor has mended.",
        "rule",
    ),
    _Counted(
        "notifications",
        "notifications",
        "Messages to channels: sent, postponed after a failed try, failed for good, suppressed.",
        "outcome",
        values=("sent", "postponed", "failed", "suppressed"),
    ),
)


def families(session: Session, *, at: datetime) -> Iterator[Family]:
    """Yield each metric with its present values."""
    info = Family("build_info", "gauge", "The version of the web process.", ("version",))
    info.add(1, __version__)
    yield info
    yield from _counted(session)
    yield _last_successes(session)
    yield from _schedulers(session, at=at)
    yield _overdue(session, at=at)
    yield from _queues(session, at=at)
    yield _pending_notifications(session)


def _counted(session: Session) -> Iterator[Family]:
    names = {counting.NO_JOB: NO_JOB, counting.OTHER_JOBS: OTHER_JOBS} | _job_names(session)
    values: dict[str, dict[int, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    columns = (MetricCounter.name, MetricCounter.job_id, MetricCounter.label, MetricCounter.value)
    for row in session.execute(select(*columns)):
        values[row.name][row.job_id][row.label] = row.value
    for counted in _COUNTED:
        kind: Literal["counter", "histogram"] = "histogram" if counted.buckets else "counter"
        family = Family(counted.name, kind, counted.help, counted.labels)
        by_job = values[counted.counter]
        for job_id in sorted(values[counting.FINISHED]) if counted.is_by_job else [0]:
            by_label = by_job[job_id]
            # The counters of a deleted job go with the next step of counting.
            if (job_name := names.get(job_id)) is None:
                continue
            job = (job_name,) if counted.is_by_job else ()
            if counted.buckets:
                _add_histogram(family, job, by_label, counted.buckets)
                continue
            for label, value in sorted((dict.fromkeys(counted.values, 0.0) | by_label).items()):
                own = () if counted.label is None else (label,)
                family.add(value, *job, *own, suffix="_total")
        yield family


def _add_histogram(
    family: Family, labels: Labels, by_label: Mapping[str, float], bounds: Sequence[float]
) -> None:
    total = 0.0
    for bound in (*map(counters.bucket_label, bounds), counters.INFINITE):
        total += by_label.get(bound, 0.0)
        family.add(total, *labels, suffix="_bucket", le=bound)
    family.add(total, *labels, suffix="_count")
    family.add(by_label.get(counters.SUM, 0.0), *labels, suffix="_sum")


def _job_names(session: Session) -> dict[int, str]:
    """Return the names of the jobs that have counters of their own."""
    counted = select(MetricCounter.job_id).where(MetricCounter.name == counting.FINISHED)
    living = select(Job.id, Job.name).where(Job.id.in_(counted), Job.deleted_at.is_(None))
    return dict(session.execute(living).all())


def _last_successes(session: Session) -> Family:
    counted = select(MetricCounter.job_id).where(MetricCounter.name == counting.FINISHED)
    succeeded = run_indexes.of_job_in(Job.id, RunState.SUCCEEDED)
    statement = select(
        Job.name, run_indexes.newest_of(Run.finished_at, succeeded).label("at")
    ).where(Job.id.in_(counted), Job.deleted_at.is_(None))
    family = Family(
        "job_last_success_timestamp_seconds",
        "gauge",
        "When the newest successful run of the job ended.",
        ("job_name",),
    )
    for row in session.execute(statement.order_by(Job.name)):
        if row.at is not None:
            family.add(row.at.timestamp(), row.name)
    return family


def _schedulers(session: Session, *, at: datetime) -> Iterator[Family]:
    rows = session.execute(select(SchedulerProcess.is_active, SchedulerProcess.ticked_at)).all()
    tick = Family("scheduler_last_tick_timestamp_seconds", "gauge", "When a scheduler last ticked.")
    if rows:
        tick.add(max(row.ticked_at for row in rows).timestamp())
    yield tick
    count = Family("schedulers", "gauge", "Schedulers that have ticked within a minute.", ("role",))
    living = [row.is_active for row in rows if at - row.ticked_at < SILENT]
    count.add(sum(living), "active")
    count.add(len(living) - sum(living), "standby")
    yield count


def _overdue(session: Session, *, at: datetime) -> Family:
    overdue = select(Job.id).where(Job.next_due_at < at - OVERDUE).limit(MOST_OVERDUE).subquery()
    family = Family(
        "fires_overdue",
        "gauge",
        f"Jobs with a fire that is due for {OVERDUE.seconds} s and not on record, "
        f"up to {MOST_OVERDUE}.",
    )
    family.add(session.scalar(select(func.count()).select_from(overdue)) or 0)
    return family


def _queues(session: Session, *, at: datetime) -> Iterator[Family]:
    living = status.workers(session)
    yield from _workers(living)
    queues = _folded(status.queues_in_use(session, living))
    runs = Family("runs", "gauge", "Unfinished runs, by state.", ("queue", "state"))
    wait = Family(
        "queue_oldest_wait_seconds",
        "gauge",
        "How long the run has waited that was queued first; 0 without one.",
        ("queue",),
    )
    served = Family("queue_workers", "gauge", "Living workers of the queue.", ("queue",))
    slots = Family(
        "queue_slots", "gauge", "Runs that the workers of the queue can run at once.", ("queue",)
    )
    for name, group in queues.items():
        for state in status.QUEUE_STATES:
            runs.add(sum(getattr(queue, state) for queue in group), name, state)
        since = min((q.oldest_queued_at for q in group if q.oldest_queued_at), default=at)
        wait.add(max((at - since).total_seconds(), 0.0), name)
        served.add(max(queue.workers for queue in group), name)
        slots.add(max(queue.slots for queue in group), name)
    yield from (runs, wait, served, slots)


def _folded(queues: Iterable[status.Queue]) -> dict[str, list[status.Queue]]:
    """Return queues by the value of their label: all beyond MOST_QUEUES share one."""
    folded: dict[str, list[status.Queue]] = defaultdict(list)
    for number, queue in enumerate(queues):
        folded[queue.name if number < MOST_QUEUES else OTHER_JOBS].append(queue)
    return folded


def _workers(living: Sequence[Worker]) -> Iterator[Family]:
    count = Family("workers", "gauge", "Living workers.")
    count.add(len(living))
    yield count
    dropped = Family(
        "worker_messages_dropped",
        "counter",
        "Messages that a living worker has dropped, because their runs were not its to start.",
        ("worker",),
    )
    # Names are unique, but for a worker that was given up and came back meanwhile.
    by_name = {worker.name: worker.messages_dropped for worker in living}
    for name in sorted(by_name)[:MOST_WORKERS]:
        dropped.add(by_name[name], name, suffix="_total")
    yield dropped


def _pending_notifications(session: Session) -> Family:
    pending = Notification.state == NotificationState.PENDING
    family = Family("notifications_pending", "gauge", "Notifications that wait to be sent.")
    family.add(session.scalar(select(func.count()).where(pending)) or 0)
    return family
