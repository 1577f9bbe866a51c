"""Registers the tasks of the user's own Celery applications, the modules of JOBS_IMPORTS.

A task keeps its application, with its base class, its configuration and the broker that it
sends other tasks to. We only run it. The applications are found in the modules: as an
attribute, in a Flask application (`app.extensions["celery"]`), or as the application of a
task that is an attribute.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from celery import Celery, Task
from celery.local import Proxy

from jobs_app.core.process_log import protect_log
from jobs_app.tasks import shared_tasks
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.context import TaskOutcome
from jobs_app.tasks.import_notes import ProcessEnded, checked_import
from jobs_app.tasks.module_path import import_from_path

log = logging.getLogger(__name__)


class BrokenModule(Exception):
    """A module of the user, or an application in it, cannot be loaded; the text is a sentence.

    `error_name` is the class of the error, which is the cause. `tasks` are the names of the
    shared tasks that were declared meanwhile.
    """

    def __init__(self, module: str, error: BaseException, user_app: Celery | None = None) -> None:
        what = f"The module {module!r} of JOBS_IMPORTS cannot be imported"
        if user_app is not None:
            name = user_app.main or "without a name"
            what = f"The application {name!r} in the module {module!r} of JOBS_IMPORTS"
            what += " cannot be loaded"
        ends = "" if isinstance(error, Exception) else ", which would end the program"
        detail = f"{type(error).__name__}{ends}: {error}".rstrip(": .")
        super().__init__(f"{what}: {detail}.")
        self.error_name = type(error).__name__
        self.tasks: frozenset[str] = frozenset()


class NotLoaded(TaskOutcome):
    """The module or the application of the task cannot be loaded: failed."""


class BrokenTask(AnyTask):
    """Takes the place of a task whose module or application is broken: it always fails.

    The task itself would run in our application, without the context of its own one.
    `why` is a sentence.
    """

    abstract = True
    #: Celery would refuse arguments that `run` does not name.
    typing = False
    why: str


def load_modules(app: Celery, modules: Iterable[str], *, notes: Path) -> dict[str, BrokenModule]:
    """Import modules of the user; log and return those that are broken.

    *notes* is the directory for the notes about modules that end the process.
    """
    broken: dict[str, BrokenModule] = {}
    for module in modules:
        known = set(app.tasks)
        try:
            _load_with_note(module, notes)
        except BrokenModule as error:
            log.error("import_failed module=%s %s", module, error, exc_info=error.__cause__)
            error.tasks = frozenset(app.tasks) - known
            broken[module] = error
    return broken


def _load_with_note(module: str, notes: Path) -> None:
    try:
        with checked_import(notes, module, load):
            load(module)
    except ProcessEnded as error:
        raise BrokenModule(module, error) from error


def load(module: str) -> None:
    """Import a module of the user, and the modules that its Celery applications import.

    Raises BrokenModule for every error of these modules, also for an exit.
    """
    user_app = None
    before = set(sys.modules)
    try:
        for user_app in apps_in(import_from_path(module)):
            # Celery's own function puts the working directory before all libraries.
            user_app.loader.import_from_cwd = import_from_path  # type: ignore[method-assign]  # of this one
            # `include`, `imports` and autodiscover_tasks, as `celery -A … worker` has them.
            user_app.loader.import_default_modules()
            user_app.finalize()
    except BaseException as error:  # a module with `sys.exit()` must not end this process
        if user_app is not None:
            shared_tasks.forget_broken()
        raise BrokenModule(module, error, user_app) from error
    finally:
        shared_tasks.note_imports(module, before)
        # The module may have configured logging, and disabled our loggers by that.
        protect_log()


def register_user_tasks(
    app: Celery,
    modules: Iterable[str],
    broken: Mapping[str, BrokenModule] = MappingProxyType({}),
) -> None:
    """Register the tasks of the applications in the imported *modules* with *app*.

    A shared task gets the application of its own package; if there is none, that of the module
    that imported it, or the first one. If that one is broken, the task becomes a BrokenTask.
    Afterwards *app* is the current application again, even if a module made another current.
    """
    # Before the registration: finalizing binds each registered task to this application.
    app.finalize()
    # A shared task names the current application as its own one, here also for `apps_in`.
    app.set_current()
    candidates: dict[str, list[tuple[tuple[int, bool], AnyTask, BrokenModule | None]]] = {}
    for owner in _owners(app, modules, broken):
        for name, task in owner.tasks.items():
            if not name.startswith("celery.") and not _is_ours(task):
                closeness = max(
                    (
                        _common_packages(task.__module__, home),
                        shared_tasks.is_imported_by(home, task.__module__),
                    )
                    for home in owner.homes
                )
                candidates.setdefault(name, []).append((closeness, task, owner.error))
    for name, tasks in candidates.items():
        if name in app.tasks and _is_ours(app.tasks[name]):
            log.warning("task_name_taken task=%s", name)
            continue
        # Each application has each shared task. Of equal ones `max` takes the first.
        _, task, error = max(tasks, key=lambda candidate: candidate[0])
        app.tasks[name] = task if error is None else _broken_task(app, name, error)
    # Celery's own class lacks it; ours and those of tests take it.
    app.broken_modules = broken  # type: ignore[attr-defined]  # as said
    app.set_current()
    app.set_default()


def why_unknown(app: Celery, task: str) -> str | None:
    """Return why *app* may not have *task*: sentences about broken modules; None without any.

    The one of the task's package, else all: a module may import the one that has the task.
    """
    broken = broken_modules(app)
    errors = (str(error) for module, error in broken.items() if _common_packages(task, module))
    return next(errors, None) or " ".join(map(str, broken.values())) or None


def not_loaded(module: str, error_name: str) -> str:
    """Return a sentence about a broken module without the text of its error, and without a stop.

    The text may hold anything, and the sentence is for everybody.
    """
    return (
        f"The module {module!r} of JOBS_IMPORTS cannot be loaded ({error_name}), so the runs of its"
        " tasks fail"
    )


def broken_modules(app: Celery) -> Mapping[str, BrokenModule]:
    """Return the modules of JOBS_IMPORTS that *app* could not load, each with its error."""
    broken: Mapping[str, BrokenModule] = getattr(app, "broken_modules", {})
    return broken


@dataclass(frozen=True, slots=True)
class _Owner:
    """An application, or a broken module, with the tasks that may be its own."""

    homes: Sequence[str]
    tasks: Mapping[str, AnyTask]
    error: BrokenModule | None = None


def _owners(
    app: Celery, modules: Iterable[str], broken: Mapping[str, BrokenModule]
) -> Iterator[_Owner]:
    """Yield the applications in *modules* in their order, and then the broken modules.

    A module that broke at its import has no application that we could ask. Its tasks are
    those that it declared before.
    """
    for user_app, homes in homes_of_apps(modules).items():
        if user_app is app:
            continue
        errors = [broken[home] for home in homes if home in broken]
        tasks = _tasks_of(user_app)
        if len(errors) < len(homes):
            yield _Owner(homes, tasks)
        else:
            # Its shared tasks are in our application too, as in each.
            yield _Owner(homes, {**app.tasks, **tasks}, errors[0])
    for module, error in broken.items():
        declared = {name: app.tasks[name] for name in error.tasks if name in app.tasks}
        yield _Owner([module], declared, error)


def _broken_task(app: Celery, name: str, error: BrokenModule) -> BrokenTask:
    why = f"The task {name!r} cannot run. {error}"

    def fail(*_: Any, **__: Any) -> None:
        raise NotLoaded(why)

    fail.__doc__ = why
    # Celery keeps a task that has the name already.
    app.tasks.pop(name, None)
    task = app.task(name=name, base=BrokenTask, shared=False, lazy=False)(fail)
    task.why = why
    return task


def homes_of_apps(modules: Iterable[str]) -> dict[Celery, list[str]]:
    """Return the applications in the imported *modules*, each with the modules that have it."""
    homes: dict[Celery, list[str]] = {}
    for name in modules:
        if name in sys.modules:
            for user_app in apps_in(sys.modules[name]):
                homes.setdefault(user_app, []).append(name)
    return homes


def _tasks_of(user_app: Celery) -> Mapping[str, AnyTask]:
    """Return the tasks of an application; none if it cannot be configured.

    Its module is broken then (`load`), and named as such.
    """
    try:
        # Its tasks finalize an application, and every later @shared_task asks a final one.
        user_app.conf.get("task_default_queue")
        return user_app.tasks
    except BaseException as error:  # as in `load`
        log.debug("application_left_out app=%s", user_app.main, exc_info=error)
        user_app.close()
        return {}


def _common_packages(module: str, other: str) -> int:
    """Return how many leading parts the names of two modules share."""
    pairs = zip(module.split("."), other.split("."), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass(frozen=True, slots=True)
class IgnoredSchedules:
    """The periodic tasks of user code that the scheduler does not follow.

    `names` are their keys, and `modules` those that have them. `waiting` functions would
    declare more if *app*, Celery's current application, were set up after the import.
    """

    names: list[str]
    modules: list[str]
    waiting: int


def ignored_schedules(app: Celery, modules: Sequence[str]) -> IgnoredSchedules | None:
    """Return the periodic tasks that the imported *modules* declare in vain; None without any.

    A `beat_schedule` counts only if *app*, Celery's current application, has it.
    """
    signals = (app.on_after_configure, app.on_after_finalize)
    waiting = sum(len(signal.receivers or ()) for signal in signals)
    names: list[str] = []
    homes: dict[str, None] = {}
    for user_app, its_modules in homes_of_apps(modules).items():
        if keys := list(schedule_of_app(user_app)):
            names += keys
            homes |= {its_modules[0]: None}
    if not names and not waiting:
        return None
    return IgnoredSchedules(names, list(homes or dict.fromkeys(modules)), waiting)


def schedule_of_app(user_app: Celery) -> Mapping[str, Any]:
    """Return the `beat_schedule` of an application; none if it cannot be configured."""
    try:
        return {str(name): entry for name, entry in (user_app.conf.beat_schedule or {}).items()}
    except BaseException as error:  # as in `load`
        log.debug("schedule_not_read app=%s", user_app.main, exc_info=error)
        return {}


def apps_in(module: ModuleType) -> Iterator[Celery]:
    """Yield the applications in *module*, its own or those of its tasks, but not ours."""
    for value in list(vars(module).values()):
        if (app := _app_of(value)) is not None and not _is_ours(app):
            yield app


def _app_of(value: Any) -> Celery | None:
    try:
        # `isinstance` of a proxy creates the task in its application.
        owner: Any = value if isinstance(value, Celery) else None
        if isinstance(value, Task):
            owner = value.app
        # A Flask application holds its Celery application so, as Flask's documentation has it.
        extensions = None if owner is not None else getattr(value, "extensions", None)
        if isinstance(extensions, dict) and isinstance(extensions.get("celery"), Celery):
            owner = extensions["celery"]
        # `current_app` is a proxy too, of our application.
        app: Celery | None = owner._get_current_object() if isinstance(owner, Proxy) else owner
    except BaseException:  # noqa: BLE001  # as in `load`: a lazy object may raise anything
        return None
    return app


def _is_ours(thing: object) -> bool:
    """Return whether an application or a task is one of jobs-app."""
    return type(thing).__module__.startswith("jobs_app.")
