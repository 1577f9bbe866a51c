"""The periodic tasks that modules of user code declare: read by importing the modules.

They are those of the applications in the modules, after the functions that wait for
`on_after_configure` and `on_after_finalize`, and those of Celery's current application.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import crontab, maybe_schedule

from jobs_app.core.text import shortened
from jobs_app.jobs.importers.beat_dump import queue_of
from jobs_app.jobs.importers.beat_schedules import timing_of, zone_of
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry, follow_options
from jobs_app.tasks import user_apps

#: Tasks of Celery's own, which the user did not schedule.
OWN_TASKS = frozenset({"celery.backend_cleanup"})
LEFT_OUT = "Celery adds it by itself, to empty its result backend, which jobs-app does not have."
FOLLOWED = (
    "The scheduler of jobs-app starts it already, from the code. Remove it there before you"
    " resume the job: else both start it. The job is created paused."
)
#: With these, the declared tasks are only a part: the others are elsewhere.
OTHER_STORES = {
    "django_celery_beat": "jobs-app import django-celery-beat DATABASE_URL",
    "redbeat": "jobs-app import redbeat REDIS_URL",
}
#: A fire that is later than this is caught up with, and not as if on time; seconds.
_DEADLINE = 60


@dataclass(frozen=True, slots=True)
class BeatApp:
    """An application with its periodic tasks. `home` is the module that has it, or its name.

    `timezone` is that of its schedules, None if it has no IANA name. `note` says where others are.
    """

    name: str
    home: str
    entries: list[PeriodicEntry]
    timezone: str | None
    note: str = ""


def read_modules(modules: Sequence[str], *, at: datetime) -> list[BeatApp]:
    """Import *modules* and return the applications that declare periodic tasks.

    Raises BrokenModule. What the modules print goes to standard error.
    """
    # The loader by name: else CELERY_LOADER names another.
    current = Celery("current_app", set_as_current=True, loader="celery.loaders.app:AppLoader")
    current.set_default()
    # As in the scheduler of jobs-app, whose application is set up before the import.
    current.finalize()
    current.conf.get("timezone")
    with contextlib.redirect_stdout(sys.stderr), _failures() as failures:
        for module in modules:
            user_apps.load(module)
        followed = set(user_apps.schedule_of_app(current))
        current.on_after_configure.send(sender=current, source=current.conf)
        current.on_after_finalize.send(sender=current)
        # Any module may have it as an attribute; it is of none of them.
        homes = user_apps.homes_of_apps(modules) | {current: ["current_app"]}
        apps = list(_apps(homes, current, followed, at))
    return with_failures(apps, failures, home=modules[0])


def with_failures(
    apps: list[BeatApp], failures: Sequence[PeriodicEntry], *, home: str
) -> list[BeatApp]:
    """Return *apps* with the entries of *failures* in the last one, or in one of *home*."""
    if failures and not apps:
        apps = [BeatApp("unnamed", home, [], None)]
    if failures:
        apps[-1].entries.extend(failures)
    return apps


@contextlib.contextmanager
def _failures() -> Iterator[list[PeriodicEntry]]:
    """Collect the functions of the user that fail in the block: Celery only logs their errors."""
    failures: list[PeriodicEntry] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            args = record.args if isinstance(record.args, tuple) else ()
            if record.exc_info and len(args) == 2:
                failures.append(_failure(args[0], args[1]))

    logger, collector = logging.getLogger("celery.utils.dispatch.signal"), Collector()
    logger.addHandler(collector)
    try:
        yield failures
    finally:
        logger.removeHandler(collector)


def _failure(function: object, error: object) -> PeriodicEntry:
    name = getattr(function, "__qualname__", type(function).__name__)
    return failed_function(name, f"{type(error).__name__}: {error}".rstrip(": ."))


def failed_function(name: str, detail: str) -> PeriodicEntry:
    """Return an entry for a function of the user that waits for the application, and fails."""
    return PeriodicEntry(
        name,
        f"{name}: a function that waits for the application",
        problem=f"It raises {shortened(detail, 200)}. What it would add is not known.",
        advice="Start the import with the settings and the environment that beat has.",
    )


def _apps(
    homes: Mapping[Celery, Sequence[str]], current: Celery, followed: set[str], at: datetime
) -> Iterator[BeatApp]:
    taken: set[str] = set()
    for app, names in homes.items():
        schedule = user_apps.schedule_of_app(app)
        entries = [entry_of(name, entry, app, at=at) for name, entry in schedule.items()]
        for entry in entries if app is current else ():
            if entry.key in followed:
                entry.differences.append(FOLLOWED)
                entry.is_paused = True
        name = app.main or "unnamed"
        home = names[0] if names[0] not in taken else f"{names[0]} {name}"
        taken.add(home)
        if entries:
            yield beat_app(app, home, entries)


def beat_app(app: Celery, home: str, entries: list[PeriodicEntry]) -> BeatApp:
    """Return *app*, of the module *home*, with its periodic tasks."""
    return BeatApp(app.main or "unnamed", home, entries, _zone_of_app(app), _other_store(app))


def _zone_of_app(app: Celery) -> str | None:
    try:
        return zone_of(app)
    except Refused:
        return None


def _other_store(app: Celery) -> str:
    scheduler = str(app.conf.beat_scheduler)
    command = next((c for name, c in OTHER_STORES.items() if scheduler.startswith(name)), None)
    return "" if command is None else f"Its beat keeps more periodic tasks elsewhere: {command}"


def entry_of(name: str, entry: Any, app: Celery, *, at: datetime) -> PeriodicEntry:
    """Return an item of `beat_schedule`; it says itself if it cannot be understood."""
    if isinstance(entry, ScheduleEntry):
        entry = {**vars(entry), "relative": False}
    if not isinstance(entry, Mapping):
        return PeriodicEntry(name, name, problem="It is no entry of a beat_schedule.")
    task = getattr(entry.get("task"), "name", entry.get("task"))
    task = "" if task is None else str(task)
    made = PeriodicEntry(name, f"{name}: {task or 'no task'}", task)
    if task in OWN_TASKS:
        made.left_out = LEFT_OUT
        return made
    try:
        _fill_in(made, entry, app, at)
    except Refused as refusal:
        made.refuse(refusal)
    return made


def _fill_in(made: PeriodicEntry, entry: Mapping[str, Any], app: Celery, at: datetime) -> None:
    beat_schedule = _schedule_of(entry, app)
    made.text += f", {shortened(repr(beat_schedule).strip('<>'), 100)}"
    check_task(made.task)
    made.args, made.kwargs = entry.get("args") or (), entry.get("kwargs") or {}
    made.timing = timing_of(beat_schedule, at=at)
    made.differences += made.timing.differences
    follow_options(made, entry.get("options") or {})
    made.queue_there = queue_of(app, made.task, entry)
    deadline = app.conf.beat_cron_starting_deadline
    if isinstance(beat_schedule, crontab) and deadline is not None:
        # beat_cron_starting_deadline: a fire of a crontab that is later than this is left out.
        made.fields["catchup_window_seconds"] = int(deadline)
        made.fields["starting_deadline_seconds"] = min(int(deadline), _DEADLINE)


def _schedule_of(entry: Mapping[str, Any], app: Celery) -> Any:
    if (given := entry.get("schedule")) is None:
        raise Refused("It has no schedule.")
    try:
        return maybe_schedule(given, bool(entry.get("relative")), app=app)
    except Exception as error:  # user code: any object may stand there
        raise Refused(f"Its schedule raises {type(error).__name__}.") from error


def check_task(task: str) -> None:
    """Raise Refused unless *task* is one that a job may name."""
    if not task:
        raise Refused("It names no task.")
    if task.startswith("celery."):
        raise Refused(
            f"{task} is a workflow of Celery's, and a job runs one task.",
            "Write a task that starts the workflow, and schedule that.",
        )
