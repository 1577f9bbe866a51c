"""Types of parameters: click's own with a type parameter, and words with suggestions.

click's types take a type parameter themselves only in later versions.
"""

from typing import TYPE_CHECKING, Any

import click

from jobs_app.core.text import did_you_mean

if TYPE_CHECKING:
    from click import ParamType

    WordsOfClick = click.Choice[str]
else:

    class ParamType(click.ParamType):
        """The type of a parameter of the command line."""

        def __class_getitem__(cls, _: Any) -> type["ParamType"]:
            return cls

    WordsOfClick = click.Choice


class Choice(WordsOfClick):
    """One of a set of words; the error of another word names the closest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(error.message + did_you_mean(str(value), self.choices), param, ctx)


__all__ = ["Choice", "ParamType"]
