"""Which fires move when the data of time zones changes.

The active scheduler notes the files of the zones that jobs use. A process that has other files,
such as one that was started after an upgrade of tzdata, compares the fires under both.
"""

import io
import logging
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.core.text import rfc3339
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.db.models.processes import ZoneFile
from jobs_app.schedules import zone_data, zone_fires
from jobs_app.schedules.union import AnySchedule, parts_of

log = logging.getLogger(__name__)

#: How far ahead fires are compared.
PERIOD = timedelta(days=90)

#: Jobs that are compared at most.
MOST_JOBS = 2000

#: The step in which the offsets of two versions of a zone are compared.
_STEP = timedelta(minutes=30)

#: A local day before and after a time with another offset: fires of a skipped time move, too.
_MARGIN = timedelta(days=1)

#: Jobs that an event of the audit names.
NAMED = 20


@dataclass(frozen=True, slots=True)
class MovedFires:
    """The fires of a job that move: how many, and the first of them before and after.

    `before` is None for a fire that comes, `after` for one that goes.
    """

    job: str
    timezone: str
    count: int
    before: datetime | None
    after: datetime | None


def note_zones_in(database: Database, at: datetime) -> None:
    """Note the zone files in *database*, as the active scheduler does now and then."""
    # Without the lock of SQLite's one writer: with many jobs this look takes a second.
    with database.reading() as session:
        if not _changed_files(session, _noted(session)):
            return
    with database.session() as session:
        note_zone_files(session, by="scheduler", at=at)


def note_zone_files(session: Session, *, by: str, at: datetime) -> list[MovedFires]:
    """Store the files of the zones that jobs use, and commit; return the fires that this moves.

    If fires move, the audit says which. The first time nothing moves.
    """
    noted = _noted(session)
    changed = _changed_files(session, noted)
    if not changed:
        return []
    old = {name: noted[name] for name in changed if name in noted}
    moved = moved_fires(session, old, at=at)
    for name, data in changed.items():
        row = session.get(ZoneFile, name) or ZoneFile(zone=name)
        row.data, row.noted_at = b64encode(data).decode(), at
        row.version = zone_data.version()
        session.add(row)
    if moved:
        named = [f"{one.job}: {_instant(one.before)} to {_instant(one.after)}" for one in moved]
        audit.note(
            session,
            "zone_data_changed",
            by=by,
            at=at,
            version=zone_data.version(),
            jobs=named[:NAMED],
            count=len(moved),
        )
        log.warning("zone_data_moves_fires jobs=%s version=%s", len(moved), zone_data.version())
    session.commit()
    return moved


def moved_by_present_data(session: Session, *, at: datetime) -> list[MovedFires]:
    """Return the fires that move when the scheduler gets the zone data of this process."""
    noted = _noted(session)
    old = {
        name: data for name, data in noted.items() if zone_data.zone_file(name) not in (None, data)
    }
    return moved_fires(session, old, at=at)


def moved_fires(session: Session, old: Mapping[str, bytes], *, at: datetime) -> list[MovedFires]:
    """Return which fires of the next 90 days move if zones had the data *old* up to now."""
    windows = {name: window for name, data in old.items() if (window := _window(name, data, at))}
    if not windows:
        return []
    jobs = [job for job in _jobs(session) if _zones_of(job[1]) & windows.keys()]
    if not jobs:
        return []
    after = min(start for start, _ in windows.values())
    until = max(end for _, end in windows.values())
    wanted = [schedule for _, schedule in jobs]
    try:
        before = zone_fires.fires_with(old, wanted, after=after, until=until)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.warning("zone_data_not_compared error=%s", type(error).__name__)
        return []
    found = []
    for (name, schedule), fires in zip(jobs, before, strict=True):
        now = zone_fires.fires_of(schedule, after=after, until=until)
        go, come = sorted(set(fires) - set(now)), sorted(set(now) - set(fires))
        if go or come:
            zone = min(_zones_of(schedule) & windows.keys())
            first = (go[0] if go else None, come[0] if come else None)
            found.append(MovedFires(name, zone, max(len(go), len(come)), *first))
    return found


def _window(name: str, data: bytes, at: datetime) -> tuple[datetime, datetime] | None:
    """Return the time of the next 90 days around different offsets of a zone; None if none is."""
    old, new = ZoneInfo.from_file(io.BytesIO(data), key=name), _present_zone(name)
    steps = int(PERIOD / _STEP)
    differing = [
        instant
        for instant in (at + step * _STEP for step in range(steps))
        if instant.astimezone(old).utcoffset() != instant.astimezone(new).utcoffset()
    ]
    if not differing:
        return None
    return max(differing[0] - _MARGIN, at), differing[-1] + _MARGIN


def _present_zone(name: str) -> ZoneInfo:
    data = zone_data.zone_file(name)
    if data is None:
        return ZoneInfo(name)
    return ZoneInfo.from_file(io.BytesIO(data), key=name)


def _noted(session: Session) -> dict[str, bytes]:
    rows = session.scalars(select(ZoneFile))
    return {row.zone: b64decode(row.data) for row in rows}


def _changed_files(session: Session, noted: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of the zones that jobs use and that differ from those *noted*."""
    present = {name: zone_data.zone_file(name) for name in _zones(session)}
    return {name: data for name, data in present.items() if data and noted.get(name) != data}


def _zones(session: Session) -> set[str]:
    """Return the zones that living jobs use."""
    living = Job.deleted_at.is_(None)
    zones = set(session.scalars(select(Job.timezone).where(living).distinct()))
    several = select(Job).where(living, Job.more_schedules.is_not(None)).limit(MOST_JOBS)
    for job in session.scalars(several):
        zones |= _zones_of(schedule_of(job))
    return zones


def _jobs(session: Session) -> Iterator[tuple[str, AnySchedule]]:
    """Yield the name and the schedule of each job with a next fire, up to MOST_JOBS."""
    active = select(Job).where(Job.next_fire_at.is_not(None)).order_by(Job.id).limit(MOST_JOBS)
    for job in session.scalars(active):
        schedule = schedule_of(job)
        if schedule is not None:
            yield job.name, schedule


def _zones_of(schedule: AnySchedule | None) -> set[str]:
    return {part.timezone for part in parts_of(schedule)}


def _instant(value: datetime | None) -> str:
    return "none" if value is None else rfc3339(value)


def zone_versions(rows: Iterable[tuple[str, str | None]]) -> dict[str, list[str]]:
    """Return the names of the processes with each version of zone data, by version."""
    by_version: dict[str, list[str]] = {}
    for name, version in rows:
        if version is not None:
            by_version.setdefault(version, []).append(name)
    return by_version
