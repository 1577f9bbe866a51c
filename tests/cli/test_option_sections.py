"""The help of `job create` and `job edit` has each option under a heading."""

import re

import click
import pytest

from jobs_app.cli.commands.job_group import job
from jobs_app.cli.commands.jobs import create
from jobs_app.cli.option_sections import JOB_SECTIONS, OTHERS
from tests.cli.conftest import Run


def headings(text: str) -> dict[str, list[str]]:
    """Return the options under each heading of a help text."""
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"(\S.*):", line):
            sections[heading[1]] = []
        elif option := re.match(r"  (?:-\w, )?(--[\w-]+)", line):
            list(sections.values())[-1].append(option[1])
    return sections


@pytest.mark.parametrize("command", ["create", "edit"])
def test_each_option_of_a_job_is_under_a_heading(command: str, run: Run) -> None:
    sections = headings(run("job", command, "--help").stdout)

    assert list(sections) == [*JOB_SECTIONS, OTHERS]
    assert sections[OTHERS] == ["--from", "--dry-run", "--json", "--help"]
    assert {"--cron", "--every", "--at", "--anchor", "--max-runs"} <= set(sections["Schedule"])
    assert {"--command", "--task", "--arg"} <= set(sections["What runs"])
    created = job.get_command(click.Context(job), command)
    assert created is not None
    expected = [*(p.opts[0] for p in created.params if isinstance(p, click.Option)), "--help"]
    assert sorted(flag for flags in sections.values() for flag in flags) == sorted(expected)


def test_each_name_in_a_section_is_a_parameter() -> None:
    names = {parameter.name for parameter in create.params}

    assert frozenset().union(*JOB_SECTIONS.values()) <= names
