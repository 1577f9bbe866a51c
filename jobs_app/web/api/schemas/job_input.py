"""Jobs as they are sent."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from celery import Celery
from pydantic import ConfigDict, Field

from jobs_app.core.errors import FieldError, InvalidInput
from jobs_app.core.field_spec import INT32, YEAR_SECONDS
from jobs_app.core.settings import Settings
from jobs_app.core.states import JobSort, RunState, Standing
from jobs_app.jobs.definition import from_document
from jobs_app.jobs.document import NAME, Definition
from jobs_app.jobs.schedule_input import schedules_from
from jobs_app.notifications.rules import Rule
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules.union import MAX_SCHEDULES, AnySchedule
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.api.schemas.derive import MOST_CHARACTERS, input_fields, text_schema
from jobs_app.web.api.schemas.fields import (
    AnyOf,
    InstantIn,
    JobSortIn,
    Note,
    OverlapPolicyIn,
    Search,
)

#: What a list of jobs can have besides the jobs.
PARTS = ("recent", "facets")

NAME_SCHEMA = text_schema(NAME, 100)

Name = Annotated[
    str,
    Field(max_length=MOST_CHARACTERS, json_schema_extra=NAME_SCHEMA, examples=["nightly-report"]),
]
Kwargs = Annotated[dict[str, Any], Field(examples=[{"command": "python report.py"}])]
RetriedStates = Annotated[list[Literal["failed", "timed_out", "lost"]], Field(max_length=3)]

NotifyEvents = Annotated[
    list[
        Literal[
            "failed",
            "recovered",
            "late",
            "missed",
            "lost",
            "succeeded",
            "paused",
            "output",
            "overrun",
        ]
    ],
    Field(min_length=1, max_length=9),
]

READ_ONLY = {
    "id": "",
    "version": "Send If-Match to say which version you change.",
    "state": "Use POST …/pause and POST …/resume.",
    "paused": "Use POST …/pause and POST …/resume.",
    "observing_since": "It follows from `observe`.",
    "next_run_at": "It follows from the schedule.",
    "last_run": "",
    "created_at": "",
    "updated_at": "",
    "description_of_schedule": "It follows from the schedule.",
    "scheduling_error": "",
    "warnings": "",
    "declared": "The code of its task says it.",
    "environment": "It follows from JOBS_ENV_FILES.",
}


# The limits are for the document: `schedules.validation` checks them, for all callers.
_INTERVAL = Field(examples=[30], json_schema_extra={"minimum": 1, "maximum": YEAR_SECONDS})


Start = Annotated[Literal["start"], Field(description="It fires when jobs-app starts.")]


class ScheduleIn(Input):
    """When a job runs: exactly one of `cron`, `interval_seconds`, `every`, `at` and `on`."""

    cron: Annotated[str, Field(examples=["30 2 * * 1-5"])] | None = None
    interval_seconds: Annotated[int, _INTERVAL] | None = None
    every: Annotated[str, Field(max_length=64, examples=["2 weeks"])] | None = None
    anchor_at: InstantIn | None = None
    at: InstantIn | None = None
    on: Start | None = None
    timezone: Annotated[str, Field(max_length=64, examples=["Europe/Paris"])] | None = None
    start_at: InstantIn | None = None
    end_at: InstantIn | None = None
    jitter_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0


Schedules = Annotated[
    list[ScheduleIn],
    Field(
        max_length=MAX_SCHEDULES,
        description="All schedules of the job: it fires when one of them does, and once where"
        " several do. `schedule` alone is short for a list of one.",
    ),
]


@input_fields(RetryPolicy, on=RetriedStates)
class RetryIn(Input):
    """How often, after which outcomes and how long after each an attempt is repeated."""


@input_fields(Retention)
class RetentionIn(Input):
    """How long the history is kept; what is left out, or null, is as the installation has it.

    A run goes when it is older than `keep_days` (failed, timed out and lost ones:
    `keep_failed_days`), or when the job has more than `keep_runs` newer ones.
    """


class NotifyRuleIn(Input):
    """The events of a job that one channel gets; without `on`, the channel's own events."""

    channel: Annotated[str, Field(min_length=1, max_length=100, examples=["ops"])]
    on: NotifyEvents | None = None
    after_failures: Annotated[int, Field(ge=1, le=INT32)] = 1
    late_after_seconds: (
        Annotated[
            int,
            Field(
                ge=1,
                le=YEAR_SECONDS,
                description="null: the job's `starting_deadline_seconds`, 60 at least.",
            ),
        ]
        | None
    ) = None


@input_fields(
    Definition,
    {
        RetryPolicy: RetryIn,
        Retention: RetentionIn,
        Rule: NotifyRuleIn,
    },
    schedule=ScheduleIn | None,
)
class JobReplace(Input):
    """All that a person says of a job; what is left out takes its default."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly-report",
                    "task": "shell",
                    "kwargs": {"command": "python report.py"},
                    "schedule": {"cron": "30 2 * * 1-5", "timezone": "Europe/Paris"},
                }
            ]
        }
    )
    read_only: ClassVar = READ_ONLY

    name: Name | None = None
    schedules: Schedules = []

    def definition(self, settings: Settings, *, name: str, app: Celery) -> Definition:
        """Return it for the services, called *name* if it names none. Raises InvalidInput."""
        name = name if self.name is None else self.name
        return from_document(self.model_dump(exclude_unset=True), settings, name=name, app=app)


class JobIn(JobReplace):
    """A new job: all that a person says of it; what is left out takes its default."""

    name: Name


class PreviewIn(Input):
    """Schedules to look at, which need no job; `name` is what `H` is worked out from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"schedule": {"cron": "*/5 9-17 * * MON-FRI", "timezone": "Europe/Paris"}}]
        }
    )

    schedule: ScheduleIn | None = None
    schedules: Schedules = []
    start: InstantIn | None = Field(None, alias="from")
    count: Annotated[int, Field(ge=1, le=1000)] = 10
    name: Annotated[str, Field(max_length=MOST_CHARACTERS, examples=["nightly-report"])] | None = (
        None
    )

    def union(self, settings: Settings) -> AnySchedule | None:
        """Return the schedules as one; what is left out is as *settings* have it.

        Raises InvalidInput.
        """
        return schedules_from(self.model_dump(exclude_unset=True), settings, seed=self.name or "")


@contextmanager
def pointers_as_sent(body: JobReplace | PreviewIn) -> Iterator[None]:
    """Let errors of an only schedule point into `schedules` if *body* has it there."""
    try:
        yield
    except InvalidInput as error:
        if "schedules" not in body.model_fields_set:
            raise
        raise type(error)(error.detail, code=error.code, errors=listed(error.errors)) from error


def listed(errors: Iterable[FieldError]) -> list[FieldError]:
    """Return *errors* of a document that has an only schedule in `schedules`."""
    return [replace(one, pointer=_ALONE.sub("/schedules/0", one.pointer)) for one in errors]


_ALONE = re.compile(r"^/schedule(?=/|$)")


class PauseIn(Input):
    """Why a job is paused, and when it is resumed by itself."""

    reason: Note | None = None
    until: InstantIn | None = None


class ResumeIn(Input):
    """What becomes of the fires of the pause: none is run, the last one, or all."""

    on_missed: Literal["skip", "last", "all"] = "skip"


class JobRunIn(Input):
    """A run of a job, now; `kwargs` replace those of the job with the same names."""

    kwargs: Kwargs = {}
    note: Note | None = None
    overlap_policy: OverlapPolicyIn | None = None


class JobPath(Query):
    """Which job."""

    name: Annotated[str, Field(json_schema_extra={**NAME_SCHEMA, "example": "nightly-report"})]


class JobQuery(Query):
    """Which jobs a list shows."""

    state: Annotated[
        tuple[Standing, ...],
        AnyOf(
            Standing,
            "ways in which a job stands",
            "How a job stands; it may stand in several ways.",
            ("failing", "late"),
        ),
    ] = ()
    tag: Search | None = None
    queue: Search | None = None
    last_state: Annotated[
        tuple[RunState, ...],
        AnyOf(RunState, "states of runs", "The state of the newest run.", ("failed", "lost")),
    ] = ()
    q: Search | None = None
    sort: Annotated[
        JobSortIn,
        Field(
            description="`attention`: failing, late and running jobs first. `next`: the next to"
            " fire first. `last`: the newest run first. Equal jobs come by name."
        ),
    ] = JobSort.NAME
    include: Annotated[
        tuple[str, ...],
        AnyOf(
            PARTS,
            "parts of a list",
            "`recent`: the last 20 runs of each job. `facets`: how many jobs each filter finds.",
            ("recent",),
        ),
    ] = ()
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=1000)] | None = None


class NextQuery(Query):
    """Which fires to list: the first *count* of those later than `from`, up to `to`."""

    count: Annotated[int, Field(ge=1, le=1000)] = 10
    start: InstantIn | None = Field(None, alias="from")
    end: InstantIn | None = Field(None, alias="to")


class WriteQuery(Query):
    """`dry_run` shows the effect of a change and stores nothing."""

    dry_run: bool = False


class SaveQuery(WriteQuery):
    """With `imported` the history of the job says that an import from its `origin` wrote it."""

    imported: bool = False


class CreateQuery(SaveQuery):
    """`paused` creates a job that does not fire before somebody resumes it."""

    paused: bool = False


class DeleteQuery(Query):
    """`purge` deletes the history too."""

    purge: bool = False
