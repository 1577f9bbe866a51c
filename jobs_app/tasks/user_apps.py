"""Takes over the tasks of the user's own Celery applications (JOBS_IMPORTS), as they are there.

A task keeps its application: its base class, its configuration, and where it sends
other tasks to. We only run it. Which applications there are is read off the modules:
what they hold are applications, or tasks that belong to one.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from celery import Celery, Task
from celery.local import Proxy
from celery.utils.imports import import_from_cwd

log = logging.getLogger(__name__)


def load(module: str) -> None:
    """Import a module of the user, and what its own Celery applications would import.

    Raises whatever these modules raise.
    """
    for app in own_apps(import_from_cwd(module)):
        # `include`, `imports` and autodiscover_tasks, as `celery -A … worker` has them.
        app.loader.import_default_modules()
        app.finalize()


def adopt(app: Celery, modules: Iterable[str]) -> None:
    """Give *app* the tasks of the applications that the imported *modules* hold.

    Afterwards *app* is the current one again, whatever the modules made current.
    """
    # Earlier: finalizing binds every task that is there to this application.
    app.finalize()
    loaded = [sys.modules[name] for name in modules if name in sys.modules]
    taken: set[str] = set()
    for own in dict.fromkeys(
        own for module in loaded for own in own_apps(module) if own is not app
    ):
        for name, task in own.tasks.items():
            if name.startswith("celery.") or name in taken or _is_ours(task):
                continue
            if name in app.tasks and _is_ours(app.tasks[name]):
                log.warning("task_name_taken task=%s", name)
                continue
            app.tasks[name] = task
            taken.add(name)
    app.set_current()
    app.set_default()


def own_apps(module: ModuleType) -> Iterator[Celery]:
    """Yield the applications that *module* holds, itself or through its tasks; not ours."""
    for value in list(vars(module).values()):
        if (app := _app_of(value)) is not None and not _is_ours(app):
            yield app


def _app_of(value: Any) -> Celery | None:
    try:
        # Asking a proxy for its class makes the task, in the application that it belongs to.
        found: Any = value if isinstance(value, Celery) else None
        if isinstance(value, Task):
            found = value.app
        # `current_app` is a proxy too, and stands for ours.
        app: Celery | None = found._get_current_object() if isinstance(found, Proxy) else found
    except Exception:  # noqa: BLE001  # somebody's lazy object, which cannot be made here
        return None
    return app


def _is_ours(thing: object) -> bool:
    """Tell whether an application or a task is the product's own."""
    return type(thing).__module__.startswith("jobs_app.")
