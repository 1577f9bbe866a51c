"""`jobs-app apply`: makes jobs agree with files, all of them or none."""

import re
import sys
from collections import Counter

import click

from jobs_app.cli.client import Client, Json, connect
from jobs_app.cli.failure import FAILED, Failure
from jobs_app.cli.format import exact
from jobs_app.cli.job_diff import change_text
from jobs_app.cli.job_files import JobFile, read_files
from jobs_app.cli.job_view import outlook, print_recorded
from jobs_app.cli.output import (
    confirm_deletion,
    dry_run_option,
    json_option,
    print_json,
    print_note,
    print_text,
)
from jobs_app.cli.several_jobs import several
from jobs_app.cli.standard_streams import go_on_without_output
from jobs_app.cli.zones import show_in, zone_of_job
from jobs_app.core.text import counted

#: Fires that are named of those that come, go or move.
MOST_FIRES = 3

DONE = {"create": "Created", "change": "Changed", "delete": "Deleted"}

_JOB = re.compile(r"^/jobs/([0-9]+)(?=/|$)")


@click.command()
@click.option(
    "--file",
    "-f",
    "sources",
    multiple=True,
    required=True,
    metavar="FILE",
    help="YAML file of jobs; a directory stands for the *.yaml and *.yml in it; - is standard"
    " input. Repeatable.",
)
@click.option("--set", "name", help="Name of the set of these jobs, if the files name none.")
@click.option(
    "--prune", is_flag=True, help="Delete the jobs of the set that are no longer in the files."
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Let the set manage jobs, too, that were made by hand or are of another set.",
)
@click.option("--yes", "-y", is_flag=True, help="With --prune: name what goes, and do not ask.")
@dry_run_option
@click.option("--check", is_flag=True, help="As --dry-run; exit with 1 if anything would change.")
@json_option
def apply(
    sources: tuple[str, ...],
    name: str | None,
    prune: bool,
    take_over: bool,
    yes: bool,
    dry_run: bool,
    check: bool,
    as_json: bool,
) -> None:
    """Make jobs agree with files, all of them or none.

    A file is a list of jobs, a mapping of jobs by name, or `{set: NAME, jobs: …}`. What it
    leaves out of a job takes its default. Nothing runs at once. Jobs know the set that manages
    them: with --prune, those that are no longer in the files are deleted, and no others. What
    somebody changed by hand is changed back, and named.

    \b
    Examples:
      jobs-app apply -f jobs/ --dry-run
      jobs-app apply -f jobs.yaml --set billing --prune --yes
      jobs-app apply -f jobs.yaml --check || echo "the jobs are not as in the file"
    """
    file = read_files(sources)
    if name is not None and file.set not in (None, name):
        raise click.UsageError(f"The files are of the set {file.set!r}, and --set says {name!r}.")
    name = name or file.set
    if prune and name is None:
        raise click.UsageError(
            "--prune needs the name of the set: --set NAME, or `set:` in a file."
        )
    is_dry = dry_run or check
    client = connect()
    body: Json = {"jobs": file.jobs, "set": name, "prune": prune, "take_over": take_over}
    if prune and not is_dry:
        # Jobs that join the set from now on are not deleted unseen.
        body["prune_only"] = _confirm(_send(client, file, body, dry_run=True), name, yes=yes)
    items = _send(client, file, body, dry_run=is_dry)
    go_on_without_output()
    if as_json:
        print_json({"items": items})
    else:
        for item in items:
            _print(item, dry_run=is_dry)
        _print_summary(items, dry_run=is_dry)
    if check and any(item["action"] != "keep" for item in items):
        sys.exit(FAILED)


def _send(client: Client, file: JobFile, body: Json, *, dry_run: bool) -> list[Json]:
    """Send the set and return what becomes of each job; a refusal names each job by its name."""
    params = {"dry_run": dry_run or None}
    try:
        items: list[Json] = client.send("POST", "/apply", body=body, params=params).body["items"]
    except Failure as failure:
        lines = _refusals(failure, file)
        if not lines:
            raise
        for line in lines:
            print_note(line)
        more = ""
        if "more error" in failure.message:
            more = " " + failure.message[failure.message.rindex("There ") :].strip()
        raise Failure(f"Nothing was changed.{more}", failure.exit_code) from failure
    return items


def _refusals(failure: Failure, file: JobFile) -> list[str]:
    """Return a line for each error about a job of *file*; [] if an error is about none."""
    errors = (failure.problem or {}).get("errors") or []
    lines = []
    for error in errors:
        match = _JOB.match(str(error.get("pointer")))
        if match is None:
            return []
        job = file.jobs[int(match[1])]["name"]
        field = str(error["pointer"])[match.end() :]
        lines.append(": ".join(filter(None, (job, field, str(error.get("detail"))))))
    return lines


def _confirm(items: list[Json], name: str | None, *, yes: bool) -> list[str]:
    """Return the jobs that are to be deleted: with *yes* they are named, else a person agrees."""
    obsolete = [item["name"] for item in items if item["action"] == "delete"]
    if obsolete:
        what = f"{several(obsolete)}, no longer in the set {name!r}"
        if yes:
            print_note(f"To be deleted: {what}.")
        confirm_deletion(f"Delete {what}?", yes=yes)
    return obsolete


def _print(item: Json, *, dry_run: bool) -> None:
    """Print what became of one job, or what would; nothing for a job that stays as it is."""
    action, name, job = item["action"], item["name"], item["job"]
    if action == "keep":
        return
    verb = f"Would {action}" if dry_run else DONE[action]
    if action == "delete":
        print_text(f"{verb} {name}; its runs stay on record.")
    else:
        print_text(f"{verb} {name}: {outlook(job)}")
    for change in item["changes"]:
        print_text(f"  {change_text(change['field'], change['before'], change['after'])}")
    show_in(zone_of_job(job))
    _print_fires(item["fires"])
    if edit := item["changed_by_hand"]:
        fields = ", ".join(edit["changed"])
        undone = "would be undone" if dry_run else "is undone"
        print_note(
            f"Note on {name}: {edit['by']} changed {fields} by hand at {exact(edit['at'])}, which"
            f" {undone}."
        )
    if effect := item["effect"]:
        print_recorded(effect)
        for warning in effect["warnings"]:
            print_note(f"Note on {name}: {warning}")


def _print_fires(fires: Json) -> None:
    """Print which of the next fires come, go and move."""
    moved = [f"{exact(m['before']['at'])} to {exact(m['after']['at'])}" for m in fires["moved"]]
    gone = [exact(fire["at"]) for fire in fires["go"]]
    new = [exact(fire["at"]) for fire in fires["come"]]
    for what, texts in (("that move", moved), ("that go", gone), ("that come", new)):
        if texts:
            more = ", …" if len(texts) > MOST_FIRES else ""
            print_text(f"  Next fires {what}: {', '.join(texts[:MOST_FIRES])}{more}")


def _print_summary(items: list[Json], *, dry_run: bool) -> None:
    counts = Counter(item["action"] for item in items)
    if counts.keys() <= {"keep"}:
        print_text(f"Nothing to change: {counted(len(items), 'job')} as in the files.")
    else:
        parts = [
            f"{counts[action]:,} {word}"
            for action, word in (
                ("create", "created"),
                ("change", "changed"),
                ("delete", "deleted"),
                ("keep", "unchanged"),
            )
            if counts[action]
        ]
        print_text(f"{'Would be: ' if dry_run else ''}{', '.join(parts)}.")
    if dry_run:
        print_note("Nothing was changed.")
