"""Channels that get the output of imported jobs, where another scheduler mails it."""

from collections.abc import Sequence

from jobs_app.cli.client import Client, Json
from jobs_app.cli.failure import Failure

OUTPUT = "output"
NO_CHANNEL = (
    "No mail is sent for output, which is the log of a run: no channel is a default one. Add one"
    " (jobs-app channel add ops --default), then import again."
)
NOT_ASKED = (
    "No mail is sent for output, which is the log of a run (--mail-channel NAME: the channel gets"
    " it). Notifications tell of failures: jobs-app channel add."
)


def output_rules(client: Client, channel: str | None, *, is_like_cron: bool) -> list[Json]:
    """Return the rules of a job whose output is mailed: to *channel*, else the default channels.

    Each channel gets its own events besides, as rules take the place of the default channels.
    Without *channel* there are none unless *is_like_cron*. Raises Failure for one that is unknown.
    """
    if channel is None and not is_like_cron:
        return []
    channels = client.page("/channels", limit=None)["items"]
    names = [item["name"] for item in channels]
    if channel is not None and channel not in names:
        known = f" There are: {', '.join(names)}." if names else " There is none."
        raise Failure(f"There is no channel {channel!r}.{known}")
    return [
        {"channel": item["name"], "on": [*(e for e in item["events"] if e != OUTPUT), OUTPUT]}
        for item in channels
        if (item["is_default"] if channel is None else item["name"] == channel)
    ]


def mail_sentence(rules: Sequence[Json], *, is_like_cron: bool) -> str:
    """Return what becomes of the output of all jobs, for the report."""
    if not rules:
        return NO_CHANNEL if is_like_cron else NOT_ASKED
    names = ", ".join(rule["channel"] for rule in rules)
    return (
        f"The output of a run goes to the channel {names}, whatever address MAILTO names, unless"
        ' that is "".'
    )
