"""Somebody else saved a job first: the three documents, and what is to be chosen."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from jobs_app.core import yaml_text
from jobs_app.core.errors import JobsError
from jobs_app.core.text import shortened
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.jobs import merge, revisions
from jobs_app.jobs.definition import definition_of, from_document
from jobs_app.jobs.document import Definition
from jobs_app.jobs.merge import FieldMerge
from jobs_app.web import extension
from jobs_app.web.api.schemas.job_input import JobReplace
from jobs_app.web.pages import job_editor
from jobs_app.web.session import unlocked

#: The prefix of the controls that choose.
CHOOSE = "choose:"

#: Longer values are cut in the table, characters.
MOST_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Race:
    """Two changes of one job since the revision `base`; None: the revision is not kept.

    `document` is theirs with your changes, `unresolved` names the fields still to choose.
    """

    base: JobRevision | None
    fields: list[FieldMerge]
    document: dict[str, Any]
    unresolved: list[str]

    @property
    def is_quiet(self) -> bool:
        """Whether nobody changed the definition: the job was paused, say."""
        return self.base is not None and all(field.taken == "yours" for field in self.fields)


def race(job: Job, yours: Definition, *, version: int, choices: Mapping[str, str]) -> Race:
    """Compare *yours*, made from *version* of *job*, with the job as it is now."""
    base = _revision(job, version)
    before = {} if base is None else _document(base)
    theirs = job_editor.plain_document(definition_of(job))
    own = job_editor.plain_document(yours)
    document, unresolved = merge.merged(before, theirs, own, choices)
    return Race(base, merge.compare(before, theirs, own), document, unresolved)


def _revision(job: Job, version: int) -> JobRevision | None:
    """Return the revision that was the newest one at *version*."""
    with unlocked() as reader:
        newest = revisions.page(reader, job, before=version + 1, limit=1)
        return revisions.get(reader, job, newest[0].number) if newest else None


def _document(revision: JobRevision) -> dict[str, Any]:
    """Return the document of a revision; secrets in it are masked, and so differ from all."""
    stored = revision.definition
    try:
        body = JobReplace.model_validate(stored)
        definition = from_document(
            body.model_dump(exclude_unset=True), extension.current().settings, name=stored["name"]
        )
    except (ValidationError, JobsError, KeyError):
        # Of a version with other fields: then all is to be chosen.
        return {}
    return job_editor.plain_document(definition)


def choices_in(values: Mapping[str, str]) -> dict[str, str]:
    """Return what a form chose, by the names of fields."""
    return {
        name.removeprefix(CHOOSE): text for name, text in values.items() if name.startswith(CHOOSE)
    }


def kept(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the texts of the form, which the page keeps hidden."""
    return [item for item in values.items() if not item[0].startswith(CHOOSE)]


def shown(value: Any) -> str:
    """Return a value of the table as text: lists and objects as YAML."""
    if value in (None, "", {}, []):
        return "–"
    text = value if isinstance(value, str) else _written(value)
    return shortened(text, MOST_SHOWN)


def _written(value: Any) -> str:
    is_plain = isinstance(value, bool | int | float)
    return json.dumps(value) if is_plain else yaml_text.write(value).rstrip()


def label(name: str) -> str:
    """Return the name of a field of the table: the kind of a schedule is the schedule."""
    return "schedule" if name == merge.WHEN else name
