"""Types of parameters take a type parameter with each version of click that is allowed."""

import click
import pytest
from click.testing import CliRunner

from jobs_app.cli.format import Choices
from jobs_app.cli.param_type import Choice, ParamType


def test_a_type_with_a_parameter_is_one_of_click() -> None:
    class Number(ParamType[int]):
        """A number."""

        name = "number"

    assert isinstance(Number(), click.ParamType)
    assert issubclass(ParamType[str], ParamType)


@pytest.mark.parametrize(
    "type_, typed",
    [
        (Choice(["active", "paused"]), "pausd"),
        (Choices(["active", "paused"], "STATE,…"), "active,pausd"),
    ],
    ids=["one_word", "several_words"],
)
def test_a_mistyped_word_gets_a_suggestion(type_: click.ParamType, typed: str) -> None:
    @click.command()
    @click.option("--state", type=type_)
    def show(state: object) -> None:
        """Show the state."""

    mistyped = CliRunner().invoke(show, ["--state", typed])
    unlike = CliRunner().invoke(show, ["--state", "zzz"])

    assert "'pausd' is not one of 'active', 'paused'. Did you mean 'paused'?" in mistyped.output
    assert (mistyped.exit_code, unlike.exit_code) == (2, 2)
    assert "Did you mean" not in unlike.output
