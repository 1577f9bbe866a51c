"""Types of parameters take a type parameter with each version of click that is allowed."""

import click

from jobs_app.cli.param_type import ParamType


def test_a_type_with_a_parameter_is_one_of_click() -> None:
    class Number(ParamType[int]):
        """A number."""

        name = "number"

    assert isinstance(Number(), click.ParamType)
    assert issubclass(ParamType[str], ParamType)
