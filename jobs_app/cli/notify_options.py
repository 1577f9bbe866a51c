"""The options that say which channels get the notifications of a job."""

from copy import deepcopy
from typing import Any

import click

from jobs_app.cli.client import Json
from jobs_app.cli.completion import channel_names
from jobs_app.cli.format import Duration
from jobs_app.cli.output import options

NOTIFY = {"notify", "no_notify", "notify_after_failures", "notify_late_after"}


notify_options = options(
    click.option(
        "--notify",
        multiple=True,
        metavar="CHANNEL[:EVENT,…]",
        shell_complete=channel_names,
        help="Notify this channel; repeatable, '' for the default channels.",
    ),
    click.option("--no-notify", is_flag=True, help="Notify nobody."),
    click.option(
        "--notify-after-failures",
        type=click.IntRange(min=1),
        help="With --notify: only after this many failures in a row.",
    ),
    click.option(
        "--notify-late-after", type=Duration(), help="With --notify …:late: after this long."
    ),
)


def notify_from(options: dict[str, Any], *, base: list[Json] | None = None) -> list[Json] | None:
    """Return the rules that the options set, on top of *base*; None: the default channels."""
    channels = [text for text in options.get("notify") or () if text]
    if options.get("no_notify"):
        if channels or options.keys() & (NOTIFY - {"notify", "no_notify"}):
            raise click.UsageError("--no-notify goes with none of the other --notify options.")
        return []
    rules = [_rule_from(text) for text in channels] if "notify" in options else deepcopy(base)
    more = {
        name: options[option]
        for option, name in (
            ("notify_after_failures", "after_failures"),
            ("notify_late_after", "late_after_seconds"),
        )
        if option in options
    }
    if more and not rules:
        raise click.UsageError("Say which channel with --notify.")
    return [rule | more for rule in rules] if rules else None


def _rule_from(text: str) -> Json:
    channel, colon, events = text.partition(":")
    rule: Json = {"channel": channel.strip()}
    if colon:
        rule["on"] = [event.strip() for event in events.split(",") if event.strip()]
    return rule
