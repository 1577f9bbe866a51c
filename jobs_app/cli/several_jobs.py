"""Commands that take several jobs, by name or by tag: each is done, and each is reported."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from jobs_app.cli.client import Client, Json
from jobs_app.cli.completion import job_names, tag_names
from jobs_app.cli.failure import NO_SUCH, OK, Failure, Unreachable
from jobs_app.cli.output import options, print_json, print_note
from jobs_app.cli.standard_streams import go_on_without_output
from jobs_app.core.text import counted

#: The argument and the option of such a command: `names` and `tag`.
jobs_options = options(
    click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=job_names),
    click.option("--tag", shell_complete=tag_names, help="All jobs with this tag."),
)


def selected_jobs(client: Client, names: Sequence[str], tag: str | None) -> list[str]:
    """Return the jobs that are named, or those with the tag; raises UsageError, Failure."""
    if bool(names) == (tag is not None):
        raise click.UsageError("Name jobs, or all jobs of a tag with --tag.")
    if tag is None:
        return list(dict.fromkeys(names))
    jobs = [str(job["name"]) for job in client.page("/jobs", limit=None, tag=tag)["items"]]
    if not jobs:
        raise Failure(f"No job has the tag {tag!r}.", NO_SUCH)
    return jobs


class Unchanged(dict[str, Any]):
    """The answer for a job that was as it should be already."""


@dataclass(slots=True)
class Batch:
    """What was done for several jobs: an answer of the API for each, and the worst exit code."""

    is_single: bool
    answers: list[Json] = field(default_factory=list)
    exit_code: int = OK

    def add_failure(self, name: str, failure: Failure) -> None:
        """Report what failed for one job; raise it if there is only this one."""
        if self.is_single:
            raise failure
        print_note(f"{name}: {failure.message}")
        self.answers.append({"name": name, "failure": failure.message})
        self.exit_code = max(self.exit_code, failure.exit_code)

    def finish(self, *, as_json: bool, summary: str) -> None:
        """Print the answers if *as_json*, and the *summary* of several; exit with the worst code.

        The summary is a note: it is seen where the output is cut short or is JSON.
        """
        if as_json and self.is_single:
            print_json(self.answers[0])
        elif as_json:
            print_json({"items": self.answers, "next_cursor": None})
        if not self.is_single:
            print_note(summary)
        if self.exit_code:
            sys.exit(self.exit_code)

    def summary(self, verb: str, noun: str = "job") -> str:
        """Return what *verb* was done to, as "Paused 2 jobs; 1 was so already."."""
        same = sum(isinstance(answer, Unchanged) for answer in self.answers)
        left = sum("failure" in answer for answer in self.answers)
        parts = [f"{verb} {counted(len(self.answers) - same - left, noun)}"]
        if same:
            parts.append(f"{same:,} {'was' if same == 1 else 'were'} so already")
        if left:
            parts.append(f"{left:,} {'was' if left == 1 else 'were'} not, as said above")
        return "; ".join(parts) + "."


def do_each(jobs: Sequence[str], act: Callable[[str], Json], *, is_single: bool) -> Batch:
    """Call *act* for each job and return the answers; a job that fails does not stop the others.

    Without a server, the rest is named as not done. Without a reader of the output, all are done.
    """
    go_on_without_output()
    batch = Batch(is_single)
    for number, name in enumerate(jobs):
        try:
            batch.answers.append(act(name))
        except Unreachable as failure:
            batch.add_failure(name, failure)
            if rest := jobs[number + 1 :]:
                print_note(f"Not tried: {', '.join(rest)}.")
                batch.answers += [{"name": each, "failure": "Not tried."} for each in rest]
            break
        except Failure as failure:
            batch.add_failure(name, failure)
    return batch


def each_job(
    client: Client,
    names: Sequence[str],
    tag: str | None,
    act: Callable[[str], Json],
    *,
    as_json: bool,
    verb: str,
) -> None:
    """Do *act* for the jobs that were typed, and finish the command with the sum of *verb*."""
    jobs = selected_jobs(client, names, tag)
    batch = do_each(jobs, act, is_single=is_single(names))
    batch.finish(as_json=as_json, summary=batch.summary(verb))


def is_single(names: Sequence[str]) -> bool:
    """Tell whether one job was named: its answer comes alone, and its failure is the command's."""
    return len(set(names)) == 1


def several(names: Sequence[str]) -> str:
    """Return how many jobs there are, with their names: `2 jobs (a, b)`; one by its name."""
    return names[0] if len(names) == 1 else f"{counted(len(names), 'job')} ({', '.join(names)})"
