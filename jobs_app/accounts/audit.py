"""The audit: who changed what, written in the same transaction as the change."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from jobs_app.accounts import permissions
from jobs_app.accounts.permissions import Action
from jobs_app.accounts.principal import Principal
from jobs_app.accounts.tag_limit import ALL_JOBS
from jobs_app.core.roles import Role
from jobs_app.core.states import Via
from jobs_app.db.models.accounts import AuditEvent, Person
from jobs_app.db.models.jobs import Job

#: Taking care of what needs attention, or no longer.
ACKNOWLEDGE, TAKE_BACK = "acknowledge", "take_back"

#: Changes of jobs and acknowledgements, which all callers see; what operators see besides; and
#: what editors do.
JOB_ACTIONS = frozenset(
    {"create", "change", "restore", "pause", "resume", "delete", "purge", ACKNOWLEDGE, TAKE_BACK}
)
RUN_ACTIONS = frozenset({"start", "cancel"})
SECRET_ACTIONS = frozenset({"create_secret", "change_secret", "delete_secret"})

#: The key of the Origin in `info` of a session.
_ORIGIN = "audit_origin"

#: Events that may be written before an older one is committed.
OPEN_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Origin:
    """The request behind a change: its account, token, address and id, and the way it came."""

    token_id: int | None
    remote_address: str | None
    person_id: int | None = None
    request_id: str | None = None
    via: str = "system"


def set_origin(session: Session, origin: Origin) -> None:
    """Let all further events of *session* have this origin."""
    session.info[_ORIGIN] = origin


def origin(session: Session) -> Origin:
    """Return the origin of the events of *session*."""
    known: Origin = session.info.get(_ORIGIN, Origin(None, None))
    return known


def note(
    session: Session,
    action: str,
    *,
    by: str,
    at: datetime,
    job_id: int | None = None,
    run_id: UUID | None = None,
    **detail: Any,
) -> None:
    """Add an event to the running transaction; it is committed with the change."""
    cause = origin(session)
    session.add(
        AuditEvent(
            at=at,
            actor=by,
            person_id=cause.person_id,
            request_id=cause.request_id,
            via=cause.via,
            token_id=cause.token_id,
            remote_address=cause.remote_address,
            action=action,
            job_id=job_id,
            run_id=run_id,
            detail=detail,
        )
    )


def job_names(session: Session, events: Iterable[AuditEvent]) -> dict[int, str]:
    """Return the names of the jobs that *events* are about, by their ids; purged jobs have none."""
    ids = {event.job_id for event in events if event.job_id is not None}
    rows = session.execute(select(Job.id, Job.name).where(Job.id.in_(ids)))
    return {row.id: row.name for row in rows}


def newest_event(session: Session) -> int:
    """Return the number of the newest event of all jobs; 0 if there is none."""
    newest = select(func.max(AuditEvent.id))
    return session.scalar(newest, execution_options=ALL_JOBS) or 0


def jobs_saved_after(event: int) -> Select[int | None]:
    """Return a subquery for the ids of the jobs that events later than *event* are about.

    To find every job that was saved since `newest_event`, pass that number less OPEN_EVENTS.
    """
    return select(AuditEvent.job_id).where(AuditEvent.id > event)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The conditions of a list of events; None, or (), leaves a condition out.

    `person` is the name of an account, also of a removed one, or of a part that acts by itself.
    The instants are: since <= at < until.
    """

    job_id: int | None = None
    person: str | None = None
    actions: Sequence[str] = ()
    via: Sequence[Via] = ()
    since: datetime | None = None
    until: datetime | None = None


def visible_actions(principal: Principal) -> set[str] | None:
    """Return the actions that *principal* may see in the audit; None: all."""
    if permissions.allows(principal, Action.MANAGE_PEOPLE):
        return None
    actions = {*JOB_ACTIONS}
    if principal.role.includes(Role.OPERATOR):
        actions |= RUN_ACTIONS
    if permissions.allows(principal, Action.SEE_SECRETS):
        actions |= SECRET_ACTIONS
    return actions


def page(
    session: Session,
    conditions: EventFilter,
    *,
    before: int | None,
    limit: int,
    actions: Collection[str] | None = None,
) -> list[AuditEvent]:
    """Return events, newest first, older than the event *before*.

    Only those with one of *actions*; None: of all.
    """
    statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    clauses = [*_clauses(session, conditions)]
    if actions is not None:
        clauses.append(AuditEvent.action.in_(actions))
    if before is not None:
        clauses.append(AuditEvent.id < before)
    return list(session.scalars(statement.where(*clauses)))


def count_newer(
    session: Session,
    conditions: EventFilter,
    *,
    after: int,
    most: int,
    actions: Collection[str] | None = None,
) -> int:
    """Return how many events are newer than the event *after*, up to *most*."""
    clauses = [*_clauses(session, conditions), AuditEvent.id > after]
    if actions is not None:
        clauses.append(AuditEvent.action.in_(actions))
    newer = select(AuditEvent.id).where(*clauses).order_by(AuditEvent.id).limit(most)
    return session.scalar(select(func.count()).select_from(newer.subquery())) or 0


def _clauses(session: Session, conditions: EventFilter) -> Iterator[ColumnElement[bool]]:
    if conditions.job_id is not None:
        yield AuditEvent.job_id == conditions.job_id
    if conditions.person is not None:
        named = select(Person.id).where(func.lower(Person.name) == conditions.person.lower())
        ids = list(session.scalars(named))
        # An account by its number: the names of its tokens differ.
        yield AuditEvent.person_id.in_(ids) if ids else AuditEvent.actor == conditions.person
    if conditions.actions:
        yield AuditEvent.action.in_(conditions.actions)
    if conditions.via:
        yield AuditEvent.via.in_(conditions.via)
    if conditions.since is not None:
        yield AuditEvent.at >= conditions.since
    if conditions.until is not None:
        yield AuditEvent.at < conditions.until
