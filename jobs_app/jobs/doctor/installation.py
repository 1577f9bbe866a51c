"""Checks of what the database knows: schema, schedulers, workers, queues, jobs."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.core.text import counted, listed, reason_of, rfc3339
from jobs_app.db import revisions
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.processes import SchedulerProcess
from jobs_app.jobs.attention import SCHEDULER_SILENCE, is_silent, silence
from jobs_app.jobs.doctor.clocks import Reading, process_clock
from jobs_app.jobs.doctor.findings import Finding, Level
from jobs_app.jobs.zone_changes import MovedFires, moved_by_present_data, zone_versions
from jobs_app.runs import status
from jobs_app.schedules import zone_data
from jobs_app.secrets.command_secrets import plain_secrets
from jobs_app.secrets.encryption import load_cipher
from jobs_app.secrets.rotation import ENCRYPTED_COLUMNS

#: Queues that are looked at.
MOST_QUEUES = 1000

#: Jobs, or fires, that a finding names.
NAMED = 10

#: An active scheduler notes its ticks this often, with some room; seconds.
NOTED_SECONDS = 4

#: The least lock of a scheduler: a tick of a full batch may take seconds on a busy machine.
LEAST_LOCK_SECONDS = 4


def migrations(session: Session) -> Iterator[Finding]:
    """Yield an error if the schema is not that of this version."""
    revision, newest = revisions.current_revision(session), revisions.newest_revision()
    if revisions.is_newer(revision):
        yield Finding(
            "migrations",
            Level.ERROR,
            f"A newer version of jobs-app has migrated the database to {revision}; this one knows"
            f" {newest}.",
            "Upgrade jobs-app here, on all machines alike.",
        )
    elif revision is None:
        yield Finding(
            "migrations",
            Level.ERROR,
            "The database has no tables of jobs-app yet.",
            "If it is new: jobs-app migrate. If it was lost: jobs-app restore FILE",
        )
    elif revision != newest:
        yield Finding(
            "migrations",
            Level.ERROR,
            f"The database is at the revision {revision}, and this version needs {newest}.",
            "Make a backup, then: jobs-app migrate",
        )


def schedulers(session: Session, settings: Settings, *, at: datetime) -> Iterator[Finding]:
    """Yield findings about schedulers: none that looks, or one that is slower than its lock."""
    ticked_at = status.last_tick(session)
    if is_silent(ticked_at, at=at):
        yield Finding(
            "scheduler", Level.ERROR, silence(ticked_at), "Start one: jobs-app up, or scheduler."
        )
    yield from scheduler_lock(living_schedulers(session, at=at), settings, at=at)


def scheduler_lock(
    living: Sequence[SchedulerProcess], settings: Settings, *, at: datetime
) -> Iterator[Finding]:
    """Yield a warning if ticks may last longer than the lock of the active scheduler.

    A scheduler extends its lock each quarter of it, between two ticks. One that was killed, or
    that a backup has brought along, is not in a tick: another one has been started since.
    """
    seconds = settings.scheduler_lock_seconds
    remedy = "Raise JOBS_SCHEDULER_LOCK_SECONDS (8 by default, 15 at most), or lower"
    remedy += " JOBS_SCHEDULER_BATCH."
    active = [scheduler for scheduler in living if scheduler.is_active]
    for scheduler in active:
        silent = (at - scheduler.ticked_at).total_seconds()
        is_replaced = any(other.started_at > scheduler.ticked_at for other in active)
        if silent > seconds + NOTED_SECONDS and not is_replaced:
            yield Finding(
                "scheduler_lock",
                Level.WARNING,
                f"The active scheduler {scheduler.name} has been in one tick for {silent:.0f} s,"
                f" and its lock lasts {seconds} s: another one takes over in the middle.",
                remedy,
            )
    if seconds < LEAST_LOCK_SECONDS:
        yield Finding(
            "scheduler_lock",
            Level.WARNING,
            f"The scheduler's lock lasts {seconds} s: on a busy machine a tick takes as long, and"
            " schedulers take turns.",
            remedy,
        )


def living_schedulers(session: Session, *, at: datetime) -> Sequence[SchedulerProcess]:
    """Return the schedulers that have ticked within the last minute."""
    recent = SchedulerProcess.ticked_at > at - SCHEDULER_SILENCE
    return session.scalars(select(SchedulerProcess).where(recent)).all()


def process_clocks(session: Session, *, at: datetime) -> Iterator[Reading]:
    """Yield how far the clocks of living schedulers and workers are ahead."""
    for scheduler in living_schedulers(session, at=at):
        yield process_clock(f"{scheduler.name}", scheduler.ticked_at, at=at)
    for worker in status.workers(session):
        yield process_clock(f"the worker {worker.name}", worker.seen_at, at=at)


def queues(session: Session) -> Iterator[Finding]:
    """Yield a finding for each queue without a worker: an error if runs wait in it."""
    for queue in status.queues(session, limit=MOST_QUEUES):
        if queue.warning is not None:
            waits = queue.waiting + queue.queued + queue.retrying
            yield Finding(
                "queues",
                Level.ERROR if waits else Level.WARNING,
                queue.warning,
                f"Start one: jobs-app worker --queues {queue.name}. Or change the queue of the"
                " jobs.",
            )


def workers(session: Session) -> Iterator[Finding]:
    """Yield a warning for each worker that says what it cannot do."""
    for name, problem in status.worker_problems(session).items():
        yield Finding(
            "workers",
            Level.WARNING,
            f"The worker {name} has a problem: {problem}",
            "Its log says more. Give it what it lacks, and start it again.",
        )


def imports(broken_modules: Iterable[str]) -> Iterator[Finding]:
    """Yield a warning for each of the sentences about modules that the web server cannot load."""
    for sentence in broken_modules:
        yield Finding(
            "imports",
            Level.WARNING,
            sentence,
            "Mend the module, or name the right ones in JOBS_IMPORTS, then start the server and"
            " the workers again.",
        )


def zone_data_versions(session: Session, process: str, *, at: datetime) -> Iterator[Finding]:
    """Yield a finding if processes have different zone data; *process* is this one."""
    rows: list[tuple[str, str | None]] = [(process, zone_data.version())]
    rows += [(one.name, one.tzdata) for one in living_schedulers(session, at=at)]
    rows += [(worker.name, worker.tzdata) for worker in status.workers(session)]
    by_version = zone_versions(rows)
    if zone_data.version() == "none":
        yield Finding(
            "zone_data",
            Level.ERROR,
            "This process finds no time zone data.",
            "Install the system's package tzdata, or the Python package tzdata.",
        )
    elif len(by_version) > 1:
        versions = "; ".join(
            f"{version}: {listed(names)}" for version, names in sorted(by_version.items())
        )
        yield Finding(
            "zone_data",
            Level.WARNING,
            f"Processes have different time zone data, and may differ about fires: {versions}.",
            "Bring tzdata to one version on all machines, then start all processes again.",
        )


def zone_changes(session: Session, *, at: datetime) -> Iterator[Finding]:
    """Yield a warning for the jobs whose fires move with the zone data of this process."""
    moved = moved_by_present_data(session, at=at)
    if moved:
        more = f"; and {len(moved) - NAMED} more" if len(moved) > NAMED else ""
        yield Finding(
            "zone_changes",
            Level.WARNING,
            f"With the time zone data {zone_data.version()}, fires of {counted(len(moved), 'job')}"
            " move within 90 days once the scheduler is started again: "
            f"{'; '.join(map(_moved, moved[:NAMED]))}{more}.",
            "Look at these jobs, then start scheduler, workers and web server again.",
        )


def _moved(one: MovedFires) -> str:
    before, after = (
        None if instant is None else rfc3339(instant) for instant in (one.before, one.after)
    )
    first = f"{before} to {after}" if before and after else f"{before or after} is new or gone"
    return f"{one.job} ({one.timezone}, {counted(one.count, 'fire')}, the first {first})"


def secrets(session: Session) -> Iterator[Finding]:
    """Yield a warning for jobs with passwords in plain text, in arguments or in a command."""
    columns = (Job.name, Job.task, Job.kwargs)
    living = select(*columns).where(Job.deleted_at.is_(None)).order_by(Job.name)
    rows = session.execute(living.execution_options(yield_per=500))
    found = [
        f"{name} ({', '.join([*places[:1], *(f'{one} in the command' for one in in_command)])})"
        for name, task, kwargs in rows
        for places, in_command in [plain_secrets(task, kwargs)]
        if places or in_command
    ]
    if found:
        verb = "has" if len(found) == 1 else "have"
        yield Finding(
            "secrets",
            Level.WARNING,
            f"{counted(len(found), 'job')} {verb} a password or a token in plain text:"
            f" {listed(found, most=NAMED)}.",
            "Store it: jobs-app secret set NAME, and write ${secret:NAME} in its place. For a"
            " command, write it in env, and $VARIABLE in the command.",
        )


def secret_key(session: Session, settings: Settings) -> Iterator[Finding]:
    """Yield an error if the key of this process is none, or does not read what is encrypted."""
    has_encrypted = any(session.scalar(select(func.count(column))) for column in ENCRYPTED_COLUMNS)
    path = settings.secret_key_file
    # A file that others can read is another finding.
    has_key = settings.secret_key is not None or (path.exists() and not path.stat().st_mode & 0o077)
    if not has_encrypted and not has_key:
        return
    try:
        cipher = load_cipher(settings)
    except ConfigurationError as error:
        sentence = f"{reason_of(error).removesuffix('.')}."
    else:
        texts = (text for column in ENCRYPTED_COLUMNS for text in session.scalars(select(column)))
        unreadable = sum(not cipher.reads(text) for text in texts)
        if not unreadable:
            return
        sentence = (
            f"{counted(unreadable, 'encrypted value')} (secrets and channels) cannot be read with"
            " the key here: runs that use one fail."
        )
    yield Finding(
        "secret_key",
        Level.ERROR,
        sentence,
        "Correct secret-key or JOBS_SECRET_KEY: it must be the key of this installation. If that is"
        " lost, store the secrets and channels again.",
    )
