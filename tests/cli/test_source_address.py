"""An address may come from standard input, so that no list of processes shows its password."""

import click
import pytest
from click.testing import CliRunner

from jobs_app.cli.source_address import read_address


@click.command()
@click.argument("address")
def show(address: str) -> None:
    click.echo(read_address(address))


@pytest.mark.parametrize(
    "address, stdin, output",
    [("redis://a", "", "redis://a"), ("-", " redis://b \nmore\n", "redis://b")],
)
def test_an_address_is_typed_or_read(address: str, stdin: str, output: str) -> None:
    assert CliRunner().invoke(show, [address], input=stdin).stdout == f"{output}\n"


def test_standard_input_without_an_address_is_wrong_usage() -> None:
    assert CliRunner().invoke(show, ["-"], input="\n").exit_code == 2
