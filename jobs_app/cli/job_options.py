"""The options that describe a job, and the JSON document that they make."""

import json
import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin

import click
from click.core import ParameterSource

from jobs_app.cli.client import Json
from jobs_app.cli.completion import Completion, key_names, queue_names, task_names
from jobs_app.cli.format import Choices, Duration, OrNone
from jobs_app.cli.notify_options import NOTIFY, notify_from, notify_options
from jobs_app.cli.output import options
from jobs_app.cli.param_type import Choice, ParamType
from jobs_app.cli.problem_text import FieldOption
from jobs_app.cli.schedule_json import schedules_in
from jobs_app.cli.schedule_options import SCHEDULE_PARAMETERS, schedule_options, schedules_from
from jobs_app.core.field_spec import FieldSpec, described_fields
from jobs_app.jobs.document import Definition, in_one_field
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RETRIED, RetryPolicy

# Fields that the server adds to a job: removed from a document before it is sent back.
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
    "observing_since",
    "scheduling_error",
    "warnings",
    "declared",
    "environment",
}


@dataclass(frozen=True, slots=True)
class Option:
    """An option that sets one field of a job, `path` deep in its document."""

    spec: FieldSpec
    path: tuple[str, ...]
    type: ParamType[Any]

    @property
    def flag(self) -> str:
        return str(self.spec.option)

    @property
    def parameter(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")


#: The fields whose options come first in the help: what runs, and where.
_FIRST = ("description", "task", "queue", "priority", "concurrency_key", "concurrency_limit")

_COMPLETIONS: dict[str, Completion] = {
    "--task": task_names,
    "--queue": queue_names,
    "--concurrency-key": key_names,
}


def _options(source: type, path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Yield the options of the fields of *source*, which lies *path* deep in the document."""
    for field in described_fields(source):
        if field.annotation in (RetryPolicy, Retention):
            yield from _options(field.annotation, (*path, field.name))
            continue
        parts = (field.annotation, *get_args(field.annotation))
        described = next((part for part in parts if get_origin(part) is Annotated), None)
        if described is None:
            continue
        kind, spec = get_args(described)
        if spec.option is not None:
            type_ = _click_type(field.name, kind)
            # Clearing the key clears its limit too.
            takes_none = NoneType in parts and field.name != "concurrency_limit"
            yield Option(spec, (*path, field.name), OrNone(type_) if takes_none else type_)


def _click_type(name: str, kind: Any) -> ParamType[Any]:
    if name.endswith("_seconds"):
        return Duration()
    if get_origin(kind) is Literal:
        return Choice(get_args(kind))
    if get_origin(kind) is tuple:
        return Choices(RETRIED, "OUTCOME,…")
    if issubclass(kind, StrEnum):
        return Choice([item.value for item in kind])
    if kind is bool:
        return click.BOOL
    return click.INT if kind is int else click.STRING


OPTIONS = tuple(sorted(_options(Definition), key=lambda option: option.path[0] not in _FIRST))


kwargs_options = options(
    click.option("--kwargs", metavar="JSON", help="All arguments, as a JSON object."),
    click.option(
        "--arg",
        "arguments",
        multiple=True,
        metavar="NAME=VALUE",
        help="One argument; VALUE is read as JSON if it is JSON, else as text. Repeatable.",
    ),
)

#: Every option that describes a job.
definition_options = options(
    schedule_options,
    click.option("--manual", is_flag=True, help="No schedule: run by hand only."),
    click.option("--command", "shell_command", help="Short for a shell task."),
    click.option("--user", "shell_user", help="Account that runs the command; '' clears."),
    kwargs_options,
    notify_options,
    click.option("--tag", "tags", multiple=True, help="Tag; repeatable, '' clears."),
    click.option(
        "--run-argument",
        "run_arguments",
        multiple=True,
        metavar="NAME",
        help="Argument that whoever starts the job may set; repeatable, '' clears.",
    ),
    click.option(
        "--observe/--no-observe",
        cls=FieldOption,
        pointer="/observe",
        default=None,
        help="Only watch: fires are recorded, and nothing runs.",
    ),
    *(
        click.option(
            option.flag,
            cls=FieldOption,
            pointer="/" + "/".join(option.path),
            type=option.type,
            help=option.spec.help,
            shell_complete=_COMPLETIONS.get(option.flag),
        )
        for option in OPTIONS
    ),
)


def typed_options() -> dict[str, Any]:
    """Return the parameters of the command that were typed, defaults left out."""
    ctx = click.get_current_context()
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def read_document(source: str) -> Json:
    """Return the JSON object in the file *source* ("-": standard input), ready to be sent."""
    return parse_document(read_text(source), where=source)


def read_text(source: str, *, most: int = -1) -> str:
    """Return the text in the file *source* ("-": standard input), or its first *most* characters.

    Raises UsageError.
    """
    try:
        with click.open_file(source, encoding="utf-8") as file:
            text: str = file.read(most)
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"Cannot read {source}: {error}.") from error
    return text


def parse_document(text: str, *, where: str) -> Json:
    """Return the JSON object in *text* without what only the server may set."""
    return writable(_json_object(text, where=where))


def writable(job: Json) -> Json:
    """Return a job as it may be sent, with its schedules in one field."""
    return in_one_field({name: value for name, value in job.items() if name not in READ_ONLY})


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


def job_patch(before: Json, after: Json) -> Json:
    """Return the merge patch that turns the job *before* into *after*; {} if they agree.

    A job that has several schedules gets a list, even of one.
    """
    patch = merge_patch(before, after)
    for name in patch.keys() & {"schedule", "schedules"} - after.keys():
        # In the other field, it is not gone.
        del patch[name]
    if "schedules" in before and patch.get("schedule") is not None:
        patch["schedules"] = [patch.pop("schedule")]
    return patch


def overlaid(job: Json, fields: Json) -> Json:
    """Return *job* with *fields* in place of its own; its schedules are in one field."""
    if {"schedule", "schedules"} & fields.keys():
        job = {name: value for name, value in job.items() if name not in ("schedule", "schedules")}
    return job | fields


def with_options(definition: Json, options: dict[str, Any]) -> Json:
    """Return a copy of *definition* with what was typed on top."""
    changed = deepcopy(definition)
    for option in OPTIONS:
        if option.parameter in options:
            _set(changed, option.path, options[option.parameter])
    for name in ("tags", "run_arguments"):
        if name in options:
            changed[name] = [item for item in options[name] if item]
    if "observe" in options:
        changed["observe"] = options["observe"]
    if (command := options.get("shell_command")) is not None:
        if changed.get("task", "shell") != "shell" and "task" in options:
            raise click.UsageError("--command is for the task shell.")
        previous = changed.get("kwargs", {}) if changed.get("task") == "shell" else {}
        changed["task"] = "shell"
        changed["kwargs"] = {**previous, "command": command}
    if "kwargs" in options or "arguments" in options:
        changed["kwargs"] = kwargs_from(options, base=changed.get("kwargs"))
    if (user := options.get("shell_user")) is not None:
        changed["kwargs"] = _with_user(changed, user)
    if options.keys() & NOTIFY:
        changed["notify"] = notify_from(options, base=changed.get("notify"))
    return _with_schedules(changed, options) if options.keys() & SCHEDULE_PARAMETERS else changed


def _with_schedules(job: Json, options: dict[str, Any]) -> Json:
    present = schedules_in(job)
    schedules = schedules_from(options, present=present)
    # A job that has several schedules gets a list, even of one.
    if max(len(schedules), len(present)) > 1:
        return overlaid(job, {"schedules": schedules})
    return overlaid(job, {"schedule": schedules[0] if schedules else None})


def _with_user(job: Json, user: str) -> Json:
    """Return the arguments of the shell task of *job* with the account *user*; "" for none."""
    if job.get("task") != "shell":
        raise click.UsageError("--user is for the task shell.")
    kwargs = {name: value for name, value in (job.get("kwargs") or {}).items() if name != "user"}
    return kwargs | ({"user": user} if user else {})


def kwargs_from(options: dict[str, Any], *, base: Json | None = None) -> Json:
    """Return the arguments that --kwargs and --arg give; *base* if there is no --kwargs."""
    text = options.get("kwargs")
    kwargs = dict(base or {}) if text is None else _json_object(text, where="--kwargs")
    typed: Json = {}
    for argument in options.get("arguments") or ():
        name, equals, text = argument.partition("=")
        if not name or not equals or name in typed:
            raise click.UsageError(f"--arg wants NAME=VALUE, each NAME once, not {argument!r}.")
        try:
            typed[name] = read_json(text)
        except ValueError:
            typed[name] = text
    return kwargs | typed


def _set(document: Json, path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def read_json(text: str) -> Any:
    """Return *text* read as JSON (RFC 8259); raises ValueError also for NaN and for 1e999."""
    try:
        return json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"JSON has no number {text}")


def _json_object(text: str, *, where: str) -> Json:
    try:
        value = read_json(text)
    except ValueError as error:
        raise click.UsageError(f"{where} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{where} is not a JSON object.")
    return value
