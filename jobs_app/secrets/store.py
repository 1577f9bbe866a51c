"""Secrets: stored encrypted under a name. Jobs refer to them; only runs get their values."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit
from jobs_app.accounts.tag_limit import ALL_JOBS, is_limited
from jobs_app.core.errors import (
    MAX_ERRORS,
    Conflict,
    FieldError,
    InvalidInput,
    NotFound,
    StaleVersion,
    refuse,
)
from jobs_app.core.text import did_you_mean, listed
from jobs_app.db.engine import reader_of
from jobs_app.db.job_references import hold_names, jobs_with_text
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.secrets import Secret
from jobs_app.secrets import redaction, references
from jobs_app.secrets.encryption import Cipher

#: The version of a secret that is not there yet.
ABSENT = 0

#: `last_used_at` is written at most this often.
USE_PRECISION = timedelta(minutes=1)

#: Names that an error lists before it counts the rest.
LISTED_NAMES = 5

#: Names of jobs that the audit of a deleted secret lists; it counts them all.
AUDITED_JOBS = 100

#: How many unknown names get a suggestion, and among how many secrets it is looked for.
MAX_HINTS = 3
KNOWN_NAMES = 1000


def get(session: Session, name: str) -> Secret:
    """Return the secret called *name*; raises NotFound with the nearest name."""
    secret = _find(session, name)
    if secret is None:
        raise NotFound(
            f"There is no secret {name!r}.{_hints(session, [name])[name]}", code="secret_not_found"
        )
    return secret


def version(session: Session, name: str) -> int:
    """Return the version of the secret called *name*, ABSENT if there is none."""
    secret = _find(session, name)
    return ABSENT if secret is None else secret.version


def page(session: Session, *, after: str | None, limit: int) -> list[Secret]:
    """Return secrets by name, those later than the name *after*."""
    statement = select(Secret).order_by(Secret.name).limit(limit)
    if after is not None:
        statement = statement.where(Secret.name > after)
    return list(session.scalars(statement))


def put(
    session: Session,
    name: str,
    *,
    value: str | None,
    description: str | None,
    version: int | None,
    cipher: Cipher,
    by: str,
    at: datetime,
) -> Secret:
    """Store a secret, or change the one that is called *name*; None keeps a field.

    *version* must be the current one: ABSENT requires a new secret, None accepts any.
    Raises InvalidInput for a new one without a value, StaleVersion.
    """
    secret = _locked(session, name, version)
    is_new = secret is None
    if secret is None:
        if value is None:
            session.rollback()
            missing = FieldError("/value", "missing", "A new secret needs a value.")
            raise InvalidInput(missing.detail, errors=[missing])
        secret = Secret(name=name, description="", version=0, created_at=at)
        session.add(secret)
    if value is not None:
        secret.encrypted = cipher.encrypt(value)
    if description is not None:
        secret.description = description
    secret.version += 1
    secret.updated_at, secret.updated_by = at, by
    audit.note(
        session,
        "create_secret" if is_new else "change_secret",
        by=by,
        at=at,
        secret=name,
        version=secret.version,
        has_new_value=value is not None,
    )
    try:
        session.commit()
    except IntegrityError as error:
        session.rollback()
        raise StaleVersion(
            f"Somebody else made a secret {name!r} just now: read it first."
        ) from error
    return secret


def remove(
    session: Session, name: str, *, version: int | None, force: bool, by: str, at: datetime
) -> None:
    """Delete a secret. Runs that still refer to it fail, and say so.

    Raises NotFound, StaleVersion, and Conflict (`secret_in_use`) while jobs refer to
    it, unless *force* is true.
    """
    with reader_of(session) as reader:
        newest_event = audit.newest_event(reader)
        jobs = used_by(reader, name, of_all=True)
        visible = used_by(reader, name)
    secret = _locked(session, name, version)
    if secret is None:
        session.rollback()
        raise NotFound(f"There is no secret {name!r}.", code="secret_not_found")
    # Nobody saves a reference to a locked secret: only what was saved since then is read now.
    saved_after = newest_event - audit.OPEN_EVENTS
    jobs = sorted({*jobs, *used_by(session, name, saved_after=saved_after, of_all=True)})
    if jobs and not force:
        session.rollback()
        users = listed(visible if is_limited(session) else jobs) or "jobs that you do not see"
        raise Conflict(
            f"The secret {name!r} is used by {users}: "
            "change these jobs first, or delete it with force.",
            code="secret_in_use",
        )
    session.execute(delete(Secret).where(Secret.id == secret.id))
    audit.note(
        session,
        "delete_secret",
        by=by,
        at=at,
        secret=name,
        jobs=jobs[:AUDITED_JOBS],
        job_count=len(jobs),
    )
    session.commit()


def used_by(
    session: Session, name: str, *, saved_after: int | None = None, of_all: bool = False
) -> list[str]:
    """Return the names of the living jobs that refer to a secret, sorted.

    *saved_after* leaves out jobs that no event of the audit later than this one is about.
    With *of_all* they are not only those that *session* finds.
    """
    job_ids = None if saved_after is None else audit.jobs_saved_after(saved_after)
    text = f"{references.OPENING}{name}}}"
    jobs = jobs_with_text(text, Job.kwargs, Job.task, job_ids=job_ids)
    rows = session.execute(jobs, execution_options=ALL_JOBS if of_all else {})
    return sorted(row.name for row in rows if name in references.names(row.task, row.kwargs))


def hold(session: Session, names: Collection[str]) -> None:
    """Keep secrets from being deleted until the commit; call it before a job is written.

    Raises InvalidInput, and rolls back, if one of *names* was deleted just now.
    """
    detail = "There is no secret {!r} any more."
    gone = hold_names(session, Secret.name, names)
    refuse([FieldError("/kwargs", "unknown_secret", detail.format(name)) for name in gone])


def check(session: Session, task: str, kwargs: Mapping[str, Any]) -> list[FieldError]:
    """Return the errors of the references in *kwargs*; unknown secrets are errors too.

    The work is bounded, since others cannot write meanwhile: at most MAX_ERRORS of a kind
    and one more are returned, and only the first unknown names get a suggestion.
    """
    errors = references.errors(task, kwargs) + redaction.copied_masks(kwargs)
    names = references.names(task, kwargs)
    if len(names) > references.MAX_NAMES:
        return errors
    unknown = missing(session, names)
    hints = _hints(session, sorted(unknown)[:MAX_HINTS])
    mentions = references.mentions(task, kwargs, unknown)
    return errors + [
        FieldError(pointer, "unknown_secret", f"There is no secret {name!r}.{hints.get(name, '')}")
        for pointer, name in islice(mentions, MAX_ERRORS + 1)
    ]


def missing(session: Session, names: Collection[str]) -> set[str]:
    """Return those of *names* without a secret."""
    if not names:
        return set()
    return {*names} - {*session.scalars(select(Secret.name).where(Secret.name.in_(names)))}


def find_all(session: Session, names: Collection[str]) -> dict[str, Secret]:
    """Return the secrets that exist among *names*, by name; their values stay encrypted."""
    secrets = session.scalars(select(Secret).where(Secret.name.in_(names)))
    return {secret.name: secret for secret in secrets}


def names_to_mark_used(secrets: Collection[Secret], *, at: datetime) -> list[str]:
    """Return the names of the secrets whose `last_used_at` is old enough to be written again."""
    return [
        secret.name
        for secret in secrets
        if secret.last_used_at is None or at - secret.last_used_at >= USE_PRECISION
    ]


def mark_used(session: Session, names: Collection[str], *, at: datetime) -> None:
    """Write when secrets were last given to a run."""
    session.execute(
        update(Secret)
        .where(Secret.name.in_(names))
        .values(last_used_at=at)
        .execution_options(synchronize_session=False)
    )
    session.commit()


def _find(session: Session, name: str) -> Secret | None:
    return session.scalars(select(Secret).where(Secret.name == name)).one_or_none()


def _locked(session: Session, name: str, version: int | None) -> Secret | None:
    """Return the row of a secret, held until the commit; raises StaleVersion for another one."""
    secret = session.scalars(
        select(Secret)
        .where(Secret.name == name)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    present = ABSENT if secret is None else secret.version
    if version is None or version == present:
        return secret
    session.rollback()
    if secret is None:
        raise StaleVersion(f"There is no secret {name!r} any more.")
    if version == ABSENT:
        raise StaleVersion(f"Somebody else made a secret {name!r} just now: read it first.")
    raise StaleVersion(f"The secret is at version {present}, not {version}: read it again.")


def _hints(session: Session, names: Collection[str]) -> dict[str, str]:
    """Return for each name the secret that was probably meant, or those that there are."""
    if not names:
        return {}
    known = list(session.scalars(select(Secret.name).order_by(Secret.name).limit(KNOWN_NAMES)))
    if not known:
        return {
            name: f" There are none yet: jobs-app secret set {name} makes it." for name in names
        }
    some_names = ", ".join(known[:LISTED_NAMES]) + (", …" if len(known) > LISTED_NAMES else "")
    others = f" There are: {some_names}."
    return {name: did_you_mean(name, known) or others for name in names}
