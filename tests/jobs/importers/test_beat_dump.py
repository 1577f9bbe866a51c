"""The script for other environments: what it writes is read as if the module were imported."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import _state

from jobs_app.jobs.importers import beat_dump
from jobs_app.jobs.importers.beat_json import FORM, read_dump
from jobs_app.jobs.importers.beat_modules import read_modules

AT = datetime(2026, 11, 30, 9, 41, 7, tzinfo=UTC)

MODULE = """\
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo
from celery import Celery, current_app
from celery.schedules import crontab, schedule
from kombu import Queue

print("imported")

class Own(crontab):
    def is_due(self, last_run_at):
        return False, 60

class Plain(crontab):
    pass

def paris():
    return datetime.now(ZoneInfo("Europe/Paris"))

def naive():
    return datetime(2026, 1, 1)

def raises():
    raise KeyError("clock")

app = Celery("shop", set_as_current=False)
app.conf.timezone = "Asia/Tokyo"
app.conf.beat_cron_starting_deadline = 600
app.conf.task_default_queue = "web"
app.conf.task_routes = {"reports.*": {"queue": "reports"}}

@app.task
def work(x=1):
    pass

def entry(schedule, **fields):
    return {"task": "beat_kinds.work", "schedule": schedule, **fields}

app.conf.beat_schedule = {
    "crontab": entry(crontab(30, "2,4-6"), args=(1,)),
    "both-days": entry(crontab(0, 9, day_of_month="1-7", day_of_week="mon")),
    "sets": entry(crontab({0, 30}, [1, 2], day_of_week={0, 6})),
    "unlucky": entry(crontab(0, 0, day_of_month=13, day_of_week=5)),
    "seconds": entry(30.0, kwargs={"x": {1: [None, True, 1.5, "a"]}}),
    "delta": entry(timedelta(minutes=5), relative=True),
    "days": entry(timedelta(days=1), relative=True),
    "schedule": entry(schedule(90)),
    "short": entry(0.5),
    "own": entry(Own(0, 1)),
    "plain": entry(Plain(0, 1)),
    "paris": entry(crontab(0, 1, nowfun=paris)),
    "utc": entry(crontab(0, 1, nowfun=lambda: datetime.now(timezone.utc).replace(tzinfo=None))),
    "naive": entry(crontab(0, 1, nowfun=naive)),
    "raises": entry(crontab(0, 1, nowfun=raises)),
    "object": {"task": work, "schedule": 60, "args": [2]},
    "decimal": entry(60, args=(Decimal("1.1"),)),
    "not-a-number": entry(60, args=(float("nan"),)),
    "options": entry(
        60, options={"queue": Queue("slow"), "priority": 3, "expires": timedelta(hours=1)}
    ),
    "limits": entry(60, options={"time_limit": 30.5, "soft_time_limit": 20, "headers": {"a": 1}}),
    "link": entry(60, options={"link": work.s(3)}),
    "no-task": {"schedule": 60},
    "no-schedule": {"task": "beat_kinds.work"},
    "text": entry("hourly"),
    "routed": {"task": "reports.sales", "schedule": 60},
    "nothing": 3,
    "celery.backend_cleanup": {"task": "celery.backend_cleanup", "schedule": crontab(0, 4)},
    "chain": {"task": "celery.chain", "schedule": 60},
}

other = Celery("other", set_as_current=False)
other.conf.beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
other.conf.timezone = "Mars/Olympus"

@other.on_after_configure.connect
def fails(sender, **_):
    raise RuntimeError("no database")

@other.on_after_finalize.connect
def setup(sender, **_):
    sender.add_periodic_task(crontab(0, 9), sender.signature("beat_kinds.work", (7,)), name="late")
    sender.add_periodic_task(45, sender.signature("beat_kinds.work", (8,)))

current_app.conf.beat_schedule = {"from-current": entry(60)}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user; Celery's current application is as before afterwards."""
    state: Any = _state
    current, default = state._tls.current_app, state.default_app
    (tmp_path / "beat_kinds.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "beat_kinds"
    sys.modules.pop("beat_kinds", None)
    state._tls.current_app, state.default_app = current, default


def dump(directory: Path, *modules: str) -> subprocess.CompletedProcess[bytes]:
    """Run the script as people do: a copy of it, in the directory of their modules."""
    script = directory / "beat_dump.py"
    script.write_text(Path(beat_dump.__file__).read_text())
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JOBS_", "PYTHON"))}
    command = [sys.executable, str(script), *modules]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, timeout=60, check=False
    )


def fields_of(app: Any) -> dict[str, Any]:
    """Return the entries of an application, without the words for what is only known here."""
    found = {}
    for one in app.entries:
        fields = {name: getattr(one, name) for name in type(one).__slots__}
        fields["text"] = one.text.partition(",")[0]
        fields["args"], fields["kwargs"] = list(one.args), json.loads(json.dumps(one.kwargs))
        found[one.key] = fields
    return found


def test_what_the_script_writes_is_read_as_if_the_module_were_imported(
    tmp_path: Path, module: str
) -> None:
    result = dump(tmp_path, module)
    assert result.returncode == 0, result.stderr.decode()

    read, imported = read_dump(result.stdout, at=AT), read_modules([module], at=AT)

    assert b"imported" in result.stderr
    # A function that fails is of no application.
    failures = [one for app in (*read, *imported) for one in app.entries if one.key == "fails"]
    assert failures[0] == failures[1]
    for app in (*read, *imported):
        app.entries[:] = [one for one in app.entries if one.key != "fails"]
    homes = {app.home: app for app in read}
    queues = {one.key: one.queue_there for one in homes["beat_kinds"].entries}
    assert (queues["routed"], queues["seconds"], queues["options"]) == ("reports", "web", "slow")
    assert homes.keys() == {app.home for app in imported}
    for app in imported:
        other, ours = homes[app.home], fields_of(app)
        assert (other.name, other.timezone, other.note) == (app.name, app.timezone, app.note)
        theirs = fields_of(other)
        assert theirs.keys() == ours.keys()
        for key, fields in ours.items():
            # Objects that are no JSON: their classes count.
            if key in ("decimal", "not-a-number"):
                assert [type(one).__name__ for one in theirs[key]["args"]] == [
                    type(one).__name__ for one in fields["args"]
                ]
                fields["args"] = theirs[key]["args"]
            if key == "from-current":
                # Only a scheduler that imports the module follows it.
                fields |= {"differences": [], "is_paused": False}
            assert theirs[key] == fields, key


def test_the_script_says_how_it_is_called_and_ends_with_the_error_of_a_module(
    tmp_path: Path,
) -> None:
    (tmp_path / "beat_broken.py").write_text("import numpy_not_there\n")

    usage, broken = dump(tmp_path), dump(tmp_path, "beat_broken")

    assert usage.returncode == 1
    assert usage.stderr.startswith(b"Usage: python beat_dump.py MODULE...")
    assert broken.returncode == 1
    assert b"numpy_not_there" in broken.stderr
    assert (usage.stdout, broken.stdout) == (b"", b"")


def test_both_sides_know_the_same_form() -> None:
    assert beat_dump.FORM == FORM
