"""Making and changing a job: one form, its preview, the same as YAML, and the lost race."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug import Response as BaseResponse

from jobs_app.accounts.permissions import Action
from jobs_app.core.errors import (
    Conflict,
    FieldError,
    Forbidden,
    InvalidInput,
    JobsError,
    StaleVersion,
)
from jobs_app.db.errors import is_outage
from jobs_app.db.models.jobs import Job
from jobs_app.jobs.document import NAME
from jobs_app.tasks import registry
from jobs_app.web import extension, job_commands
from jobs_app.web.api.jobs import find_job
from jobs_app.web.api.schemas.base import refuse_unstorable
from jobs_app.web.pages import (
    form_errors,
    frame,
    job_document,
    job_editor,
    job_form_context,
    job_preview,
    job_race,
    job_yaml,
    schedule_fields,
    zones,
)
from jobs_app.web.pages.job_editor import Editor
from jobs_app.web.pages.parameters import choice
from jobs_app.web.permissions import require

page = Blueprint("job_form_page", __name__)

#: Controls that are no part of a job: the token, and those of the page about a lost race.
OWN_CONTROLS = ("csrf_token", "theirs", "then")

#: Actions that write the document in another way, which must be possible.
REWRITING = ("yaml", "json", "fields")

Values = Mapping[str, str]


@page.get("/new-job")
def new() -> Response:
    """Show the form of a new job: an empty one, or that of a job to be cloned."""
    source, task = request.args.get("from"), request.args.get("task")
    if source is None:
        return _form(Editor.of_document(job_editor.new_document(task)), None, is_changed=False)
    job = find_job(source)
    document = job_editor.document_of(job)
    del document["name"]
    return _form(Editor.of_document(document), None, is_changed=False)


@page.get("/jobs/<name>/edit")
def edit(name: str) -> Response:
    """Show the form of a job, or the same as YAML."""
    is_yaml = choice("as", ["yaml"]) == "yaml"
    job = find_job(name)
    _require_write(job)
    editor = Editor.of_document(job_editor.document_of(job))
    if is_yaml:
        return _yaml(job_yaml.written(editor.document, editor.defaults), job, job.version)
    return _form(editor, job, is_changed=False)


@page.post("/new-job")
def save_new() -> BaseResponse:
    """Make the job of the form, or show the form in another way."""
    return _posted(None)


@page.post("/jobs/<name>/edit")
def save(name: str) -> BaseResponse:
    """Save the form over the job, or show the form in another way."""
    job = find_job(name)
    _require_write(job)
    return _posted(job)


@page.post("/job-preview")
def preview() -> Response:
    """Show the effect of a form; with script, while somebody types."""
    values = request.form.to_dict()
    name = values.get("job", "")
    job = find_job(name) if NAME.fullmatch(name) else None
    if "yaml" in values:
        return frame.render("job_preview.html", **_previewed_yaml(values["yaml"], job))
    editor = Editor.of_values(values)
    shown = job_form_context.previewed(editor, job)
    return frame.render("job_preview.html", is_fragment=True, **shown)


def _require_write(job: Job) -> None:
    if registry.runs_commands(extension.current().celery, job.task):
        require(Action.WRITE_COMMANDS)


def _posted(job: Job | None) -> BaseResponse:
    values = request.form.to_dict()
    action = values.pop("action", request.args.get("show", "save"))
    for name in OWN_CONTROLS:
        values.pop(name, None)
    if "yaml" in values:
        return _posted_yaml(job, values, action)
    editor = Editor.of_values(values)
    if action in REWRITING and (errors := _unstorable(editor)):
        return _refused(editor, job, errors, 422)
    if action == "arguments" and "HX-Request" in request.headers:
        return frame.render("job_arguments.html", **job_form_context.context(editor, job, {}))
    if action == "yaml":
        text = job_yaml.written(editor.document, editor.defaults)
        return _yaml(text, job, _version(values), is_changed=True)
    if action == "json":
        return _form(_as_json(editor), job)
    if action == "fields":
        return _as_fields(editor, job)
    if action == "preview":
        return _form(editor, job, is_previewed=True)
    if action == "add-schedule":
        values = schedule_fields.added(editor.values, zone=zones.current().key)
        return _form(Editor.of_values(values), job)
    if (index := action.removeprefix("remove-schedule-")) != action and index.isdecimal():
        return _form(Editor.of_values(schedule_fields.removed(editor.values, int(index))), job)
    if action != "save":
        return _form(editor, job)
    return _save(editor, job)


def _save(editor: Editor, job: Job | None) -> BaseResponse:
    """Save the form; answer with it, and with all that was typed, if that is refused."""
    values = editor.values
    try:
        if editor.errors:
            return _refused(editor, job, job_form_context.all_errors(editor, job), 422)
        if job is None:
            return _created(editor.document)
        return _save_over(editor, job, _version(values))
    except (InvalidInput, Conflict, Forbidden) as error:
        found = list(error.errors) or [FieldError("", error.code, error.detail)]
        if isinstance(error, InvalidInput):
            others = job_form_context.document_errors(editor.document, job)
            found += [other for other in others if other not in found]
        return _refused(editor, job, found, _status(error))
    except SQLAlchemyError as error:
        if not is_outage(error):
            raise
        sentence = "The database does not answer: nothing was saved. Try again in a moment."
        return _refused(editor, job, [FieldError("", "unavailable", sentence)], 503)


def _status(error: JobsError) -> int:
    return 403 if isinstance(error, Forbidden) else 409 if isinstance(error, Conflict) else 422


def _created(document: Mapping[str, Any]) -> BaseResponse:
    return _saved(job_commands.create(job_editor.definition_from(document)), None)


def _save_over(editor: Editor, job: Job, version: int) -> BaseResponse:
    definition = job_editor.definition_from(editor.document)
    before = job_editor.document_of(job)
    try:
        changed = job_commands.change(job, definition, version=version)
    except StaleVersion:
        return _lost_race(editor, find_job(job.name), version)
    return _saved(changed, before)


def _lost_race(editor: Editor, job: Job, version: int) -> BaseResponse:
    """Bring the form and the change of somebody else together, as far as nobody has to choose."""
    definition = job_editor.definition_from(editor.document)
    choices = job_race.choices_in(editor.values)
    race = job_race.race(job, definition, version=version, choices=choices)
    # Chosen with the job of this version in view; another one is another race.
    is_seen = request.form.get("theirs") == str(job.version) and not race.unresolved
    if not race.is_quiet and not is_seen:
        return frame.render(
            "job_race.html",
            status=412,
            job=job,
            race=race,
            values=job_race.kept(editor.values),
            choices=choices,
            is_unresolved="theirs" in request.form,
            shown=job_race.shown,
            label=job_race.label,
        )
    merged = Editor.of_document(race.document)
    merged = job_editor.with_values(merged, {"version": str(job.version), "job": job.name})
    if request.form.get("then") == "form":
        return _form(merged, job)
    return _save(merged, job)


def _saved(job: Job, before: Mapping[str, Any] | None) -> BaseResponse:
    """Lead to the job, which says that it was saved; *before* is the document before."""
    is_same = before == job_editor.document_of(job)
    saved = "new" if before is None else "same" if is_same else job.version
    return frame.goto("job_page.show", name=job.name, saved=saved)


def _version(values: Values) -> int:
    text = values.get("version", "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _unstorable(editor: Editor) -> list[FieldError]:
    """Return what no text can show: half a surrogate pair, or very deep nesting."""
    try:
        refuse_unstorable(editor.document)
    except InvalidInput as error:
        return list(error.errors)
    return []


# ---- the page ----


def _form(
    editor: Editor, job: Job | None, *, is_changed: bool = True, is_previewed: bool = False
) -> Response:
    """Show the form; with *is_changed* it holds what nobody has saved."""
    context = job_form_context.context(
        editor, job, {}, is_changed=is_changed, is_previewed=is_previewed
    )
    return frame.render("job_form.html", **context)


def _refused(
    editor: Editor, job: Job | None, errors: Sequence[FieldError], status: int
) -> Response:
    located = schedule_fields.at_controls(errors)
    found = form_errors.by_field(located, job_form_context.names(editor))
    context = job_form_context.context(editor, job, found, is_changed=True)
    return frame.render("job_form.html", status=status, **context)


# ---- other ways to show it ----


def _as_json(editor: Editor) -> Editor:
    """Return the form with all arguments as one JSON object."""
    return job_editor.with_values(editor, job_document.json_texts(editor.document))


def _as_fields(editor: Editor, job: Job | None) -> Response:
    """Show the arguments as fields, unless their JSON cannot be read."""
    if editor.errors or not isinstance(editor.document.get("kwargs"), dict):
        return _refused(editor, job, job_form_context.all_errors(editor, job), 422)
    kept = job_document.without_arguments(editor.values)
    zone = schedule_fields.zone_of(editor.document, editor.defaults.timezone)
    texts = job_document.argument_texts(editor.document, editor.schema, zone=zone)
    return _form(Editor.of_values(kept | texts), job)


def _yaml(
    text: str,
    job: Job | None,
    version: int,
    *,
    lines: Sequence[tuple[int | None, str]] = (),
    status: int = 200,
    is_changed: bool = False,
) -> Response:
    target = url_for(".save", name=job.name) if job else url_for(".save_new")
    return frame.render(
        "job_yaml.html",
        status=status,
        job=job,
        text=text,
        version=version or "",
        lines=lines,
        is_changed=is_changed,
        target=target,
    )


def _previewed_yaml(text: str, job: Job | None) -> dict[str, Any]:
    """Return what `job_preview.html` shows of a YAML text."""
    document, prefix, lines = job_yaml.read(text)
    if document is None:
        return {"preview": None, "lines": lines}
    shown = job_preview.preview(document, job)
    found = job_yaml.at_lines(shown.errors, text, prefix)
    problems = [("yaml", f"Line {line}: {detail}" if line else detail) for line, detail in found]
    return {"preview": shown, "problems": problems}


def _posted_yaml(job: Job | None, values: Values, action: str) -> BaseResponse:
    text = values["yaml"].replace("\r\n", "\n")
    version = _version(values)
    document, prefix, lines = job_yaml.read(text)
    if document is not None:
        lines = job_yaml.faults(text, document, prefix)
    if document is None or lines:
        return _yaml(text, job, version, lines=lines, status=422, is_changed=True)
    editor = job_editor.with_values(Editor.of_document(document), {"version": str(version)})
    if action == "form":
        return _form(editor, job)
    try:
        if job is None:
            return _created(document)
        return _save_over(editor, job, version)
    except (InvalidInput, Conflict, Forbidden) as error:
        found = job_yaml.located(error, text, prefix)
        return _yaml(text, job, version, lines=found, status=_status(error), is_changed=True)
