"""The part of a job that the code of its task declares: by its decorator, or by its application.

A decorator's option counts before the application's setting, as in Celery.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery

from jobs_app.core.field_spec import YEAR_SECONDS
from jobs_app.core.settings import Settings
from jobs_app.tasks.any_task import AnyTask

log = logging.getLogger(__name__)

#: Options of Celery that a run does not follow, and the field of a job to use instead.
NOT_FOLLOWED = {
    "rate_limit": "Give the job a concurrency_key, which limits how many of its runs work at once.",
    "acks_late": "Let the job's retry policy repeat an attempt that is lost.",
    "reject_on_worker_lost": "Let the job's retry policy repeat an attempt that is lost.",
    "expires": "Use starting_deadline_seconds, after which a late fire does not run.",
    "exchange": "Use a queue.",
    "routing_key": "Use a queue.",
}

_EAGER = (
    "The application {app!r} of the task {name!r} sets task_always_eager. What the task sends by "
    "`.delay()` runs at once in its own run, and an error of it is not raised."
)

_LIMITS = ("time_limit", "soft_time_limit")


@dataclass(frozen=True, slots=True)
class Declaration:
    """The declared fields of a job, the declared time zone of its schedule, and warnings."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    timezone: str | None = None
    warnings: tuple[str, ...] = ()

    def completed(
        self, document: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return *document* with the declared fields that it leaves out, else the *defaults*.

        Of a soft and a hard limit that contradict each other, one that *document* has counts.
        """
        defaults = defaults or {}
        values = {**defaults, **self.fields, **document}
        hard, soft = values.get("time_limit_seconds"), values.get("soft_time_limit_seconds")
        if hard is not None and soft is not None and soft >= hard:
            if "soft_time_limit_seconds" not in document:
                values["soft_time_limit_seconds"] = None
            elif "time_limit_seconds" not in document:
                del values["time_limit_seconds"]
                values |= {n: v for n, v in defaults.items() if n == "time_limit_seconds"}
        return values


def declaration_of(task: AnyTask) -> Declaration:
    """Return what the code of *task* declares; an application that cannot be read adds nothing."""
    try:
        return _read(task)
    except Exception as error:  # noqa: BLE001  # the application's settings are user code
        log.warning("declaration_not_read task=%s error=%s", task.name, type(error).__name__)
        return Declaration()


def _read(task: AnyTask) -> Declaration:
    app = task.app
    is_ours = isinstance(getattr(app, "settings", None), Settings)
    options = {name: getattr(task, name, None) for name in (*_LIMITS, "queue", "priority")}
    if is_ours:
        # All tasks have this priority, unless they declare another.
        if options["priority"] == app.conf.task_default_priority:
            options["priority"] = None
    else:
        route = _route(app, task.name)
        settings = {name: app.conf.get(f"task_{name}") for name in _LIMITS} | route
        options = {
            name: settings.get(name) if value is None else value for name, value in options.items()
        }
    fields: dict[str, Any] = {}
    warnings = []
    for name, value in options.items():
        if value is None:
            continue
        converted = _CONVERT[name](value)
        if converted is None:
            warnings.append(
                f"The task {task.name!r} declares {name}={value!r}, which no job takes."
            )
        else:
            fields[f"{name}_seconds" if name in _LIMITS else name] = converted
    warnings += [
        f"The task {task.name!r} declares {name}={value!r}, which runs do not follow. {advice}"
        for name, advice in NOT_FOLLOWED.items()
        if (value := getattr(task, name, None))
    ]
    if not is_ours and app.conf.get("task_always_eager"):
        warnings.append(_EAGER.format(name=task.name, app=app.main))
    return Declaration(fields, None if is_ours else _timezone(app), tuple(warnings))


def _route(app: Celery, name: str) -> dict[str, Any]:
    """Return the queue and the priority that the application's `task_routes` give a task."""
    if not app.conf.task_routes:
        return {}
    route: Any = app.amqp.router.lookup_route(name, (), {}, {})
    if isinstance(route, str):
        return {"queue": route}
    return {key: value for key, value in (route or {}).items() if key in ("queue", "priority")}


def _timezone(app: Celery) -> str | None:
    # The stubs say that there always is one.
    name: Any = app.conf.timezone
    return None if name is None else str(ZoneInfo(str(name)))


def _seconds(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and math.isfinite(value)
    seconds = math.ceil(value) if is_number else 0
    return seconds if 1 <= seconds <= YEAR_SECONDS else None


def _queue(value: Any) -> str | None:
    # A queue may be an object of kombu.
    name = getattr(value, "name", value)
    return name if isinstance(name, str) and name else None


def _priority(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= 9 else None


_CONVERT = {
    "time_limit": _seconds,
    "soft_time_limit": _seconds,
    "queue": _queue,
    "priority": _priority,
}
