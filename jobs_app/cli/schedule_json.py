"""The schedules in the JSON of a job, for commands that only show them."""

from jobs_app.cli.client import Json


def schedules_in(job: Json) -> list[Json]:
    """Return the schedules of a job; none if it is started by hand only."""
    schedule, schedules = job.get("schedule"), job.get("schedules")
    return list(schedules) if schedules else [schedule] if schedule else []


def fires_on_start(job: Json) -> bool:
    """Tell whether one of the schedules of a job fires when jobs-app starts."""
    return any(schedule.get("on") for schedule in schedules_in(job))


def without_empty_fields(job: Json) -> Json:
    """Return *job* without the fields of its schedules that are null."""
    fields = dict(job)
    if schedule := job.get("schedule"):
        fields["schedule"] = without_nulls(schedule)
    if schedules := job.get("schedules"):
        fields["schedules"] = [without_nulls(schedule) for schedule in schedules]
    return fields


def without_nulls(schedule: Json) -> Json:
    """Return the fields of *schedule* that have a value."""
    return {name: value for name, value in schedule.items() if value is not None}
