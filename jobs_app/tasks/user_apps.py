"""Registers the tasks of the user's own Celery applications, the modules of JOBS_IMPORTS.

A task keeps its application, with its base class, its configuration and the broker that it
sends other tasks to. We only run it. The applications are found in the modules: as an
attribute, in a Flask application (`app.extensions["celery"]`), or as the application of a
task that is an attribute.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from celery import Celery, Task
from celery.local import Proxy

from jobs_app.core.process_log import protect_log
from jobs_app.tasks.module_path import import_from_path

log = logging.getLogger(__name__)


class BrokenModule(Exception):
    """A module of the user cannot be imported; the text is a sentence that names it.

    `error_name` is the class of the error, which is the cause.
    """

    def __init__(self, module: str, error: BaseException) -> None:
        ends = "" if isinstance(error, Exception) else ", which would end the program"
        detail = f"{type(error).__name__}{ends}: {error}".rstrip(": ")
        super().__init__(f"The module {module!r} of JOBS_IMPORTS cannot be imported: {detail}.")
        self.error_name = type(error).__name__


def load(module: str) -> None:
    """Import a module of the user, and the modules that its Celery applications import.

    Raises BrokenModule for every error of these modules, also for an exit.
    """
    try:
        _load(module)
    except BaseException as error:  # a module with `sys.exit()` must not end this process
        raise BrokenModule(module, error) from error
    finally:
        # The module may have configured logging, and disabled our loggers by that.
        protect_log()


def _load(module: str) -> None:
    for app in apps_in(import_from_path(module)):
        # Celery's own function puts the working directory before all libraries.
        app.loader.import_from_cwd = import_from_path  # type: ignore[method-assign]  # of this one
        # `include`, `imports` and autodiscover_tasks, as `celery -A … worker` has them.
        app.loader.import_default_modules()
        app.finalize()


def register_user_tasks(app: Celery, modules: Iterable[str]) -> None:
    """Register the tasks of the applications in the imported *modules* with *app*.

    Afterwards *app* is the current application again, even if a module made another current.
    """
    # Before the registration: finalizing binds each registered task to this application.
    app.finalize()
    imported = [sys.modules[name] for name in modules if name in sys.modules]
    registered: set[str] = set()
    user_apps = dict.fromkeys(user_app for module in imported for user_app in apps_in(module))
    for user_app in user_apps:
        if user_app is app:
            continue
        for name, task in user_app.tasks.items():
            if name.startswith("celery.") or name in registered or _is_ours(task):
                continue
            if name in app.tasks and _is_ours(app.tasks[name]):
                log.warning("task_name_taken task=%s", name)
                continue
            app.tasks[name] = task
            registered.add(name)
    app.set_current()
    app.set_default()


def ignored_schedules(modules: Iterable[str]) -> dict[str, int]:
    """Return how many periodic tasks each application in the imported *modules* declares.

    The scheduler does not follow them: a `beat_schedule` counts only if our application,
    Celery's current one, has it.
    """
    imported = [sys.modules[name] for name in modules if name in sys.modules]
    own = dict.fromkeys(app for module in imported for app in apps_in(module))
    counts = {app.main or "unnamed": len(app.conf.beat_schedule or ()) for app in own}
    return {name: count for name, count in counts.items() if count}


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
    except Exception:  # noqa: BLE001  # user code: a lazy object may raise anything
        return None
    return app


def _is_ours(thing: object) -> bool:
    """Return whether an application or a task is one of jobs-app."""
    return type(thing).__module__.startswith("jobs_app.")
