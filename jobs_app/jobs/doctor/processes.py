"""Checks of what schedulers and workers report of themselves: their versions and settings."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from jobs_app import __version__
from jobs_app.core.reported_settings import OF_ALL, OF_SCHEDULERS, OF_WORKERS
from jobs_app.core.text import listed, shortened
from jobs_app.jobs.doctor.findings import Finding, Level
from jobs_app.jobs.doctor.installation import NAMED, living_schedulers
from jobs_app.runs import status

#: Characters of a value in a finding.
VALUE_CHARS = 100


@dataclass(frozen=True, slots=True)
class Process:
    """What a process reports; None, or nothing, if it is of a version that does not say."""

    name: str
    version: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    queues: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Processes:
    """The living schedulers and workers, and the web server if that is the one that looks."""

    schedulers: Sequence[Process]
    workers: Sequence[Process]
    web_server: Sequence[Process] = ()


def living(session: Session, *, web_server: Mapping[str, Any] | None, at: datetime) -> Processes:
    """Return what living processes report; *web_server* are the settings of this one, if it is."""
    return Processes(
        [
            # All schedulers of a machine have one name.
            Process(f"{row.name} (process {row.pid})", row.version, row.settings or {})
            for row in living_schedulers(session, at=at)
        ],
        [
            Process(row.name, row.version, row.settings or {}, row.queues)
            for row in status.workers(session)
        ],
        [] if web_server is None else [Process("the web server", __version__, web_server)],
    )


def versions(processes: Processes) -> Iterator[Finding]:
    """Yield a warning if a scheduler or a worker is of another version than this process."""
    by_version: dict[str, list[str]] = {}
    for process in (*processes.schedulers, *processes.workers):
        if process.version != __version__:
            version = process.version or "an older one"
            by_version.setdefault(version, []).append(process.name)
    if by_version:
        yield Finding(
            "versions",
            Level.WARNING,
            f"This is jobs-app {__version__}, and processes are of other versions:"
            f" {_with_names(by_version)}.",
            "Install one version on all machines, then start these processes again.",
        )


def settings(processes: Processes) -> Iterator[Finding]:
    """Yield a finding for each setting that should be the same in processes, and is not."""
    yield from _fences(processes)
    everybody = (*processes.web_server, *processes.schedulers, *processes.workers)
    for name in OF_ALL:
        consequence = "They get no messages from each other."
        yield from _differing(name, everybody, consequence, Level.ERROR)
    for name in OF_SCHEDULERS:
        consequence = "Each scheduler uses its own."
        if name == "timezone":
            consequence = "A schedule that names no zone gets that of the web server."
        yield from _differing(name, (*processes.web_server, *processes.schedulers), consequence)
    for name in OF_WORKERS:
        consequence = "They serve the same queue, and a run gets what its worker has."
        yield from _differing(name, _in_conflict(name, processes.workers), consequence)


def _fences(processes: Processes) -> Iterator[Finding]:
    """Yield an error if workers keep runs longer than schedulers wait for a heartbeat."""
    lost = [
        (process.settings["lost_seconds"], process.name)
        for process in processes.schedulers
        if "lost_seconds" in process.settings
    ]
    if not lost:
        return
    seconds, scheduler = min(lost)
    slow = {
        process.name: process.settings["fence_seconds"]
        for process in processes.workers
        if process.settings.get("fence_seconds", 0) >= seconds
    }
    if slow:
        yield Finding(
            "settings",
            Level.ERROR,
            f"The scheduler {scheduler} starts runs again after {seconds:g} s without a heartbeat"
            " of their worker (JOBS_LOST_SECONDS), and workers end them no sooner"
            f" (JOBS_FENCE_SECONDS {max(slow.values()):g}: {listed(list(slow), most=NAMED)})."
            " A run may be done twice at once.",
            "Make JOBS_FENCE_SECONDS of all workers less than JOBS_LOST_SECONDS of all schedulers:"
            " 20 and 30 by default. Then start them again.",
        )


def _differing(
    name: str, processes: Iterable[Process], consequence: str, level: Level = Level.WARNING
) -> Iterator[Finding]:
    by_value: dict[str, list[str]] = {}
    for process in processes:
        if name in process.settings:
            by_value.setdefault(_text(process.settings[name]), []).append(process.name)
    if len(by_value) > 1:
        variable = f"JOBS_{name.upper()}"
        yield Finding(
            "settings",
            level,
            f"{variable} is not the same in all processes: {_with_names(by_value)}. {consequence}",
            f"Set the same {variable} for these processes, then start them again.",
        )


def _in_conflict(name: str, workers: Sequence[Process]) -> list[Process]:
    """Return the workers that serve a queue with another worker whose setting differs."""
    values: dict[str, set[str]] = {}
    reporting = [worker for worker in workers if name in worker.settings]
    for worker in reporting:
        for queue in worker.queues:
            values.setdefault(queue, set()).add(_text(worker.settings[name]))
    return [
        worker for worker in reporting if any(len(values[queue]) > 1 for queue in worker.queues)
    ]


def _text(value: object) -> str:
    """Return a value of a setting as people write it; spaces between its parts do not count."""
    if value in (None, ""):
        return "empty"
    return "".join(value.split()) if isinstance(value, str) else json.dumps(value)


def _with_names(by_value: Mapping[str, list[str]]) -> str:
    return "; ".join(
        f"{shortened(value, VALUE_CHARS)}: {listed(names, most=NAMED)}"
        for value, names in sorted(by_value.items())
    )
