"""`jobs-app channel` and `jobs-app notification`: who is told, and what was told."""

import secrets
import sys
from pathlib import Path
from typing import Any

import click

from jobs_app.cli.client import FAILED, Json, channel_path, connect
from jobs_app.cli.completion import channel_names, job_names
from jobs_app.cli.format import exact
from jobs_app.cli.output import (
    json_option,
    limit_options,
    print_fields,
    print_json,
    print_list_end,
    print_note,
    print_table,
    print_text,
)
from jobs_app.cli.run_view import when
from jobs_app.core import clock
from jobs_app.core.states import Event, NotificationState
from jobs_app.notifications.rules import SUBSCRIBABLE_EVENTS

name_argument = click.argument("name", shell_complete=channel_names)

#: Bytes of randomness in a secret that is made up for a webhook.
SECRET_BYTES = 32


class Events(click.ParamType[list[str]]):
    """Events, with commas between them, or `all`."""

    name = "EVENT,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        if isinstance(value, list):
            return value
        return events_from(str(value), self, param, ctx)


def events_from(
    text: str,
    kind: click.ParamType[Any],
    param: click.Parameter | None = None,
    ctx: click.Context | None = None,
) -> list[str]:
    """Return the events that *text* names; fails with what was expected."""
    known = [event.value for event in SUBSCRIBABLE_EVENTS]
    if text.strip().lower() == "all":
        return known
    given = [part.strip().lower() for part in text.split(",") if part.strip()]
    if unknown := [part for part in given if part not in known]:
        kind.fail(f"{unknown[0]!r} is no event: use {', '.join(known)}.", param, ctx)
    if not given:
        kind.fail(f"Name at least one event: {', '.join(known)}.", param, ctx)
    return given


def channel_options(command: Any) -> Any:
    """Add the options that say what a channel is."""
    for option in (
        click.option("--default/--no-default", "is_default", default=None, help=_DEFAULT_HELP),
        click.option("--events", type=Events(), help="What it is told: failed,lost or all."),
        click.option(
            "--secret-file", metavar="FILE", help="Secret of the webhook, or - for stdin."
        ),
        click.option("--webhook", metavar="URL", help="Call this address, signed, with JSON."),
        click.option("--url-file", metavar="FILE", help="The URL is in a file, or - for stdin."),
        click.option("--url", metavar="URL", help="One of apprise's, as mailto://USER:PASS@HOST."),
    ):
        command = option(command)
    return command


_DEFAULT_HELP = "Whether jobs that say nothing else are told of here."


@click.group()
def channel() -> None:
    """Say where notifications go: mail, chat, a webhook."""


@channel.command("list")
@limit_options
@json_option
def list_channels(limit: int | None, as_json: bool) -> None:
    """List channels by name. Their addresses are never shown."""
    page = connect().page("/channels", limit=limit)
    if as_json:
        print_json(page.as_json())
        return
    rows = [
        [
            item["name"],
            item["kind"],
            "yes" if item["is_default"] else "no",
            ", ".join(item["events"]),
        ]
        for item in page.items
    ]
    print_table(
        ["NAME", "KIND", "DEFAULT", "EVENTS"],
        rows,
        empty="No channels. Add one: jobs-app channel add ops --default --url mailto://…",
    )
    print_list_end(page)


@channel.command()
@name_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one channel, without its address."""
    answer = connect().get(channel_path(name)).body
    if as_json:
        print_json(answer)
        return
    print_fields(
        {
            "Channel": answer["name"],
            "Kind": answer["kind"],
            "Default": "yes" if answer["is_default"] else "no",
            "Events": ", ".join(answer["events"]),
            "Updated": f"{exact(answer['updated_at'])} (version {answer['version']})",
        }
    )


@channel.command()
@click.argument("name")
@channel_options
@json_option
def add(name: str, as_json: bool, **options: Any) -> None:
    """Add a channel.

    Without --url and --webhook the URL is asked for, and not shown: what is typed on a
    command line can be read by others on the machine.

    \b
    Examples:
      jobs-app channel add ops --default --url 'mailto://jobs:PASSWORD@example.org?to=ops@example.org'
      jobs-app channel add chat --events failed,recovered --url-file slack.txt
      jobs-app channel add desk --webhook https://desk.example.org/hook
    """
    body = {"name": name, **_said(options)}
    if not body.keys() & {"url", "webhook"}:
        body["url"] = click.prompt("URL", hide_input=True, err=True).strip()
    answer = connect().send("POST", "/channels", body=body).body
    _report(answer, "Added", body, options, as_json=as_json)


@channel.command()
@name_argument
@channel_options
@json_option
def edit(name: str, as_json: bool, **options: Any) -> None:
    """Change a channel; what is not named stays as it is."""
    body = _said(options)
    if not body:
        raise click.UsageError("Say what to change: --url, --webhook, --events or --default.")
    answer = connect().send("PATCH", channel_path(name), body=body, if_match="*").body
    _report(answer, "Changed", body, options, as_json=as_json)


@channel.command()
@name_argument
@json_option
def test(name: str, as_json: bool) -> None:
    """Send a test message and tell what became of it; exit with 1 if it did not arrive."""
    answer = connect().send("POST", f"{channel_path(name)}/test").body
    if as_json:
        print_json(answer)
    state = NotificationState(answer["state"])
    if state is NotificationState.SENT:
        if not as_json:
            print_text(f"Sent to {name}.")
        return
    if not as_json:
        if state is NotificationState.PENDING:
            print_note("No scheduler has sent it yet: is one running? It is sent when one does.")
        else:
            print_note(f"Not sent: {answer['error']}")
    sys.exit(FAILED)


@channel.command()
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, yes: bool) -> None:
    """Delete a channel that no job names."""
    client = connect()
    client.get(channel_path(name))
    if not yes:
        click.confirm(f"Delete the channel {name}?", abort=True, err=True)
    client.send("DELETE", channel_path(name), if_match="*")
    print_text(f"Deleted {name}.")


def _said(options: dict[str, Any]) -> Json:
    """Return what the options say, as the API wants it."""
    url, webhook = options["url"], options["webhook"]
    given = [flag for flag in ("url", "url_file", "webhook") if options[flag] is not None]
    if len(given) > 1:
        flags = " and ".join("--" + flag.replace("_", "-") for flag in given)
        raise click.UsageError(f"Give one address, not {flags}.")
    if options["secret_file"] is not None and webhook is None:
        raise click.UsageError("--secret-file goes with --webhook.")
    if options["url_file"] is not None:
        url = _text_of(options["url_file"])
    said: Json = {}
    if url is not None:
        said["url"] = url
    if webhook is not None:
        source = options["secret_file"]
        secret = secrets.token_urlsafe(SECRET_BYTES) if source is None else _text_of(source)
        said["webhook"] = {"url": webhook, "secret": secret}
    if options["events"] is not None:
        said["events"] = options["events"]
    if options["is_default"] is not None:
        said["is_default"] = options["is_default"]
    return said


def _text_of(source: str) -> str:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"Cannot read {source}: {error}.") from error
    if not text.strip():
        raise click.UsageError(f"There is nothing in {source}.")
    return text.strip()


def _report(answer: Json, verb: str, sent: Json, options: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        told = ", ".join(answer["events"])
        whose = "of all jobs that say nothing else" if answer["is_default"] else "where a job asks"
        print_text(f"{verb} {answer['name']} ({answer['kind']}): told {whose}: {told}.")
        print_note(f"Try it: jobs-app channel test {answer['name']}")
    if "webhook" in sent and options["secret_file"] is None:
        # Shown this once: nobody can read it back.
        print_note(f"Secret of its signatures, not shown again: {sent['webhook']['secret']}")


@click.group()
def notification() -> None:
    """See what was told, and what could not be."""


@notification.command("list")
@click.option("--job", shell_complete=job_names, help="Only of this job.")
@click.option("--channel", shell_complete=channel_names, help="Only to this channel.")
@click.option("--run", metavar="ID", help="Only of this run.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in NotificationState]),
    help="Only in this state.",
)
@click.option("--event", type=click.Choice([event.value for event in Event]), help="Only of this.")
@limit_options
@json_option
def list_notifications(limit: int | None, as_json: bool, **filters: str | None) -> None:
    """List notifications, the newest first, with what became of them."""
    page = connect().page("/notifications", limit=limit, **filters)
    if as_json:
        print_json(page.as_json())
        return
    at = clock.now()
    rows = [
        [
            when(item["created_at"], at=at),
            item["job"] or "-",
            item["event"],
            item["channel"],
            item["state"],
            str(item["tries"]),
            item["error"] or "-",
        ]
        for item in page.items
    ]
    print_table(
        ["WHEN", "JOB", "EVENT", "CHANNEL", "STATE", "TRIES", "ERROR"],
        rows,
        empty="No notifications.",
        droppable={"TRIES"},
    )
    print_list_end(page)
