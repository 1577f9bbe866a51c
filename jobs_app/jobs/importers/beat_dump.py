"""Write the periodic tasks that Celery applications declare to standard output, as JSON.

    python beat_dump.py shop.celery > beat.json

Run it where beat runs, in the same directory, environment and Python. It needs Celery 4 or later,
Python 3.6 or later, and nothing of jobs-app. `jobs-app import beat --from-json beat.json` reads
the file. A MODULE may be followed by `:NAME`, as in `celery -A shop:app`.
"""

import contextlib
import datetime
import importlib
import json
import logging
import os
import sys
from typing import Any, List, Sequence

from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import crontab, maybe_schedule, schedule, solar

#: The form of the JSON; jobs-app reads no other one.
FORM = 1

METHODS = ("is_due", "remaining_estimate", "remaining_delta")
FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def plain(value: Any, is_text: bool = False) -> Any:
    """Return *value* as JSON; what JSON does not have is a text, or an object with its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(one, is_text) for one in value]
    if isinstance(value, dict) and all(isinstance(key, (str, int)) for key in value):
        return {str(key): plain(one, is_text) for key, one in value.items()}
    if is_text:
        # A queue may be an object of kombu.
        return str(getattr(value, "name", value))
    return {"__type__": type(value).__name__}


def zone_name(zone: Any) -> str:
    """Return the IANA name of a zone, or its text."""
    return str(getattr(zone, "key", None) or getattr(zone, "zone", None) or zone)


def error_text(error: object) -> str:
    """Return the type and the text of an error."""
    return (type(error).__name__ + ": " + str(error)).rstrip(": .")


def values_of(original: Any) -> Any:
    """Return a field of a crontab as it was written."""
    return original if isinstance(original, (int, str)) else sorted(original)


def now_of(nowfun: Any) -> Any:
    """Return the clock of a crontab: its zone, whether it reads like UTC, or its error."""
    if nowfun is None:
        return None
    try:
        now = nowfun()
        if now.tzinfo is not None:
            return {"zone": zone_name(now.tzinfo)}
        utc = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        return {"is_utc": abs((now - utc).total_seconds()) < 5}
    except Exception as error:  # noqa: BLE001  # user code
        return {"error": type(error).__name__}


def schedule_json(value: Any) -> Any:
    """Return a schedule of Celery as JSON."""
    kind: Any = type(value)
    name = kind.__module__ + "." + kind.__qualname__
    known: Any = next((one for one in (crontab, schedule) if isinstance(value, one)), None)
    is_own = kind.__name__ == "TzAwareCrontab" or (
        known is not None
        and all(getattr(kind, one, None) is getattr(known, one, None) for one in METHODS)
    )
    if isinstance(value, solar):
        return {"type": "solar", "event": value.event, "lat": value.lat, "lon": value.lon}
    if known is crontab and is_own:
        made = {one: values_of(getattr(value, "_orig_" + one)) for one in FIELDS}
        is_aware = kind.__name__ == "TzAwareCrontab"
        zone = zone_name(value.tz) if is_aware else None
        now = None if is_aware else now_of(value.nowfun)
        return {"type": "crontab", "fields": made, "zone": zone, "now": now}
    if known is schedule and is_own:
        seconds = value.run_every.total_seconds()
        return {"type": "interval", "seconds": seconds, "relative": bool(value.relative)}
    return {"type": "other", "class": name}


def queue_of(app: Any, task: str, entry: Any) -> Any:
    """Return the queue that beat sends an entry to, by its options, its task and the settings.

    None if they give none that can be read: `task_routes` may call functions of the user.
    """
    try:
        options = dict(entry.get("options") or {})
        queue = options.get("queue") or getattr(app.tasks.get(task), "queue", None)
        if queue:
            return str(getattr(queue, "name", queue))
        args, kwargs = entry.get("args") or (), entry.get("kwargs") or {}
        queue = app.amqp.router.route(options, task, args, kwargs).get("queue")
        return None if queue is None else str(getattr(queue, "name", queue))
    except Exception:  # noqa: BLE001  # user code
        return None


def entry_json(entry: Any, app: Any) -> Any:
    """Return an item of beat_schedule as JSON."""
    if isinstance(entry, ScheduleEntry):
        entry = dict(vars(entry), relative=False)
    if not isinstance(entry, dict):
        return None
    task = entry.get("task")
    made = {
        "task": str(getattr(task, "name", task)) if task is not None else None,
        "args": plain(entry.get("args") or []),
        "kwargs": plain(entry.get("kwargs") or {}),
        "options": plain(dict(entry.get("options") or {}), is_text=True),
        "schedule": None,
    }
    made["queue"] = queue_of(app, made["task"], entry)
    given = entry.get("schedule")
    if given is not None:
        try:
            made["schedule"] = schedule_json(
                maybe_schedule(given, bool(entry.get("relative")), app=app)
            )
        except Exception as error:  # noqa: BLE001  # user code: any object may stand there
            made["schedule"] = {"type": "error", "error": type(error).__name__}
    return made


def app_json(home: str, app: Any) -> Any:
    """Return an application with its periodic tasks as JSON."""
    conf = app.conf
    try:
        zone = zone_name(app.timezone)
    except Exception:  # noqa: BLE001  # the setting is of the user; the import says what is wrong
        zone = str(conf.timezone)
    return {
        "name": app.main,
        "home": home,
        "timezone": zone,
        "beat_scheduler": str(conf.beat_scheduler),
        "beat_cron_starting_deadline": conf.get("beat_cron_starting_deadline"),
        "entries": {
            str(name): entry_json(one, app) for name, one in (conf.beat_schedule or {}).items()
        },
    }


def apps_of(module: Any, attribute: str) -> List[Any]:
    """Return the applications of a module, its own, that of its tasks, and that of Flask's."""
    if attribute:
        value = getattr(module, attribute)
        return [value() if not isinstance(value, Celery) and callable(value) else value]
    found: List[Any] = []
    for value in list(vars(module).values()):
        with contextlib.suppress(Exception):
            extensions = getattr(value, "extensions", None)
            app = extensions.get("celery") if isinstance(extensions, dict) else value
            app = getattr(app, "app", app) if not isinstance(app, Celery) else app
            if isinstance(app, Celery):
                proxied = getattr(app, "_get_current_object", None)
                app = proxied() if proxied else app
                if app not in found:
                    found.append(app)
    return found


class Failures(logging.Handler):
    """Collects the functions of the user that fail: Celery only logs their errors."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.found: List[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.args, tuple) and len(record.args) == 2:
            function, error = record.args
            name = getattr(function, "__qualname__", type(function).__name__)
            self.found.append({"name": name, "error": error_text(error)})


def read(modules: Sequence[str]) -> Any:
    """Import the modules, as beat does, and return what they declare as JSON."""
    failures = Failures()
    logging.getLogger("celery.utils.dispatch.signal").addHandler(failures)
    homes: List[Any] = []
    # For modules that declare tasks of Celery's current application, before they make their own.
    current = Celery("current_app")
    current.set_default()
    for name in modules:
        path, _, attribute = name.partition(":")
        module = importlib.import_module(path)
        for app in apps_of(module, attribute):
            if app is not current and not any(app is other for _, other in homes):
                homes.append((path, app))
    homes.append(("current_app", current))
    made, taken = [], set()
    for home, app in homes:
        # As beat starts: the configuration, the modules of its tasks, the functions that wait.
        app.conf.get("timezone")
        app.loader.init_worker()
        app.finalize()
        if home in taken:
            home += " " + (app.main or "unnamed")
        taken.add(home)
        found = app_json(home, app)
        if found["entries"]:
            made.append(found)
    return {"beat_dump": FORM, "apps": made, "failures": failures.found}


def main() -> None:
    """Write the JSON; what the modules print goes to standard error."""
    if len(sys.argv) < 2:
        sys.exit("Usage: python %s MODULE... > beat.json" % os.path.basename(sys.argv[0]))
    sys.path.insert(0, os.getcwd())
    output, sys.stdout = sys.stdout, sys.stderr
    json.dump(read(sys.argv[1:]), output, indent=1)
    output.write("\n")


if __name__ == "__main__":
    main()
