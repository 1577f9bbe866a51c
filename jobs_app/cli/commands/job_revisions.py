"""`jobs-app job changes` and `restore`: what a job was, and a way back."""

from functools import partial

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.completion import job_names, revision_numbers
from jobs_app.cli.format import exact
from jobs_app.cli.job_diff import changed_fields, print_changes
from jobs_app.cli.job_options import writable
from jobs_app.cli.job_view import outlook, print_effect
from jobs_app.cli.output import (
    as_table,
    confirm,
    dry_run_option,
    json_option,
    limit_options,
    print_json,
    print_note,
    print_text,
    print_warnings,
)
from jobs_app.cli.paths import job_path
from jobs_app.cli.run_view import instant_text

NUMBER = click.IntRange(1, 999_999_999)

name_argument = click.argument("name", shell_complete=job_names)
number_argument = partial(click.argument, type=NUMBER, shell_complete=revision_numbers)

print_revisions = as_table(
    {
        "NUMBER": lambda revision: str(revision["number"]),
        "WHEN": lambda revision: instant_text(revision["at"]),
        "BY": lambda revision: revision["by"] or "-",
        "VIA": lambda revision: revision["via"] or "-",
        "CHANGED": lambda revision: ", ".join(revision["changed"]),
        "NOTE": lambda revision: revision["note"] or "-",
    },
    empty="No change is on record yet: the next one will be.",
    droppable={"VIA", "NOTE"},
)


@click.command()
@name_argument
@number_argument("number", metavar="[N]", required=False)
@number_argument("other", metavar="[M]", required=False)
@limit_options
@json_option
def changes(
    name: str, number: int | None, other: int | None, limit: int | None, as_json: bool
) -> None:
    """List the changes of a job, the newest first; with N, show what that change was.

    With N and M, show how the job differs between these two. The newest 100 changes are
    kept. A pause is no change; `jobs-app audit --job NAME` lists it.

    \b
    Examples:
      jobs-app job changes backup
      jobs-app job changes backup 7
      jobs-app job changes backup 4 7
    """
    client = connect()
    if number is None:
        page = client.page(f"{job_path(name)}/revisions", limit=limit)
        (print_json if as_json else print_revisions)(page)
        return
    shown = _read(client, name, number)
    if other is not None:
        later = _read(client, name, other)
        if as_json:
            print_json({"items": [shown, later]})
        else:
            _print_difference(shown, later)
        return
    if as_json:
        print_json(shown)
        return
    _print_heading(shown)
    if shown["previous"] is None:
        print_note("It is the oldest on record: there is nothing to compare it with.")
        return
    _print_difference(_read(client, name, shown["previous"]), shown)


def _read(client: Client, name: str, number: int) -> Json:
    return client.read(f"{job_path(name)}/revisions/{number}")


def _print_heading(revision: Json) -> None:
    by = f", by {revision['by']}" if revision["by"] else ""
    via = f" ({revision['via']})" if revision["via"] else ""
    print_text(f"Revision {revision['number']}, {exact(revision['at'])}{by}{via}")
    if revision["note"]:
        print_text(revision["note"])


def _print_difference(before: Json, after: Json) -> None:
    if changed_fields(before["definition"], after["definition"]):
        print_text(f"From revision {before['number']} to {after['number']}:")
        print_changes(before["definition"], after["definition"])
    elif after["previous"] == before["number"] and after["changed"]:
        print_note(f"What differs is masked: {', '.join(after['changed'])}.")
    else:
        print_note(f"Revisions {before['number']} and {after['number']} do not differ.")


@click.command()
@name_argument
@number_argument("number", metavar="N")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@dry_run_option
@json_option
def restore(name: str, number: int, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Save a job again as it was in revision N of `job changes`.

    It shows what would change, and asks. It is a change like any other: it is checked, it has
    a revision of its own, and it runs nothing at once. Secrets that the revision does not
    hold stay as they are.
    """
    client = connect()
    current = client.get(job_path(name))
    path = f"{job_path(name)}/revisions/{number}/restore"
    send = partial(client.send, "POST", path, if_match=current.etag)
    preview = send(params={"dry_run": True})
    before, after = writable(current.body), writable(preview.body["job"])
    if not changed_fields(before, after):
        if as_json:
            print_json((preview if dry_run else current).body)
        print_note("Nothing to change.")
        return
    if dry_run and as_json:
        print_json(preview.body)
        return
    if not as_json:
        print_text("It would change:")
        print_changes(before, after)
        print_text("")
        print_effect(preview.body, heading="Nothing was changed. " if dry_run else "")
    if dry_run:
        return
    confirm(
        f"Restore revision {number} of {name}?",
        yes=yes,
        verb="restore",
        refusal="Nothing was changed.",
    )
    answer = send()
    if as_json:
        print_json(answer.body)
        return
    print_text(f"Restored revision {number} of {answer.body['name']}: {outlook(answer.body)}")
    print_warnings(answer.body.get("warnings") or ())
