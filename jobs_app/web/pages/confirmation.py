"""Asking twice: the name of a job is typed before its page starts it."""

from collections.abc import Mapping

from jobs_app.core.errors import FieldError, refuse
from jobs_app.db.models.jobs import Job

#: The control of the form, and the pointer of its error.
FIELD, POINTER = "confirm", "/confirm"


def is_asked(job: Job | None) -> bool:
    """Tell whether the name of *job* is asked for; a deleted one has no say."""
    return job is not None and job.confirm and job.deleted_at is None


def check(job: Job | None, values: Mapping[str, str]) -> None:
    """Raise InvalidInput unless the form has the name of *job*, if that asks for it."""
    if job is not None and is_asked(job) and values.get(FIELD, "").strip() != job.name:
        detail = f"Type the name of the job, {job.name}, to start it."
        refuse([FieldError(POINTER, "not_confirmed", detail)])
