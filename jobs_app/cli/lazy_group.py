"""Groups of commands that import a command only when it is asked for."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from jobs_app.core.text import did_you_mean


class LazyGroup(click.Group):
    """A group of commands, each with the module and the name (`module:name`) where it is."""

    def __init__(self, *arguments: Any, modules: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        module, _, attribute = self.modules[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # click suggests only commands that it has, and ours are not imported.
        name = args[0]
        if not (name in self.modules or name.startswith("-") or ctx.resilient_parsing):
            ctx.fail(f"No such command {name!r}.{did_you_mean(name, self.modules)}")
        return super().resolve_command(ctx, args)
