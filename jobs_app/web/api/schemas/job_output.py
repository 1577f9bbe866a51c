"""Jobs as they are returned."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from jobs_app.core.states import Event, JobState, RunState, Standing
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs.document import Definition, as_json, schedules_as_json
from jobs_app.jobs.dry_run import DryRun
from jobs_app.jobs.listing import Facets
from jobs_app.notifications.rules import Rule
from jobs_app.runs.recent import RecentRun
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules import description
from jobs_app.schedules.schedule import Fire
from jobs_app.schedules.union import AnySchedule
from jobs_app.web.api.schemas.derive import output_fields
from jobs_app.web.api.schemas.dump import dumped, shown_job_kwargs
from jobs_app.web.api.schemas.fields import Instant


class ScheduleOut(BaseModel):
    """A schedule, with the fields of its kind only."""

    model_config = ConfigDict(
        json_schema_extra={"required": ["timezone", "start_at", "end_at", "jitter_seconds"]}
    )

    cron: str | None = None
    interval_seconds: int | None = None
    every: str | None = None
    anchor_at: Instant | None = None
    at: Instant | None = None
    on: Literal["start"] | None = None
    timezone: str = "UTC"
    start_at: Instant | None = None
    end_at: Instant | None = None
    jitter_seconds: int = 0


FirstSchedule = Annotated[
    ScheduleOut | None,
    Field(description="The first of `schedules`; null for a job that runs by hand only."),
]


@output_fields(RetryPolicy, backoff=str, on=list[str])
class RetryOut(BaseModel):
    """A retry policy."""


@output_fields(Retention)
class RetentionOut(BaseModel):
    """How long the history is kept; null is as the installation has it."""


class LastRun(BaseModel):
    """The newest run of a job, in short."""

    id: UUID
    state: RunState
    scheduled_for: Instant | None
    started_at: Instant | None
    finished_at: Instant | None


def show_last_run(run: Run | None) -> LastRun | None:
    """Return *run* in short, None if there is none."""
    return None if run is None else LastRun.model_validate(run, from_attributes=True)


class Paused(BaseModel):
    """Since when a job is paused, by whom, why, and when it is resumed by itself."""

    at: Instant | None
    by: str | None
    reason: str | None
    until: Instant | None


class NotifyRuleOut(BaseModel):
    """The events of a job that one channel gets; `on` null means the channel's own events."""

    channel: str
    on: list[Event] | None
    after_failures: int
    late_after_seconds: int | None


@output_fields(
    Definition,
    {
        RetryPolicy: RetryOut,
        Retention: RetentionOut,
        Rule: NotifyRuleOut,
    },
    schedule=FirstSchedule,
)
class _DefinitionOut(BaseModel):
    id: int | None


class FileVariable(BaseModel):
    """A variable that a file of JOBS_ENV_FILES gives to the command; its value is not shown."""

    name: str
    file: str


class JobOut(_DefinitionOut):
    """A job: its definition and its present state.

    `warnings` tells what keeps it from running as it says: no worker serves its queue, say.
    `declared` are the fields that the code of its task declares now. They are the defaults
    of a job when it is saved. `environment` are the variables that files give to its command,
    besides its own. `observing_since` is null unless it has `observe`.
    """

    schedules: list[ScheduleOut]
    version: int
    state: JobState
    paused: Paused | None
    observing_since: Instant | None
    next_run_at: Instant | None
    last_run: LastRun | None
    scheduling_error: str | None
    warnings: list[str]
    declared: dict[str, Any]
    environment: list[FileVariable]
    description_of_schedule: str
    created_at: Instant
    updated_at: Instant


def show(
    job: Job,
    definition: Definition,
    last_run: Run | None,
    warnings: list[str],
    declared: dict[str, Any],
    environment: list[FileVariable],
) -> dict[str, Any]:
    """Return *job* as it goes over the wire."""
    kwargs = shown_job_kwargs(definition.kwargs)
    paused = None
    if job.state is JobState.PAUSED:
        paused = Paused(
            at=job.paused_at, by=job.paused_by, reason=job.paused_reason, until=job.paused_until
        )
    out = JobOut(
        **(as_json(definition) | {"schedule": None, "schedules": [], "kwargs": kwargs}),
        id=job.id,
        version=job.version,
        state=job.state,
        paused=paused,
        observing_since=job.observing_since,
        next_run_at=job.next_fire_at,
        last_run=show_last_run(last_run),
        scheduling_error=job.scheduling_error,
        warnings=warnings,
        declared=declared,
        environment=environment,
        description_of_schedule=described(definition.schedule),
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
    # Written by themselves: a field of another kind is absent, not null.
    schedules = [show_schedule(one) for one in schedules_as_json(definition.schedule)["schedules"]]
    return dumped(out) | {"schedule": next(iter(schedules), None), "schedules": schedules}


def shown_schedules(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `schedule` and `schedules` in *document* as they go over the wire."""
    shown: dict[str, Any] = {}
    if "schedule" in document:
        schedule = document["schedule"]
        shown["schedule"] = None if schedule is None else show_schedule(schedule)
    if "schedules" in document:
        shown["schedules"] = [show_schedule(schedule) for schedule in document["schedules"]]
    return shown


def show_schedule(schedule: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of *schedule* as they go over the wire, and no others."""
    return ScheduleOut(**schedule).model_dump(mode="json", include=set(schedule))


def _last_run(run: Run) -> LastRun:
    return LastRun(
        id=run.id,
        state=run.state,
        scheduled_for=run.scheduled_for,
        started_at=run.first_started_at,
        finished_at=run.finished_at,
    )


def described(schedule: AnySchedule | None) -> str:
    """Return a sentence that says when a job runs."""
    return "Only by hand" if schedule is None else description.describe(schedule)


class FireOut(BaseModel):
    """One instant at which a schedule says the job should run."""

    at: Instant
    local: str
    dst: Literal["gap", "repeat"] | None


def show_fire(fire: Fire) -> dict[str, Any]:
    """Return *fire* as it goes over the wire."""
    out = FireOut(at=fire.at, local=fire.local.isoformat(), dst=fire.dst)
    return out.model_dump(mode="json")


class FirePage(BaseModel):
    """Fires, in order."""

    items: list[FireOut]


class RecentRunOut(BaseModel):
    """A run in short; `instant` is that of its fire, or of its manual start."""

    id: UUID
    state: RunState
    instant: Instant


class ListedJob(JobOut):
    """A job in a list; `recent` has its last 20 runs, oldest first, if they were asked for."""

    recent: list[RecentRunOut] | None = None


class FacetsOut(BaseModel):
    """How many jobs each filter finds alone; `total` counts all."""

    total: int
    states: dict[Standing, int]
    tags: dict[str, int]
    queues: dict[str, int]


class JobPage(BaseModel):
    """Part of the list of jobs; `next_cursor` is null at its end.

    `facets` is there if it was asked for.
    """

    items: list[ListedJob]
    next_cursor: str | None
    facets: FacetsOut | None = None


def show_recent(runs: list[RecentRun]) -> list[dict[str, Any]]:
    """Return the last runs of a job as they go over the wire."""
    shown = (RecentRunOut.model_validate(run, from_attributes=True) for run in runs)
    return [run.model_dump(mode="json") for run in shown]


def show_facets(facets: Facets) -> dict[str, Any]:
    """Return the counts of the filters as they go over the wire."""
    return FacetsOut.model_validate(facets, from_attributes=True).model_dump(mode="json")


class Effect(BaseModel):
    """What a change would do.

    `recorded_runs` counts the fires that it would put on record, by state: fires that are due
    before an edit of the schedule, missed fires at a resume that asks for them. With a
    `queued` one, `would_run_now` is true. `catchup_runs` are the late ones that would run, and
    `cancelled_runs` the runs that would give way by the overlap policy.
    """

    fires_before: list[FireOut]
    fires_after: list[FireOut]
    would_run_now: bool
    recorded_runs: dict[str, int]
    catchup_runs: int
    cancelled_runs: int
    warnings: list[str]


def show_effect(effect: DryRun) -> dict[str, Any]:
    """Return *effect* as it goes over the wire."""
    return {
        "fires_before": [show_fire(fire) for fire in effect.fires_before],
        "fires_after": [show_fire(fire) for fire in effect.fires_after],
        "would_run_now": effect.would_run_now,
        "recorded_runs": effect.recorded_runs,
        "catchup_runs": effect.catchup_runs,
        "cancelled_runs": effect.cancelled_runs,
        "warnings": [*effect.schedule_warnings, *effect.job_warnings],
    }


class DryRunOut(BaseModel):
    """What `?dry_run=true` answers: the job as it would be, and what would change."""

    job: JobOut
    effect: Effect


class PreviewOut(BaseModel):
    """What a schedule means, in words and in instants."""

    description: str
    fires: list[FireOut]
    warnings: list[str]
