"""Commands that refuse an option with one value if it is typed twice.

click keeps the last value in silence. A job with two `--timezone` would lose the first one.
"""

import click


class SingleOptionCommand(click.Command):
    """A command whose options take one value each, unless they are made repeatable."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*; raises UsageError if an option with one value comes twice."""
        if not ctx.resilient_parsing:
            _, _, typed = self.make_parser(ctx).parse_args(list(args))
            for option in dict.fromkeys(typed):
                if _has_one_value(option) and typed.count(option) > 1:
                    raise click.UsageError(f"{option.opts[0]} comes twice, and has one value.", ctx)
        return super().parse_args(ctx, args)


def _has_one_value(option: click.Parameter) -> bool:
    is_repeatable = isinstance(option, click.Option) and (option.is_flag or option.count)
    return isinstance(option, click.Option) and not option.multiple and not is_repeatable
