"""`jobs-app channel` and `jobs-app notification`: channels, and what was sent to them."""

import secrets
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

from jobs_app.cli.client import Json, connect
from jobs_app.cli.completion import channel_names, job_names, parts_of, run_or_job_names
from jobs_app.cli.failure import FAILED
from jobs_app.cli.format import exact
from jobs_app.cli.job_options import read_text
from jobs_app.cli.output import (
    any_of,
    as_fields,
    as_table,
    confirm_deletion,
    json_option,
    json_or,
    limit_options,
    options,
    print_json,
    print_note,
    print_text,
    print_warnings,
)
from jobs_app.cli.param_type import ParamType
from jobs_app.cli.paths import channel_path
from jobs_app.cli.run_ids import run_id_of
from jobs_app.cli.run_view import instant_text
from jobs_app.cli.single_options import SingleOptionCommand
from jobs_app.core.states import Event, NotificationState
from jobs_app.notifications.rules import SUBSCRIBABLE_EVENTS

name_argument = click.argument("name", shell_complete=channel_names)

#: Random bytes in a secret that is generated for a webhook.
SECRET_BYTES = 32


class Events(ParamType[list[str]]):
    """Events, with commas between them, or `all`."""

    name = "EVENT,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        known = [event.value for event in SUBSCRIBABLE_EVENTS]
        events = [part.strip().lower() for part in str(value).split(",") if part.strip()]
        if events == ["all"]:
            return known
        if unknown := [event for event in events if event not in known]:
            self.fail(f"{unknown[0]!r} is no event: use {', '.join(known)}.", param, ctx)
        if not events:
            self.fail(f"Name at least one event: {', '.join(known)}.", param, ctx)
        return events

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return parts_of([*SUBSCRIBABLE_EVENTS, "all"], incomplete)


channel_options = options(
    click.option("--url", metavar="URL", help="One of apprise's, as mailto://USER:PASS@HOST."),
    click.option("--url-file", metavar="FILE", help="The URL is in a file, or - for stdin."),
    click.option("--webhook", metavar="URL", help="Call this address, signed, with JSON."),
    click.option("--secret-file", metavar="FILE", help="Secret of the webhook, or - for stdin."),
    click.option("--events", type=Events(), help="Events that it gets: failed,lost or all."),
    click.option(
        "--default/--no-default",
        "is_default",
        default=None,
        help="Notify it of jobs that have no rules of their own.",
    ),
)


@click.group()
def channel() -> None:
    """Say where notifications go: mail, chat, a webhook."""


@channel.command("list")
@limit_options
@json_or(
    as_table(
        {
            "NAME": lambda item: item["name"],
            "KIND": lambda item: item["kind"],
            "DEFAULT": lambda item: "yes" if item["is_default"] else "no",
            "EVENTS": lambda item: ", ".join(item["events"]),
        },
        empty="No channels. Add one: jobs-app channel add ops --default --url mailto://…",
    )
)
def list_channels(limit: int | None) -> Json:
    """List channels by name. Their addresses are never shown."""
    return connect().page("/channels", limit=limit)


def _channel_fields(item: Json) -> dict[str, str | None]:
    return {
        "Channel": item["name"],
        "Kind": item["kind"],
        "Default": "yes" if item["is_default"] else "no",
        "Events": ", ".join(item["events"]),
        "Updated": f"{exact(item['updated_at'])} (version {item['version']})",
    }


@channel.command()
@name_argument
@json_or(as_fields(_channel_fields))
def show(name: str) -> Json:
    """Show one channel, without its address."""
    return connect().read(channel_path(name))


@channel.command(cls=SingleOptionCommand)
@click.argument("name")
@channel_options
@json_option
def add(name: str, as_json: bool, **options: Any) -> None:
    """Add a channel.

    Without --url and --webhook the URL is asked for, and not shown: what is typed on a
    command line can be read by others on the machine.

    \b
    Examples:
      jobs-app channel add ops --default
      jobs-app channel add chat --events failed,recovered --url-file slack.txt
      jobs-app channel add desk --webhook https://desk.example.org/hook
    """
    body = {"name": name, **_channel_body(options)}
    if not body.keys() & {"url", "webhook"}:
        if not can_ask():
            raise click.UsageError(
                "Add --url-file FILE, or --url-file - to read the URL from here."
            )
        body["url"] = click.prompt("URL", hide_input=True, err=True).strip()
    answer = connect().post("/channels", body)
    _report(answer, "Added", body, options, as_json=as_json)


@channel.command(cls=SingleOptionCommand)
@name_argument
@channel_options
@json_option
def edit(name: str, as_json: bool, **options: Any) -> None:
    """Change a channel; what is not named stays as it is."""
    body = _channel_body(options)
    if not body:
        raise click.UsageError("Say what to change: --url, --webhook, --events or --default.")
    answer = connect().send("PATCH", channel_path(name), body=body, if_match="*").body
    _report(answer, "Changed", body, options, as_json=as_json)


@channel.command()
@name_argument
@json_option
def test(name: str, as_json: bool) -> None:
    """Send a test message and print the result; exit with 1 if it was not sent."""
    answer = connect().post(f"{channel_path(name)}/test")
    state = NotificationState(answer["state"])
    if as_json:
        print_json(answer)
    elif state is NotificationState.SENT:
        print_text(f"Sent to {name}.")
    elif state is NotificationState.PENDING:
        print_note("No scheduler has sent it yet: is one running? It is sent when one does.")
    else:
        print_note(f"Not sent: {answer['error']}")
    if state is not NotificationState.SENT:
        sys.exit(FAILED)


@channel.command()
@name_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(name: str, yes: bool) -> None:
    """Delete a channel that no job names."""
    client = connect()
    client.get(channel_path(name))
    confirm_deletion(f"Delete the channel {name}?", yes=yes)
    client.send("DELETE", channel_path(name), if_match="*")
    print_text(f"Deleted {name}.")


def can_ask() -> bool:
    """Tell whether a person can type an answer."""
    return sys.stdin.isatty()


def _channel_body(options: dict[str, Any]) -> Json:
    """Return the fields of a channel that the options set, as the API takes them."""
    url, webhook = options["url"], options["webhook"]
    addresses = [name for name in ("url", "url_file", "webhook") if options[name] is not None]
    if len(addresses) > 1:
        flags = " and ".join("--" + name.replace("_", "-") for name in addresses)
        raise click.UsageError(f"Give one address, not {flags}.")
    if options["secret_file"] is not None and webhook is None:
        raise click.UsageError("--secret-file goes with --webhook.")
    if options["url_file"] is not None:
        url = _text_of(options["url_file"])
    fields = {"url": url, "events": options["events"], "is_default": options["is_default"]}
    body = {name: value for name, value in fields.items() if value is not None}
    if webhook is not None:
        source = options["secret_file"]
        secret = secrets.token_urlsafe(SECRET_BYTES) if source is None else _text_of(source)
        body["webhook"] = {"url": webhook, "secret": secret}
    return body


def _text_of(source: str) -> str:
    if not (text := read_text(source).strip()):
        raise click.UsageError(f"There is nothing in {source}.")
    return text


def _report(answer: Json, verb: str, sent: Json, options: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        events = ", ".join(answer["events"])
        jobs = "jobs without rules of their own" if answer["is_default"] else "jobs that name it"
        print_text(f"{verb} {answer['name']} ({answer['kind']}). It gets {events} of {jobs}.")
        print_warnings(answer.get("warnings") or ())
        print_note(f"Try it: jobs-app channel test {answer['name']}")
    if "webhook" in sent and options["secret_file"] is None:
        # The API never returns the secret: this is the only time it is printed.
        print_note(f"Secret of its signatures, not shown again: {sent['webhook']['secret']}")


@click.group()
def notification() -> None:
    """See which notifications were sent, and which failed."""


@notification.command("list")
@click.option("--job", shell_complete=job_names, help="Only of this job.")
@click.option("--channel", shell_complete=channel_names, help="Only to this channel.")
@click.option("--run", metavar="ID|JOB", shell_complete=run_or_job_names, help="Only of this run.")
@any_of("--state", NotificationState, "Only in one of these states: failed,suppressed.")
@any_of("--event", Event, "Only of one of these events: failed,lost.")
@limit_options
@json_or(
    as_table(
        {
            "WHEN": lambda item: instant_text(item["created_at"]),
            "JOB": lambda item: item["job"] or "-",
            "EVENT": lambda item: item["event"],
            "CHANNEL": lambda item: item["channel"],
            "STATE": lambda item: item["state"],
            "TRIES": lambda item: str(item["tries"]),
            "ERROR": lambda item: item["error"] or "-",
        },
        empty="No notifications.",
        droppable={"TRIES"},
    )
)
def list_notifications(limit: int | None, run: str | None, **filters: str | None) -> Json:
    """List notifications, the newest first, with what became of them."""
    client = connect()
    run_id = None if run is None else run_id_of(client, run)
    return client.page("/notifications", limit=limit, run=run_id, **filters)
