"""A job as text: its schedule, its fields, its next run, the effect of a change."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from jobs_app.cli.client import Json
from jobs_app.cli.fire_table import print_fires
from jobs_app.cli.format import duration, exact, relative
from jobs_app.cli.outcome_text import compact
from jobs_app.cli.output import Columns, as_table, on_terminal, print_text, print_warnings
from jobs_app.cli.run_view import concurrency_text, instant_text, moment
from jobs_app.cli.schedule_json import fires_on_start, schedules_in
from jobs_app.cli.zones import show_in, zone_of_job
from jobs_app.core import clock
from jobs_app.core.states import JobState, Standing
from jobs_app.core.text import counted


def _schedule_text(schedule: Json) -> str:
    """Return a schedule in a few words."""
    if cron := schedule.get("cron"):
        zone = schedule.get("timezone")
        return f"{cron} {zone}" if zone and zone != "UTC" else str(cron)
    if seconds := schedule.get("interval_seconds"):
        return f"every {_round_duration(seconds)}"
    if every := schedule.get("every"):
        zone = schedule.get("timezone")
        return f"every {every} {zone}" if zone and zone != "UTC" else f"every {every}"
    if schedule.get("on"):
        return "when jobs-app starts"
    show_in(schedule.get("timezone"))
    return f"once, {exact(schedule.get('at'))}"


def schedules_text(job: Json) -> str:
    """Return the schedules of a job in a few words."""
    return "; ".join(map(_schedule_text, schedules_in(job))) or "manual"


def _round_duration(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def print_jobs(answer: Json) -> None:
    """Print a table of jobs. A pipe gets the last run's state and time as two columns."""
    columns: Columns = {
        "NAME": lambda job: job["name"],
        "STATE": _standing,
        "SCHEDULE": schedules_text,
        "NEXT RUN": lambda job: instant_text(job.get("next_run_at")),
    }
    if on_terminal():
        columns["LAST RUN"] = lambda job: f"{_last_state(job)} {_last_time(job)}".strip()
    else:
        columns |= {"LAST RUN": _last_state, "LAST RUN AT": _last_time}
    empty = "No jobs. Create one: jobs-app job create hello --command date --every 30s"
    as_table(columns, empty=empty, droppable={"SCHEDULE"})(answer)


def _standing(job: Json) -> str:
    only_watches = job.get("observe") and job["state"] == JobState.ACTIVE
    return str(Standing.OBSERVING if only_watches else job["state"])


def _last_state(job: Json) -> str:
    return str((job.get("last_run") or {}).get("state") or "-")


def _last_time(job: Json) -> str:
    last = job.get("last_run") or {}
    at = last.get("finished_at") or last.get("started_at") or last.get("created_at")
    return instant_text(at, absent="")


def job_fields(item: Json) -> dict[str, str | None]:
    """Return the fields of a job for a person, the most important first."""
    show_in(zone_of_job(item))
    schedules = schedules_in(item)
    retry = item.get("retry") or {}
    kwargs = item.get("kwargs") or {}
    is_plain_shell = item["task"] == "shell" and kwargs.keys() == {"command"}
    return {
        "Job": item["name"],
        "State": by_whom_and_why(item),
        "Warning": "\n".join(item.get("warnings") or ()),
        "Error": item.get("scheduling_error"),
        "Description": item.get("description"),
        "Tags": ", ".join(item.get("tags") or ()),
        "Imported from": item.get("origin"),
        "Schedule" if len(schedules) < 2 else "Schedules": _numbered(schedules) or "manual",
        "": item.get("description_of_schedule") if schedules else None,
        "Next run": moment(item.get("next_run_at")),
        "Task": item["task"],
        "Command" if is_plain_shell else "Arguments": (
            str(kwargs["command"]) if is_plain_shell else compact(kwargs)
        ),
        "Environment": environment_text(item.get("environment") or ()),
        "Set at start": ", ".join(item.get("run_arguments") or ()),
        "Confirm": "pages ask for its name before a start" if item.get("confirm") else None,
        "Overlap": item.get("overlap_policy"),
        "Catch-up": item.get("catchup_policy"),
        "Attempts": str(retry.get("max_attempts") or 1),
        "Time limit": declared_text(item, "time_limit_seconds", duration) or "none",
        "Soft time limit": declared_text(item, "soft_time_limit_seconds", duration),
        "Queue": declared_text(item, "queue", str),
        "Priority": declared_text(item, "priority", str),
        "Concurrency": concurrency_text(item),
        "Kept": retention_text(item.get("retention") or {}),
        "Notify": notify_text(item.get("notify")),
        "Updated": f"{exact(item['updated_at'])} (version {item['version']})",
    }


def environment_text(variables: Sequence[Json]) -> str:
    """Return the variables that files give to a command, a line for each file."""
    files = dict.fromkeys(variable["file"] for variable in variables)
    return "\n".join(
        f"{', '.join(v['name'] for v in variables if v['file'] == file)} from {file}"
        for file in files
    )


def _numbered(schedules: list[Json]) -> str:
    """Return schedules, one a line, with their numbers if there are several."""
    texts = [_schedule_text(schedule) for schedule in schedules]
    if len(texts) == 1:
        return texts[0]
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


def declared_text(item: Json, name: str, show: Callable[[Any], str | None]) -> str | None:
    """Return a field of a job as *show* writes it, and whether its task declares it so."""
    value = item.get(name)
    text = None if value is None else show(value)
    declared = (item.get("declared") or {}).get(name)
    return f"{text} (declared by the task)" if text and value == declared else text


def retention_text(retention: Json) -> str | None:
    """Return how long a job keeps its history; None if it has no setting of its own."""
    units = {
        "keep_runs": ("", "run"),
        "keep_days": ("", "day"),
        "keep_failed_days": ("failed ones ", "day"),
        "keep_log_days": ("logs ", "day"),
    }
    parts = [
        kind + counted(retention[name], unit)
        for name, (kind, unit) in units.items()
        if retention.get(name)
    ]
    return ", ".join(parts) or None


def notify_text(rules: list[Json] | None) -> str | None:
    """Return who is notified of a job; None if it has no rules of its own."""
    if rules is None:
        return None
    return ", ".join(map(_rule_text, rules)) or "nobody"


def _rule_text(rule: Json) -> str:
    text = str(rule["channel"])
    if rule.get("on"):
        text += f" ({', '.join(rule['on'])})"
    if (failures := rule.get("after_failures") or 1) > 1:
        text += f" after {counted(failures, 'failure')}"
    return text


def by_whom_and_why(item: Json) -> str:
    """Return a job's state, with who paused it and the reason they gave."""
    text = str(item["state"])
    if item["state"] == JobState.PAUSED:
        paused = item.get("paused") or {}
        text += f" by {paused['by']}" if paused.get("by") else ""
        text += f" until {moment(paused['until'])}" if paused.get("until") else ""
        text += f": {paused['reason']}" if paused.get("reason") else ""
    if item.get("observe"):
        text += f"; it only watches since {moment(item.get('observing_since'))}"
    return text


def outlook(item: Json) -> str:
    """Return what a job will do next, as a sentence."""
    show_in(zone_of_job(item))
    if item["state"] != JobState.ACTIVE:
        return f"{by_whom_and_why(item)}."
    next_run = item.get("next_run_at")
    if next_run is None and fires_on_start(item):
        does = "it runs at the next start"
        if item.get("observe"):
            does = "the next start is recorded, and nothing runs"
        return f"{item.get('description_of_schedule')}: {does}."
    if next_run is None:
        return f"no schedule; run it with: jobs-app job run {item['name']}"
    description = item.get("description_of_schedule") or schedules_text(item)
    now = clock.now()
    # Its fire may come due between the answer and this line.
    is_due = datetime.fromisoformat(next_run) <= now
    when = "due now" if is_due else relative(next_run, at=now)
    if item.get("observe"):
        since = exact(item.get("observing_since"))
        description = f"{description.rstrip('.')}. It only watches since {since}"
        return f"{description}. Next fire {when}, {exact(next_run)}: it is observed, not run."
    return f"{description.rstrip('.')}. Next run {when}, {exact(next_run)}."


def print_short_effect(verb: str, body: Json) -> None:
    """Print the result of a dry run in one line; the fires as tables only where they change.

    *verb* begins it, as in "Would activate".
    """
    job, effect = body["job"], body["effect"]
    before, after = effect["fires_before"], effect["fires_after"]
    if before and [fire["at"] for fire in before] != [fire["at"] for fire in after]:
        print_effect(body, heading=f"{verb} {job['name']}. ")
        return
    print_text(f"{verb} {job['name']}: {outlook(job)}")
    if effect["would_run_now"] or effect["catchup_runs"]:
        _print_starts(effect)
    else:
        print_recorded(effect)
    print_warnings(effect["warnings"])


def print_effect(body: Json, *, heading: str = "Nothing was changed. ") -> None:
    """Print the result of a dry run: the fires after and before, and what would start.

    *heading* begins the first sentence.
    """
    job, effect = body["job"], body["effect"]
    if job["state"] == JobState.PAUSED:
        print_text(f"{heading}{job['name']} is paused: with this, it would stay so.")
    elif not effect["fires_after"] and fires_on_start(job):
        print_text(f"{heading}With this, {job['name']} would fire when jobs-app starts.")
    elif not effect["fires_after"]:
        print_text(f"{heading}With this, {job['name']} would not fire by itself.")
    else:
        would = "would only watch these fires" if job.get("observe") else "would fire"
        print_text(f"{heading}With this, {job['name']} {would}:")
        print_fires(effect["fires_after"])
    if effect["fires_before"]:
        print_text("\nAs it is now, it fires:")
        print_fires(effect["fires_before"])
    _print_starts(effect)
    if text := environment_text(job.get("environment") or ()):
        print_text(f"\nIts command also gets:\n{text}")
    print_warnings(effect["warnings"])


def _print_starts(effect: Json) -> None:
    """Print which runs a change would start, record or cancel at once."""
    caught_up = effect["catchup_runs"]
    if effect["would_run_now"]:
        print_text("\nIt would start at once" + (f", {caught_up} caught up." if caught_up else "."))
    elif caught_up:
        print_text(f"\n{caught_up} would be caught up, after the run that has not ended.")
    elif effect["fires_after"]:
        print_text("\nIt would not start before its next fire.")
    print_recorded(effect)


def print_recorded(effect: Json) -> None:
    """Print how many fires a change would put on record, and how many runs it would cancel."""
    if recorded := effect.get("recorded_runs"):
        states = ", ".join(f"{count} {state}" for state, count in recorded.items())
        print_text(f"Fires that are due would be recorded first: {states}.")
    if cancelled := effect.get("cancelled_runs"):
        print_text(f"{counted(cancelled, 'unfinished run')} would be cancelled for them.")
