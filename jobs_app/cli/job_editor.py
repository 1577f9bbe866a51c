"""A job in the person's editor, as YAML, until the server takes it or the person gives up."""

from collections.abc import Callable
from tempfile import NamedTemporaryFile

import click

from jobs_app.cli.client import Answer, Json
from jobs_app.cli.failure import USAGE, Failure
from jobs_app.cli.job_options import writable
from jobs_app.cli.output import print_note
from jobs_app.cli.problem_text import sentences
from jobs_app.cli.schedule_json import without_empty_fields

#: These fields come first.
FIRST = ("name", "description", "task", "kwargs", "schedule", "schedules")


def edit_by_hand(before: Json, send: Callable[[Json], Answer]) -> Answer | None:
    """Open the job *before* in $EDITOR until *send* accepts it; None if nothing was changed.

    The document replaces the job: a field that was deleted takes its default. Raises Failure
    if the person gives up or *send* fails for another reason; the text is kept in a file.
    """
    # PyYAML takes a while to import; the other commands do not need it.
    from jobs_app.cli.yaml_format import read_job, write_job
    from jobs_app.core.yaml_values import Unreadable

    text = write_job(_in_order(before))
    while True:
        edited = click.edit(text, extension=".yaml")
        if edited is None or edited == text:
            return None
        text = edited
        try:
            return send(writable(read_job(text)))
        except Unreadable as error:
            print_note(str(error))
        except Failure as error:
            if error.exit_code != USAGE:
                _keep(text, before["name"])
                raise
            print_note(_at_lines(error, text))
        if not _wants_again():
            _keep(text, before["name"])
            raise Failure("Nothing was changed.", USAGE)


def _in_order(job: Json) -> Json:
    """Return *job* with the main fields first, and no empty fields in its schedules."""
    return without_empty_fields({name: job[name] for name in FIRST if name in job} | job)


def _at_lines(error: Failure, text: str) -> str:
    """Return the sentences of *error*, with the lines of *text* that they are about."""
    from jobs_app.core.yaml_text import lines_of

    if error.problem is None:
        return error.message
    lines = lines_of(text)

    def name(pointer: str) -> str:
        place = pointer
        while place and place not in lines:
            place = place.rpartition("/")[0]
        return f"line {lines[place]}, {pointer}" if place else pointer

    return "\n".join(sentences(error.problem, name=name))


def _wants_again() -> bool:
    """Ask whether to open the editor again; Ctrl-C and Ctrl-D mean no."""
    try:
        return click.confirm("Edit again?", default=True, err=True)
    except click.Abort:
        print_note("")
        return False


def _keep(text: str, name: str) -> None:
    """Save a document that the server did not take, and print the path."""
    prefix = f"jobs-app-{name}-"
    with NamedTemporaryFile(
        "w", encoding="utf-8", prefix=prefix, suffix=".yaml", delete=False
    ) as file:
        file.write(text)
    print_note(f"What you wrote is kept in {file.name}.")
