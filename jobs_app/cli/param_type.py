"""click's ParamType with a type parameter, which it takes itself only in later versions."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click import ParamType
else:

    class ParamType(click.ParamType):
        """The type of a parameter of the command line."""

        def __class_getitem__(cls, _: Any) -> type["ParamType"]:
            return cls


__all__ = ["ParamType"]
