"""The commands of `jobs-app job` are where their group looks for them."""

import click
import pytest

from jobs_app.cli.commands.job_group import job


@pytest.mark.parametrize("name", job.list_commands(click.Context(job)))
def test_each_command_has_the_name_by_which_it_is_found(name: str) -> None:
    command = job.get_command(click.Context(job), name)

    assert command is not None
    assert command.name == name
