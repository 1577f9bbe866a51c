"""The options that describe a job, and the JSON document that they make."""

import json
import sys
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from click.core import ParameterSource

from jobs_app.cli.client import Json
from jobs_app.cli.completion import channel_names, key_names, queue_names, task_names
from jobs_app.cli.format import Duration, Instant, api_instant
from jobs_app.core.states import CatchupPolicy, OverlapPolicy
from jobs_app.runs.retry import RETRIED

# What the server adds to a job; a document that holds them can be sent back all the same.
READ_ONLY = {
    "id",
    "version",
    "state",
    "next_run_at",
    "last_run",
    "created_at",
    "updated_at",
    "description_of_schedule",
    "paused",
    "scheduling_error",
    "warnings",
}

Completion = Callable[[click.Context, click.Parameter, str], list[str]]

NOTIFY = {"notify", "no_notify", "notify_after_failures", "notify_late_after"}
KINDS = {"cron": "cron", "every": "interval_seconds", "at": "at"}


class OrNone(click.ParamType[Any]):
    """Another type, or the word none, which means null."""

    def __init__(self, type_: click.ParamType[Any]) -> None:
        self.type = type_
        self.name = f"{type_.name}|none"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if str(value).strip().lower() == "none":
            return None
        return self.type.convert(value, param, ctx)


class Outcomes(click.ParamType[list[str]]):
    """Outcomes of an attempt that may be tried again, with commas between them."""

    name = "OUTCOME,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        if isinstance(value, list):
            return value
        one = click.Choice([state.value for state in RETRIED])
        names = [name.strip() for name in str(value).split(",")]
        return [one.convert(name, param, ctx) for name in names if name]


@dataclass(frozen=True, slots=True)
class Field:
    """An option that sets one field of a job, `path` deep in its document."""

    flag: str
    path: tuple[str, ...]
    type: click.ParamType[Any]
    help: str
    complete: Completion | None = None

    @property
    def parameter(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")


FIELDS = (
    Field("--description", ("description",), click.STRING, "What it is for, Markdown."),
    Field("--task", ("task",), click.STRING, "Task to run: see `jobs-app task list`.", task_names),
    Field("--queue", ("queue",), click.STRING, "Queue that its runs go to.", queue_names),
    Field("--priority", ("priority",), click.INT, "In its queue: 0 is served first, 9 last."),
    Field(
        "--concurrency-key",
        ("concurrency_key",),
        OrNone(click.STRING),
        "Share a limit with all jobs that name the same key, as db-main.",
        key_names,
    ),
    Field(
        "--concurrency-limit",
        ("concurrency_limit",),
        click.INT,
        "Most runs with the key at once; 1 unless given.",
    ),
    Field(
        "--overlap",
        ("overlap_policy",),
        click.Choice([policy.value for policy in OverlapPolicy]),
        "What to do while another run of it is unfinished.",
    ),
    Field(
        "--starting-deadline",
        ("starting_deadline_seconds",),
        Duration(),
        "A fire at most this late runs as if on time.",
    ),
    Field(
        "--catchup",
        ("catchup_policy",),
        click.Choice([policy.value for policy in CatchupPolicy]),
        "Which of the fires later than that run.",
    ),
    Field("--catchup-window", ("catchup_window_seconds",), Duration(), "How far back to catch up."),
    Field("--catchup-max-runs", ("catchup_max_runs",), click.INT, "Most runs to catch up with."),
    Field("--max-attempts", ("retry", "max_attempts"), click.INT, "Tries at a run, 1 for one."),
    Field("--retry-delay", ("retry", "delay_seconds"), Duration(), "Wait before the second try."),
    Field(
        "--retry-backoff",
        ("retry", "backoff"),
        click.Choice(["constant", "exponential"]),
        "How the wait grows.",
    ),
    Field("--retry-max-delay", ("retry", "max_delay_seconds"), Duration(), "Longest such wait."),
    Field("--retry-on", ("retry", "on"), Outcomes(), "After which: failed,timed_out,lost."),
    Field("--time-limit", ("time_limit_seconds",), OrNone(Duration()), "End a run after this."),
    Field(
        "--soft-time-limit",
        ("soft_time_limit_seconds",),
        OrNone(Duration()),
        "Ask a run to end after this.",
    ),
    Field("--kill-grace", ("kill_grace_seconds",), Duration(), "Time between TERM and KILL."),
    Field("--max-runs", ("max_runs",), OrNone(click.INT), "End the schedule after so many runs."),
    Field(
        "--pause-after-failures",
        ("pause_after_failures",),
        OrNone(click.INT),
        "Pause the job after so many failures in a row.",
    ),
    Field(
        "--keep-runs",
        ("retention", "keep_runs"),
        OrNone(click.INT),
        "Keep so many runs, and as many failed ones; none is as the server has it.",
    ),
    Field(
        "--keep-days",
        ("retention", "keep_days"),
        OrNone(click.INT),
        "Keep runs so many days.",
    ),
    Field(
        "--keep-failed-days",
        ("retention", "keep_failed_days"),
        OrNone(click.INT),
        "Keep failed runs so many days.",
    ),
    Field(
        "--keep-log-days",
        ("retention", "keep_log_days"),
        OrNone(click.INT),
        "Keep the logs of runs so many days.",
    ),
)


def schedule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say when."""
    for option in (
        click.option("--jitter", type=Duration(), help="Spread the starts over this long."),
        click.option("--end-at", type=OrNone(Instant()), help="No fire at or after this instant."),
        click.option("--start-at", type=OrNone(Instant()), help="No fire before this instant."),
        click.option("--timezone", help="IANA zone of the cron expression, and of --at."),
        click.option("--at", type=Instant(), help="Once, at this instant."),
        click.option("--every", type=Duration(), help="At this interval: 30s, 5m, 1h30m."),
        click.option("--cron", help="Five-field cron expression, or @daily and the like."),
    ):
        command = option(command)
    return command


def definition_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add every option that describes a job."""
    for field in reversed(FIELDS):
        command = click.option(
            field.flag, type=field.type, help=field.help, shell_complete=field.complete
        )(command)
    command = click.option("--tag", "tags", multiple=True, help="Tag; repeatable, '' clears.")(
        command
    )
    command = notify_options(command)
    command = kwargs_options(command)
    command = click.option("--command", "shell_command", help="Short for a shell task.")(command)
    command = click.option("--manual", is_flag=True, help="No schedule: run by hand only.")(command)
    return schedule_options(command)


def notify_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say who is told of a job."""
    for option in (
        click.option(
            "--notify-late-after", type=Duration(), help="With --notify …:late: after this long."
        ),
        click.option(
            "--notify-after-failures",
            type=click.IntRange(min=1),
            help="With --notify: from so many failures in a row on.",
        ),
        click.option("--no-notify", is_flag=True, help="Tell nobody of it."),
        click.option(
            "--notify",
            multiple=True,
            metavar="CHANNEL[:EVENT,…]",
            shell_complete=channel_names,
            help="Tell this channel; repeatable, '' for the default channels.",
        ),
    ):
        command = option(command)
    return command


def kwargs_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that give a task its arguments."""
    command = click.option(
        "--arg",
        "arguments",
        multiple=True,
        metavar="NAME=VALUE",
        help="One argument; VALUE is read as JSON if it is JSON, else as text. Repeatable.",
    )(command)
    return click.option("--kwargs", metavar="JSON", help="All arguments, as a JSON object.")(
        command
    )


def given_options() -> dict[str, Any]:
    """Return the parameters of the command that were typed, defaults left out."""
    ctx = click.get_current_context()
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def read_document(source: str) -> Json:
    """Return the JSON object in the file *source* ("-": standard input), ready to be sent."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"Cannot read {source}: {error}.") from error
    return parse_document(text, where=source)


def parse_document(text: str, *, where: str) -> Json:
    """Return the JSON object in *text* without what only the server may set."""
    return writable(_json_object(text, where=where))


def writable(job: Json) -> Json:
    """Return a job as it may be sent."""
    return {name: value for name, value in job.items() if name not in READ_ONLY}


def merge_patch(before: Json, after: Json) -> Json:
    """Return the JSON Merge Patch (RFC 7396) that turns *before* into *after*; {} if they agree.

    Such a patch cannot say null where *before* has something: it means absent.
    """
    patch: Json = {}
    for name, value in after.items():
        old = before.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := merge_patch(old, value):
                patch[name] = inner
        elif name not in before or old != value:
            patch[name] = value
    gone = {name for name, value in before.items() if value is not None} - after.keys()
    return patch | dict.fromkeys(sorted(gone))


def with_options(definition: Json, options: dict[str, Any]) -> Json:
    """Return a copy of *definition* with what was typed on top."""
    changed = deepcopy(definition)
    for field in FIELDS:
        if field.parameter in options:
            _set(changed, field.path, options[field.parameter])
    if "tags" in options:
        changed["tags"] = [tag for tag in options["tags"] if tag]
    if (command := options.get("shell_command")) is not None:
        if changed.get("task", "shell") != "shell" and "task" in options:
            raise click.UsageError("--command is for the task shell.")
        previous = changed.get("kwargs", {}) if changed.get("task") == "shell" else {}
        changed["task"] = "shell"
        changed["kwargs"] = {**previous, "command": command}
    if "kwargs" in options or "arguments" in options:
        changed["kwargs"] = kwargs_from(options, base=changed.get("kwargs"))
    if options.keys() & NOTIFY:
        changed["notify"] = notify_from(options, base=changed.get("notify"))
    if options.keys() & {*KINDS, "manual", "timezone", "start_at", "end_at", "jitter"}:
        changed["schedule"] = schedule_from(options, base=changed.get("schedule"))
    return changed


def notify_from(options: dict[str, Any], *, base: list[Json] | None = None) -> list[Json] | None:
    """Return the rules that the options give, on top of *base*; None: the default channels."""
    given = [text for text in options.get("notify") or () if text]
    if options.get("no_notify"):
        if given or options.keys() & (NOTIFY - {"notify", "no_notify"}):
            raise click.UsageError("--no-notify goes with none of the other --notify options.")
        return []
    rules = [_rule_from(text) for text in given] if "notify" in options else deepcopy(base)
    more = {
        name: options[option]
        for option, name in (
            ("notify_after_failures", "after_failures"),
            ("notify_late_after", "late_after_seconds"),
        )
        if option in options
    }
    if more and not rules:
        raise click.UsageError("Say which channel with --notify.")
    return [rule | more for rule in rules] if rules else None


def _rule_from(text: str) -> Json:
    channel, colon, events = text.partition(":")
    rule: Json = {"channel": channel.strip()}
    if colon:
        rule["on"] = [event.strip() for event in events.split(",") if event.strip()]
    return rule


def kwargs_from(options: dict[str, Any], *, base: Json | None = None) -> Json:
    """Return the arguments that --kwargs and --arg give; *base* if there is no --kwargs."""
    given = options.get("kwargs")
    kwargs = dict(base or {}) if given is None else _json_object(given, where="--kwargs")
    for argument in options.get("arguments") or ():
        name, equals, text = argument.partition("=")
        if not name or not equals:
            raise click.UsageError(f"--arg wants NAME=VALUE, not {argument!r}.")
        try:
            kwargs[name] = json.loads(text)
        except ValueError:
            kwargs[name] = text
    return kwargs


def schedule_from(options: dict[str, Any], *, base: Json | None = None) -> Json | None:
    """Return the schedule that the options give, on top of *base*; None for a manual job."""
    # Zero and "" count as said: the server tells what is wrong with them.
    kinds = [kind for kind in KINDS if options.get(kind) is not None]
    if options.get("manual"):
        kinds.append("manual")
    if len(kinds) > 1:
        raise click.UsageError(f"Choose one of {_flags(kinds)}.")
    if kinds == ["manual"]:
        return None
    schedule = {name: value for name, value in (base or {}).items() if value is not None}
    if kinds:
        schedule = _of_kind(kinds[0], options, schedule)
    elif options.get("timezone"):
        schedule["timezone"] = options["timezone"]
    for option in ("start_at", "end_at"):
        if option in options:
            schedule[option] = _instant(options[option], options.get("timezone"))
    if options.get("jitter") is not None:
        schedule["jitter_seconds"] = options["jitter"]
    return schedule


def _of_kind(kind: str, options: dict[str, Any], previous: Json) -> Json:
    """Return *previous* turned into a schedule of *kind*, with its own fields only."""
    key = KINDS[kind]
    other = {*KINDS.values()} - {key} | ({"anchor_at"} if kind != "every" else set())
    schedule = {name: value for name, value in previous.items() if name not in other}
    zone = options.get("timezone")
    value = _instant(options[kind], zone) if kind == "at" else options[kind]
    return schedule | {key: value} | ({"timezone": zone} if zone else {})


def _instant(value: datetime | None, zone: str | None) -> str | None:
    if value is None:
        return None
    try:
        return api_instant(value, ZoneInfo(zone) if zone else None)
    except (KeyError, ValueError, OSError) as error:
        raise click.UsageError(f"{zone!r} is not an IANA time zone.") from error


def _set(document: Json, path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def _json_object(text: str, *, where: str) -> Json:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{where} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{where} is not a JSON object.")
    return value


def _flags(kinds: Iterable[str]) -> str:
    return " and ".join(f"--{kind}" for kind in kinds)
