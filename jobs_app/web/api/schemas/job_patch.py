"""Changes of jobs as they are sent, and what they make of a job (JSON Merge Patch)."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from jobs_app.jobs.definition import Definition
from jobs_app.web.api.schemas.base import Input
from jobs_app.web.api.schemas.fields import (
    INT32,
    CatchupPolicyIn,
    ConcurrencyLimit,
    LimitSeconds,
    OverlapPolicyIn,
    Priority,
    Seconds,
)
from jobs_app.web.api.schemas.job_input import (
    KINDS,
    READ_ONLY,
    ConcurrencyKey,
    Delay,
    Kwargs,
    Name,
    NotifyRules,
    QueueName,
    RetentionIn,
    RetriedStates,
    ScheduleIn,
    Tag,
    TaskName,
    document_of,
)


class SchedulePatch(ScheduleIn):
    """Changes of a schedule; giving another kind replaces the kind."""

    timezone: Annotated[str, Field(max_length=64)] | None = None
    jitter_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None  # type: ignore[assignment]


class RetryPatch(Input):
    """Changes of a retry policy; null means the default."""

    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    delay_seconds: Delay | None = None
    backoff: Literal["constant", "exponential"] | None = None
    max_delay_seconds: Delay | None = None
    jitter: bool | None = None
    on: RetriedStates | None = None


class JobPatch(Input):
    """Changes of a job (JSON Merge Patch, RFC 7396).

    What is left out stays. null is kept where a job may have null, and means the
    default elsewhere. `kwargs` are merged name by name.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"schedule": {"cron": "0 6 * * *"}}]})
    read_only: ClassVar = READ_ONLY

    name: Name | None = None
    description: Annotated[str, Field(max_length=20_000)] | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] | None = None
    task: TaskName | None = None
    kwargs: Kwargs | None = None
    schedule: SchedulePatch | None = None
    overlap_policy: OverlapPolicyIn | None = None
    starting_deadline_seconds: Seconds | None = None
    catchup_policy: CatchupPolicyIn | None = None
    catchup_window_seconds: Seconds | None = None
    catchup_max_runs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    retry: RetryPatch | None = None
    soft_time_limit_seconds: LimitSeconds | None = None
    time_limit_seconds: LimitSeconds | None = None
    kill_grace_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    queue: QueueName | None = None
    priority: Priority | None = None
    concurrency_key: ConcurrencyKey | None = None
    concurrency_limit: ConcurrencyLimit | None = None
    max_runs: Annotated[int, Field(ge=1, le=INT32)] | None = None
    pause_after_failures: Annotated[int, Field(ge=1, le=INT32)] | None = None
    retention: RetentionIn | None = None
    notify: NotifyRules | None = None


#: Where null is a value of its own: no limit, no end, by hand only, the default channels.
NULLABLE = frozenset(
    {
        "schedule",
        "soft_time_limit_seconds",
        "time_limit_seconds",
        "concurrency_key",
        "concurrency_limit",
        "max_runs",
        "pause_after_failures",
        "notify",
    }
)


def merged(definition: Definition, patch: dict[str, Any]) -> dict[str, Any]:
    """Return the document of *definition* with *patch* merged into it (RFC 7396)."""
    document = document_of(definition)
    if patch.get("concurrency_key", "") is None:
        # Without its key a limit means nothing.
        document["concurrency_limit"] = None
    for name, value in patch.items():
        if value is None:
            if name in NULLABLE:
                document[name] = None
            else:
                # The task has no default: without it the document says that it is missing.
                document.pop(name, None)
        elif name == "schedule":
            document[name] = _merged_schedule(document.get(name), value)
        else:
            document[name] = _merge(document.get(name), value)
    return document


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merge(result.get(name), value)
    return result


def _merged_schedule(present: dict[str, Any] | None, patch: dict[str, Any]) -> dict[str, Any]:
    """Merge a schedule; one of another kind drops what belonged to the old kind."""
    target = dict(present or {})
    given = [kind for kind in KINDS if patch.get(kind) is not None]
    for kind, fields in KINDS.items():
        if given and kind not in given:
            for name in fields:
                target.pop(name, None)
    merged_schedule: dict[str, Any] = _merge(target, patch)
    return merged_schedule
