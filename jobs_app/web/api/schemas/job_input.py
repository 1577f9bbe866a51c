"""Jobs as they are sent."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from jobs_app.core.errors import FieldError, InvalidInput
from jobs_app.core.settings import Settings
from jobs_app.core.states import CatchupPolicy, Event, OverlapPolicy, RunState
from jobs_app.jobs.definition import Definition
from jobs_app.notifications.rules import Rule, rules_as_json
from jobs_app.runs.retention import MAX_DAYS, MAX_RUNS, Retention
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules.schedule import Schedule
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.api.schemas.fields import (
    INT32,
    YEAR_SECONDS,
    CatchupPolicyIn,
    ConcurrencyLimit,
    InstantIn,
    JobStateIn,
    LimitSeconds,
    Note,
    OverlapPolicyIn,
    Priority,
    RunStateIn,
    Search,
    Seconds,
)

#: A schedule is of exactly one kind; with each kind go the fields that only it has.
KINDS: dict[str, tuple[str, ...]] = {
    "cron": ("cron",),
    "interval_seconds": ("interval_seconds", "anchor_at"),
    "at": ("at",),
}

# The rule itself is the service's, whose sentences say more than a pattern can.
NAME_SCHEMA: dict[str, Any] = {
    "pattern": "^[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?$",
    "maxLength": 100,
}
_TAG_SCHEMA: dict[str, Any] = {
    "pattern": "^[a-z0-9]([a-z0-9._-]{0,48}[a-z0-9])?$",
    "maxLength": 50,
}
_QUEUE_SCHEMA: dict[str, Any] = {
    "pattern": "^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$",
    "maxLength": 100,
}

Name = Annotated[
    str, Field(max_length=2000, json_schema_extra=NAME_SCHEMA, examples=["nightly-report"])
]
Tag = Annotated[str, Field(max_length=2000, json_schema_extra=_TAG_SCHEMA)]
QueueName = Annotated[str, Field(max_length=2000, json_schema_extra=_QUEUE_SCHEMA)]
ConcurrencyKey = Annotated[
    str, Field(max_length=2000, json_schema_extra=_QUEUE_SCHEMA, examples=["db-main"])
]
TaskName = Annotated[str, Field(min_length=1, max_length=255, examples=["shell"])]
Kwargs = Annotated[dict[str, Any], Field(examples=[{"command": "python report.py"}])]
Delay = Annotated[float, Field(ge=0, le=YEAR_SECONDS, allow_inf_nan=False)]

KeptDays = Annotated[int, Field(ge=1, le=MAX_DAYS)]
RetriedStates = Annotated[list[Literal["failed", "timed_out", "lost"]], Field(max_length=3)]

NotifyEvents = Annotated[
    list[Literal["failed", "recovered", "late", "missed", "lost", "succeeded", "paused"]],
    Field(min_length=1, max_length=7),
]

READ_ONLY = {
    "id": "",
    "version": "Send If-Match to say which version you change.",
    "state": "Use POST …/pause and POST …/resume.",
    "paused": "Use POST …/pause and POST …/resume.",
    "next_run_at": "It follows from the schedule.",
    "last_run": "",
    "created_at": "",
    "updated_at": "",
    "description_of_schedule": "It follows from the schedule.",
    "scheduling_error": "",
    "warnings": "",
}


class ScheduleIn(Input):
    """When a job runs: exactly one of `cron`, `interval_seconds` and `at`."""

    cron: Annotated[str, Field(examples=["30 2 * * 1-5"])] | None = None
    interval_seconds: Annotated[int, Field(examples=[30])] | None = None
    anchor_at: InstantIn | None = None
    at: InstantIn | None = None
    timezone: Annotated[str, Field(max_length=64, examples=["Europe/Paris"])] | None = None
    start_at: InstantIn | None = None
    end_at: InstantIn | None = None
    jitter_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0

    def schedule(self, settings: Settings, *, seed: str = "") -> Schedule:
        """Return it for the services; what it leaves out is as *settings* have it.

        Raises InvalidInput, with pointers into the schedule, unless it is of
        exactly one kind.
        """
        self._refuse_unless_one_kind()
        given = {name: getattr(self, name) for name in ScheduleIn.model_fields}
        given |= {"timezone": self.timezone or settings.timezone, "seed": seed}
        jitter = settings.default_jitter_seconds
        # One instant has nothing to be spread over, a short interval not enough.
        is_spread = self.cron is not None or (self.interval_seconds or 0) > jitter
        if "jitter_seconds" not in self.model_fields_set and is_spread:
            given["jitter_seconds"] = jitter
        return Schedule(**given)

    def _refuse_unless_one_kind(self) -> None:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            found = f"This has {' and '.join(kinds)}." if kinds else "This has none."
            detail = f"A schedule has exactly one of cron, interval_seconds and at. {found}"
            raise InvalidInput(detail, errors=[FieldError("", "one_schedule", detail)])
        if self.anchor_at is not None and self.interval_seconds is None:
            detail = "anchor_at belongs to interval_seconds; give start_at for a first instant."
            raise InvalidInput(detail, errors=[FieldError("/anchor_at", "not_an_interval", detail)])


class RetryIn(Input):
    """How often, after which outcomes and how long after each an attempt is repeated."""

    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 1
    delay_seconds: Delay = 30
    backoff: Literal["constant", "exponential"] = "exponential"
    max_delay_seconds: Delay = 600
    jitter: bool = True
    on: RetriedStates = ["failed", "timed_out", "lost"]

    def policy(self) -> RetryPolicy:
        """Return it for the services."""
        given = {name: getattr(self, name) for name in RetryIn.model_fields}
        return RetryPolicy(**(given | {"on": tuple(RunState(state) for state in self.on)}))


class RetentionIn(Input):
    """How long the history is kept; what is left out, or null, is as the installation has it.

    A run goes when it is older than `keep_days` (failed, timed out and lost ones:
    `keep_failed_days`), or when the job has more than `keep_runs` newer ones.
    """

    keep_runs: Annotated[int, Field(ge=1, le=MAX_RUNS)] | None = None
    keep_days: KeptDays | None = None
    keep_failed_days: KeptDays | None = None
    keep_log_days: KeptDays | None = None

    def retention(self) -> Retention:
        """Return it for the services."""
        return Retention(**{name: getattr(self, name) for name in RetentionIn.model_fields})


class NotifyRuleIn(Input):
    """What one channel is told of a job; `on` left out: what the channel itself says."""

    channel: Annotated[str, Field(min_length=1, max_length=100, examples=["ops"])]
    on: NotifyEvents | None = None
    after_failures: Annotated[int, Field(ge=1, le=INT32)] = 1
    late_after_seconds: Annotated[int, Field(ge=1, le=YEAR_SECONDS)] = 300

    def rule(self) -> Rule:
        """Return it for the services."""
        on = None if self.on is None else tuple(dict.fromkeys(Event(name) for name in self.on))
        return Rule(self.channel, on, self.after_failures, self.late_after_seconds)


NotifyRules = Annotated[list[NotifyRuleIn], Field(max_length=20)]


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
    description: Annotated[str, Field(max_length=20_000)] = ""
    tags: Annotated[list[Tag], Field(max_length=50)] = []
    task: TaskName
    kwargs: Kwargs = {}
    schedule: ScheduleIn | None = None
    overlap_policy: OverlapPolicyIn = OverlapPolicy.SKIP
    starting_deadline_seconds: Seconds = 60
    catchup_policy: CatchupPolicyIn = CatchupPolicy.LAST
    catchup_window_seconds: Seconds = 86_400
    catchup_max_runs: Annotated[int, Field(ge=1, le=10_000)] = 50
    retry: RetryIn = RetryIn()
    soft_time_limit_seconds: LimitSeconds | None = None
    time_limit_seconds: LimitSeconds | None = 3600
    kill_grace_seconds: Annotated[int, Field(ge=0, le=3600)] = 10
    queue: QueueName = "default"
    priority: Priority = 5
    concurrency_key: ConcurrencyKey | None = None
    concurrency_limit: ConcurrencyLimit | None = None
    max_runs: Annotated[int, Field(ge=1, le=INT32)] | None = None
    pause_after_failures: Annotated[int, Field(ge=1, le=INT32)] | None = None
    retention: RetentionIn = RetentionIn()
    notify: NotifyRules | None = None

    def definition(self, settings: Settings, *, name: str) -> Definition:
        """Return it for the services, called *name* if it names none. Raises InvalidInput.

        Policies that it leaves out are as *settings* have them.
        """
        name = name if self.name is None else self.name
        try:
            schedule = None
            if self.schedule is not None:
                schedule = self.schedule.schedule(settings, seed=name)
        except InvalidInput as error:
            raise error.under("/schedule") from error
        plain = {
            field: getattr(self, field)
            for field in JobReplace.model_fields
            if field not in {"name", "tags", "schedule", "retry", "retention", "notify"}
        }
        left_out = settings.job_defaults.keys() - self.model_fields_set
        plain |= {field: settings.job_defaults[field] for field in left_out}
        return Definition(
            **plain,
            name=name,
            tags=tuple(dict.fromkeys(self.tags)),
            schedule=schedule,
            retry=self.retry.policy(),
            retention=self.retention.retention(),
            notify=None if self.notify is None else tuple(each.rule() for each in self.notify),
        )


class JobIn(JobReplace):
    """A new job: all that a person says of it; what is left out takes its default."""

    name: Name


def document_of(definition: Definition) -> dict[str, Any]:
    """Return *definition* as the document that would be sent to make it."""
    retry = definition.retry
    plain = {
        name: getattr(definition, name)
        for name in Definition.__slots__
        if name not in {"schedule", "retry", "retention", "tags", "notify"}
    }
    return plain | {
        "notify": rules_as_json(definition.notify),
        "tags": list(definition.tags),
        "schedule": schedule_document(definition.schedule),
        "retry": {name: getattr(retry, name) for name in RetryPolicy.__slots__}
        | {"on": [str(state) for state in retry.on]},
        "retention": definition.retention.as_json(),
    }


def schedule_document(schedule: Schedule | None) -> dict[str, Any] | None:
    """Return *schedule* as it is sent: the fields of its kind, and those of every kind."""
    if schedule is None:
        return None
    kind = next(kind for kind in KINDS if getattr(schedule, kind) is not None)
    names = (*KINDS[kind], "timezone", "start_at", "end_at", "jitter_seconds")
    return {name: getattr(schedule, name) for name in names}


class PreviewIn(Input):
    """A schedule to look at, which needs no job; `name` is what `H` is worked out from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"schedule": {"cron": "*/5 9-17 * * MON-FRI", "timezone": "Europe/Paris"}}]
        }
    )

    schedule: ScheduleIn
    start: InstantIn | None = Field(None, alias="from")
    count: Annotated[int, Field(ge=1, le=1000)] = 10
    name: Name | None = None


class PauseIn(Input):
    """Why a job is paused."""

    reason: Note | None = None


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

    state: JobStateIn | None = None
    tag: Search | None = None
    queue: Search | None = None
    last_state: RunStateIn | None = None
    q: Search | None = None
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


class DeleteQuery(Query):
    """`purge` deletes the history too."""

    purge: bool = False
