"""The rights that depend on the job: commands, arguments of a start, and tags."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jobs_app.accounts.permissions import Action, refusal
from jobs_app.core.errors import FieldError, Forbidden, InvalidInput, NotFound, refuse
from jobs_app.core.states import OverlapPolicy
from jobs_app.core.validation_messages import json_pointer
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service
from jobs_app.jobs.document import NAME, Definition
from jobs_app.secrets import references
from jobs_app.tasks import registry
from jobs_app.tasks.command_account import is_root
from jobs_app.web import extension
from jobs_app.web.api.responses import checked_name
from jobs_app.web.permissions import may, principal, require
from jobs_app.web.session import reading


def check_save(definition: Definition, *, before: Job | None = None) -> None:
    """Raise Forbidden or InvalidInput unless the caller may save *definition* over *before*."""
    tasks = {definition.task} if before is None else {definition.task, before.task}
    if any(map(_runs_commands, tasks)):
        require(Action.WRITE_COMMANDS)
    _check_account(definition.task, definition.kwargs)
    if before is not None:
        _check_account(before.task, before.kwargs)
    tags = principal().tags
    if tags is not None and tags.isdisjoint(definition.tags):
        sentence = f"You see the jobs with the tags {', '.join(sorted(tags))}: keep one of them."
        refuse([FieldError("/tags", "tag_needed", sentence)])
    _check_attached_log(definition.task, definition.kwargs)


def may_change(job: Job) -> bool:
    """Tell whether the caller may change or delete *job* at all."""
    if _runs_as_root(job.task, job.kwargs) and not may(Action.RUN_AS_ROOT):
        return False
    return may(Action.WRITE_COMMANDS if _runs_commands(job.task) else Action.WRITE_JOBS)


def check_delete(job: Job, *, to_purge: bool) -> None:
    """Raise Forbidden unless the caller may delete *job*."""
    if _runs_commands(job.task):
        require(Action.WRITE_COMMANDS)
    if to_purge:
        require(Action.PURGE)


def checked_version(job: Job, version: int | None) -> int | None:
    """Return the version that a change must find, for a caller whose rights depend on the job."""
    return job.version if version is None and not principal().is_unlimited else version


def check_task(task: str, kwargs: Mapping[str, Any]) -> None:
    """Raise Forbidden unless the caller may run *task* with *kwargs* without a job."""
    if _runs_commands(task):
        require(Action.WRITE_COMMANDS)
    _check_account(task, kwargs)


def check_start(job: Job, kwargs: Mapping[str, Any], overlap_policy: OverlapPolicy | None) -> None:
    """Raise Forbidden unless the caller may start *job* like this."""
    _check_arguments(job, job.run_arguments or (), kwargs, overlap_policy)


def check_retry(
    run: Run, job: Job | None, kwargs: Mapping[str, Any], overlap_policy: OverlapPolicy | None
) -> None:
    """Raise Forbidden unless the caller may repeat *run* like this; *job* is that of the run."""
    _check_arguments(run, _run_arguments(run, job), kwargs, overlap_policy)


def retry_arguments(run: Run) -> Collection[str] | None:
    """Return the arguments that the caller may replace when repeating *run*; None for all."""
    is_command = _runs_commands(run.task)
    action = Action.WRITE_COMMANDS if is_command else Action.START_WITH_ARGUMENTS
    return None if may(action) else _run_arguments(run, run.job)


def _run_arguments(run: Run, job: Job | None) -> Collection[str]:
    # The names are those of arguments of the job's task; the run may have had another one.
    is_named = job is not None and job.task == run.task and job.deleted_at is None
    return (job.run_arguments or ()) if job is not None and is_named else ()


def _check_arguments(
    repeated: Job | Run,
    run_arguments: Collection[str],
    kwargs: Mapping[str, Any],
    overlap_policy: OverlapPolicy | None,
) -> None:
    task, others = repeated.task, [name for name in kwargs if name not in run_arguments]
    if others:
        is_command = _runs_commands(task)
        _require(Action.WRITE_COMMANDS if is_command else Action.START_WITH_ARGUMENTS, others)
        _check_account(task, {**repeated.kwargs, **kwargs})
    if overlap_policy is not None:
        require(Action.START_WITH_ARGUMENTS)
    if references.names_in(dict(kwargs)):
        require(Action.SEE_SECRETS)
    # Whoever changes what the author fixed, as the recipients of a mail, is the author of it all.
    _check_attached_log(task, {**repeated.kwargs, **kwargs} if others else kwargs)


def _check_account(task: str, kwargs: Mapping[str, Any]) -> None:
    """Raise Forbidden for a command as root, unless the caller may do even that."""
    if _runs_as_root(task, kwargs):
        require(Action.RUN_AS_ROOT)


def _runs_as_root(task: str, kwargs: Mapping[str, Any]) -> bool:
    is_shell = registry.runs_shell(extension.current().celery, task)
    return is_shell and is_root(kwargs.get("user"))


def _require(action: Action, names: list[str]) -> None:
    """Raise Forbidden with the arguments *names*, unless the caller may do *action*."""
    sentence = refusal(principal(), action)
    if sentence is not None:
        detail = "It is not among the run_arguments of the job."
        errors = [
            FieldError(json_pointer(("kwargs", name)), "not_a_run_argument", detail)
            for name in names
        ]
        named = ", ".join(repr(name) for name in names[:5])
        raise Forbidden(f"{sentence} It sent {named}.", action=action, errors=errors[:20])


def _check_attached_log(task: str, kwargs: Mapping[str, Any]) -> None:
    """Raise InvalidInput for a mail with the log of a job that the caller may not see."""
    name = kwargs.get("attach_log_of")
    if principal().tags is None or task != "email" or not isinstance(name, str):
        return
    try:
        with reading() as reader:
            service.get(reader, checked_name(NAME, name, "job"))
    except NotFound as error:
        refuse([FieldError("/kwargs/attach_log_of", "job_not_found", error.detail)])


@contextmanager
def hidden_arguments(kwargs: Mapping[str, Any]) -> Iterator[None]:
    """Hide errors of arguments that the caller neither sent, as *kwargs*, nor may see."""
    try:
        yield
    except InvalidInput as error:
        if may(Action.SEE_ARGUMENTS):
            raise
        own = tuple(json_pointer(("kwargs", name)) for name in kwargs)
        shown = [_hidden(item, own) for item in error.errors]
        refuse(list(dict.fromkeys(shown)))
        raise


def _hidden(error: FieldError, own: tuple[str, ...]) -> FieldError:
    """Return *error*, or a sentence in its place unless it is about one of the pointers *own*."""
    is_own = any(error.pointer == at or error.pointer.startswith(f"{at}/") for at in own)
    if is_own or not error.pointer.startswith("/kwargs"):
        return error
    sentence = "An argument of the job is not valid: whoever may change the job sees which."
    return FieldError("/kwargs", "hidden_argument", sentence)


def _runs_commands(task: str) -> bool:
    return registry.runs_commands(extension.current().celery, task)
