"""Files of jobs: YAML, with or without the name of the set that the jobs belong to."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from jobs_app.cli.client import Json
from jobs_app.cli.job_options import read_text, writable

#: The files of a directory that hold jobs.
SUFFIXES = {".yaml", ".yml"}

#: A line of a crontab: five fields or a macro, then a command.
CRONTAB_LINE = re.compile(
    r"^[ \t]*(?:@[a-z]+|[\d*][\d*,/-]*(?:[ \t]+[\w*][\w*,/-]*){4})[ \t]+\S", re.MULTILINE
)
CRONTAB = (
    "This is a crontab, and the file must be YAML. To make jobs of a crontab: "
    "jobs-app import crontab FILE"
)


@dataclass(frozen=True, slots=True)
class JobFile:
    """The jobs of files, as they are sent, and the set that they name (None: none)."""

    set: str | None
    jobs: list[Json]


def read_file(source: str) -> JobFile:
    """Return the jobs in the file *source*; - is standard input. Raises UsageError."""
    # PyYAML takes a while to import; the other commands do not need it.
    from jobs_app.cli.yaml_format import read_set
    from jobs_app.core.yaml_values import MOST_CHARACTERS, Unreadable

    text = read_text(source, most=MOST_CHARACTERS + 1)
    try:
        name, jobs = read_set(text)
    except Unreadable as error:
        if CRONTAB_LINE.search(text):
            raise click.UsageError(CRONTAB) from error
        raise click.UsageError(f"{source}: {error}") from error
    return JobFile(name, [writable(job) for job in jobs])


def read_files(sources: Sequence[str]) -> JobFile:
    """Return the jobs of files and of the files in directories, as one set.

    Raises UsageError, also for a job that is in two files, and for files of two sets.
    """
    jobs: list[Json] = []
    places: dict[str, str] = {}
    sets: dict[str, str] = {}
    for source in _files(sources):
        file = read_file(source)
        if file.set is not None:
            sets.setdefault(file.set, source)
        for job in file.jobs:
            first = places.setdefault(job["name"], source)
            if first != source:
                raise click.UsageError(f"The job {job['name']!r} is in {first} and in {source}.")
        jobs += file.jobs
    if len(sets) > 1:
        (one, first), (other, second) = list(sets.items())[:2]
        raise click.UsageError(
            f"{first} is of the set {one!r}, and {second} of the set {other!r}: apply each by"
            " itself."
        )
    return JobFile(next(iter(sets), None), jobs)


def _files(sources: Sequence[str]) -> Iterator[str]:
    """Yield each file of *sources* once; a directory stands for the YAML files in it."""
    seen: set[str] = set()
    for source in sources:
        files = [source] if source == "-" or not Path(source).is_dir() else _files_in(Path(source))
        for file in files:
            if file not in seen:
                seen.add(file)
                yield file


def _files_in(directory: Path) -> list[str]:
    files = sorted(
        str(file)
        for file in directory.iterdir()
        if file.suffix in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )
    if not files:
        raise click.UsageError(f"{directory} has no file *.yaml or *.yml.")
    return files
