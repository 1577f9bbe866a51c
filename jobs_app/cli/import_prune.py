"""The jobs that an earlier import of the same file made, and that the file no longer has.

An import with --prune notes its label as the `origin` of each job that it creates. A job that was
made by hand, or by another import, has another origin: it is never deleted.
"""

from collections.abc import Collection
from pathlib import PurePath

import click

from jobs_app.cli.client import Client, Json
from jobs_app.cli.output import confirm_deletion, print_text
from jobs_app.cli.paths import job_path
from jobs_app.cli.several_jobs import several


def origin_label(source: str, label: str | None) -> str:
    """Return the origin of the jobs that an import of *source* makes; raises UsageError."""
    if label:
        return label
    if source == "-":
        raise click.UsageError("With standard input, --prune needs a --label.")
    return f"file {PurePath(source).name}"


def obsolete_jobs(client: Client, label: str, names: Collection[str]) -> list[Json]:
    """Return the jobs with the origin *label* that are not among *names*."""
    jobs = client.page("/jobs", limit=None)["items"]
    return [job for job in jobs if job.get("origin") == label and job["name"] not in names]


def confirm_prune(jobs: list[Json], source: str, *, yes: bool) -> None:
    """Ask once whether to delete *jobs*, unless there are none. Raises Failure at a no."""
    if jobs:
        names = several([str(job["name"]) for job in jobs])
        confirm_deletion(f"Delete {names}, no longer in {source}?", yes=yes)


def prune(client: Client, jobs: list[Json], *, as_json: bool) -> None:
    """Delete *jobs* as they were read; one that was changed meanwhile raises Failure."""
    for job in jobs:
        client.send("DELETE", job_path(job["name"]), if_match=f'"{job["version"]}"')
        if not as_json:
            print_text(f"Deleted {job['name']}; its runs stay on record.")
