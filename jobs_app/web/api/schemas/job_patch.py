"""Changes of jobs as they are sent, and what they make of a job (JSON Merge Patch)."""

from typing import Annotated, Any, ClassVar, get_args

from pydantic import ConfigDict, Field

from jobs_app.core.errors import FieldError, InvalidInput
from jobs_app.core.field_spec import described_fields
from jobs_app.jobs.document import (
    KINDS,
    Definition,
    as_json,
    fields_of_others,
    in_one_field,
    schedules_as_json,
)
from jobs_app.notifications.rules import Rule
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules import cron_timezone
from jobs_app.web.api.schemas.base import Input
from jobs_app.web.api.schemas.derive import input_fields
from jobs_app.web.api.schemas.job_input import (
    READ_ONLY,
    NotifyRuleIn,
    RetentionIn,
    RetriedStates,
    ScheduleIn,
    Schedules,
)


class SchedulePatch(ScheduleIn):
    """Changes of a schedule; giving another kind replaces the kind."""

    timezone: Annotated[str, Field(max_length=64)] | None = None
    # The patch may leave out what the whole has.
    jitter_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = None  # type: ignore[assignment]


@input_fields(RetryPolicy, on=RetriedStates, are_optional=True)
class RetryPatch(Input):
    """Changes of a retry policy; null means the default."""


@input_fields(
    Definition,
    {
        RetryPolicy: RetryPatch,
        Retention: RetentionIn,
        Rule: NotifyRuleIn,
    },
    are_optional=True,
    schedule=SchedulePatch,
)
class JobPatch(Input):
    """Changes of a job (JSON Merge Patch, RFC 7396).

    What is left out stays. null is kept where a job may have null, and means the
    default elsewhere. `kwargs` are merged name by name.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"schedule": {"cron": "0 6 * * *"}}]})
    read_only: ClassVar = READ_ONLY

    schedules: Schedules | None = None


#: The fields where null is a value of its own: no limit, no end, by hand only, default channels.
NULLABLE = frozenset(
    field.name for field in described_fields(Definition) if type(None) in get_args(field.annotation)
)


def merged(definition: Definition, patch: dict[str, Any]) -> dict[str, Any]:
    """Return the document of *definition* with *patch* merged into it (RFC 7396).

    Raises InvalidInput for changes of `schedule` where the job has several.
    """
    document = in_one_field(as_json(definition) | schedules_as_json(definition.schedule))
    if patch.get("schedule") is not None and "schedules" not in patch:
        _refuse_several(document)
    if {"schedule", "schedules"} & patch.keys():
        # What the patch does not name is no longer said in the other field.
        document.setdefault("schedule", None)
        for name in {"schedule", "schedules"} - patch.keys():
            document.pop(name, None)
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


def _refuse_several(document: dict[str, Any]) -> None:
    if "schedules" in document:
        number = len(document["schedules"])
        detail = f"The job has {number} schedules: send schedules, the list of all of them."
        raise InvalidInput(detail, errors=[FieldError("/schedule", "several_schedules", detail)])


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
    new_kinds = [kind for kind in KINDS if patch.get(kind) is not None]
    for name in fields_of_others(new_kinds) if new_kinds else ():
        target.pop(name, None)
    if "timezone" not in patch and cron_timezone.divide(patch.get("cron") or "")[0]:
        # The new expression names its own zone.
        target.pop("timezone", None)
    merged_schedule: dict[str, Any] = _merge(target, patch)
    return merged_schedule
