"""`jobs-app channel`, `notification` and `--notify`: what is sent, printed, and the exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from jobs_app.cli.commands import notifications
from jobs_app.cli.completion import channel_names
from jobs_app.notifications.rules import SUBSCRIBABLE_EVENTS
from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, page, problem

Run = Callable[..., Result]

URL = "mailto://jobs:secret@example.org"


def a_channel(**facts: Any) -> dict[str, Any]:
    """Return a channel as the API writes it."""
    return {
        "name": "ops",
        "kind": "mailto",
        "events": ["failed", "lost"],
        "is_default": True,
        "version": 2,
        "created_at": "2026-11-01T00:00:00Z",
        "updated_at": "2026-11-01T00:00:00Z",
    } | facts


def a_notification(state: str = "sent", **facts: Any) -> dict[str, Any]:
    """Return a notification as the API writes it."""
    return {
        "id": RUN_ID,
        "channel": "ops",
        "event": "failed",
        "job": "nightly",
        "run_id": RUN_ID,
        "state": state,
        "count": 1,
        "tries": 1,
        "told_by": None,
        "created_at": "2026-11-01T00:00:00Z",
        "due_at": None,
        "sent_at": None,
        "error": None,
    } | facts


def test_channels_are_listed_without_their_addresses(server: CannedServer, run: Run) -> None:
    server.on("GET", "/channels", page(a_channel(), a_channel(name="chat", is_default=False)))

    result = run("channel", "list")

    assert result.stdout.splitlines() == [
        "NAME  KIND    DEFAULT  EVENTS",
        "ops   mailto  yes      failed, lost",
        "chat  mailto  no       failed, lost",
    ]


def test_an_empty_list_says_how_to_add_one(server: CannedServer, run: Run) -> None:
    server.on("GET", "/channels", page())

    result = run("channel", "list")

    assert (result.stdout, result.exit_code) == ("", 0)
    assert "jobs-app channel add" in result.stderr


@pytest.mark.parametrize(
    "arguments, stdin, sent",
    [
        (["--url", URL, "--default"], None, {"url": URL, "is_default": True}),
        (["--url-file", "-"], f"{URL}\n", {"url": URL}),
        ([], f"{URL}\n", {"url": URL}),
        (
            ["--url", URL, "--events", "failed, lost"],
            None,
            {"url": URL, "events": ["failed", "lost"]},
        ),
    ],
)
def test_an_address_is_given_read_or_asked_for(
    server: CannedServer,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    stdin: str | None,
    sent: dict[str, Any],
) -> None:
    server.on("POST", "/channels", Canned(a_channel(), 201))
    monkeypatch.setattr(notifications, "can_ask", lambda: True)

    result = run("channel", "add", "ops", *arguments, stdin=stdin)

    assert result.exit_code == 0
    assert server.requests[0].body == {"name": "ops", **sent}
    assert "secret" not in result.stdout + result.stderr


def test_without_a_terminal_no_address_is_asked_for(server: CannedServer, run: Run) -> None:
    result = run("channel", "add", "ops", stdin=f"{URL}\n")

    assert (result.exit_code, server.requests) == (2, [])
    assert "Add --url-file FILE, or --url-file -" in result.stderr


@pytest.mark.parametrize(
    "is_default, jobs", [(True, "jobs without rules of their own"), (False, "jobs that name it")]
)
def test_a_new_channel_shows_its_events_and_why_it_cannot_work(
    server: CannedServer, run: Run, is_default: bool, jobs: str
) -> None:
    warning = "No message can be sent: 10.1.2.3 is private."
    stored = a_channel(is_default=is_default, warnings=[warning])
    server.on("POST", "/channels", Canned(stored, 201))

    result = run("channel", "add", "ops", "--url", URL)

    assert result.stdout == f"Added ops (mailto). It gets failed, lost of {jobs}.\n"
    assert warning in result.stderr


def test_a_webhook_gets_a_secret_that_is_shown_once(server: CannedServer, run: Run) -> None:
    server.on("POST", "/channels", Canned(a_channel(kind="webhook"), 201))

    result = run("channel", "add", "desk", "--webhook", "https://desk.example.org/hook")

    sent = server.requests[0].body["webhook"]
    assert sent["url"] == "https://desk.example.org/hook"
    assert len(sent["secret"]) >= 40
    assert sent["secret"] in result.stderr
    assert sent["secret"] not in result.stdout


def test_a_secret_of_ones_own_is_not_printed(
    server: CannedServer, run: Run, tmp_path: Path
) -> None:
    server.on("POST", "/channels", Canned(a_channel(kind="webhook"), 201))
    (tmp_path / "secret").write_text("sixteen letters at least\n")

    result = run(
        *("channel", "add", "desk", "--webhook", "https://desk.example.org"),
        *("--secret-file", str(tmp_path / "secret")),
    )

    assert server.requests[0].body["webhook"]["secret"] == "sixteen letters at least"
    assert "sixteen" not in result.stdout + result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "ops", "--url", URL, "--webhook", "https://example.org"],
        ["add", "ops", "--url", URL, "--events", "fails"],
        ["add", "ops", "--url", URL, "--events", ","],
        ["add", "ops", "--url", URL, "--secret-file", "-"],
        ["add", "ops", "--url-file", "/nowhere"],
        ["edit", "ops"],
    ],
)
def test_wrong_usage_sends_nothing(server: CannedServer, run: Run, arguments: list[str]) -> None:
    result = run("channel", *arguments)

    assert (result.exit_code, server.requests) == (2, [])


def test_an_edit_sends_what_is_named(server: CannedServer, run: Run) -> None:
    server.on("PATCH", "/channels/ops", Canned(a_channel(is_default=False)))

    result = run("channel", "edit", "ops", "--no-default", "--events", "all")

    sent = server.requests[0]
    assert (result.exit_code, sent.headers["If-Match"]) == (0, "*")
    assert sent.body["is_default"] is False
    assert len(sent.body["events"]) == len(SUBSCRIBABLE_EVENTS)


@pytest.mark.parametrize(
    "answer, code, sentence",
    [
        (Canned(a_notification()), 0, "Sent to ops."),
        (
            Canned(a_notification("failed", error="It answered 500.")),
            1,
            "Not sent: It answered 500.",
        ),
        (Canned(a_notification("pending"), 202), 1, "No scheduler has sent it yet"),
        (
            problem(404, code="channel_not_found", detail="There is no channel 'ops'."),
            3,
            "no channel",
        ),
    ],
)
def test_a_test_exits_with_its_outcome(
    server: CannedServer, run: Run, answer: Canned, code: int, sentence: str
) -> None:
    server.on("POST", "/channels/ops/test", answer)

    result = run("channel", "test", "ops")

    assert result.exit_code == code
    assert sentence in result.stdout + result.stderr


def test_a_test_as_json_has_the_same_exit_code(server: CannedServer, run: Run) -> None:
    server.on("POST", "/channels/ops/test", Canned(a_notification("failed")))

    result = run("channel", "test", "ops", "--json")

    assert (json.loads(result.stdout)["state"], result.exit_code) == ("failed", 1)


def test_a_channel_is_deleted_after_asking(server: CannedServer, run: Run) -> None:
    server.on("GET", "/channels/ops", Canned(a_channel()))
    server.on("DELETE", "/channels/ops", Canned(None, 204))

    refusal = run("channel", "delete", "ops", stdin="n\n")
    deletion = run("channel", "delete", "ops", "-y")

    assert (refusal.exit_code, deletion.exit_code) == (2, 0)
    assert "Add --yes to delete without being asked." in refusal.stderr
    assert [request.method for request in server.requests] == ["GET", "GET", "DELETE"]


def test_notifications_are_listed_with_what_became_of_them(server: CannedServer, run: Run) -> None:
    failed = a_notification("failed", error="It answered 500.", tries=8)
    server.on("GET", "/notifications", page(a_notification(), failed))

    result = run("notification", "list", "--job", "nightly", "--state", "failed", "--run", RUN_ID)

    assert server.requests[0].query == {
        "job": "nightly",
        "state": "failed",
        "run": RUN_ID,
        "limit": "50",
    }
    assert result.stdout.splitlines() == [
        "WHEN                  JOB      EVENT   CHANNEL  STATE   TRIES  ERROR",
        "2026-11-01T00:00:00Z  nightly  failed  ops      sent    1      -",
        "2026-11-01T00:00:00Z  nightly  failed  ops      failed  8      It answered 500.",
    ]


@pytest.mark.parametrize(
    "arguments, rules",
    [
        (["--notify", "ops"], [{"channel": "ops"}]),
        (
            ["--notify", "ops:failed, lost", "--notify", "chat"],
            [{"channel": "ops", "on": ["failed", "lost"]}, {"channel": "chat"}],
        ),
        (
            ["--notify", "ops", "--notify-after-failures", "3", "--notify-late-after", "10m"],
            [{"channel": "ops", "after_failures": 3, "late_after_seconds": 600}],
        ),
        (["--no-notify"], []),
        (["--notify", ""], None),
    ],
)
def test_a_new_job_shows_its_channels(
    server: CannedServer, run: Run, arguments: list[str], rules: list[dict[str, Any]] | None
) -> None:
    server.on("POST", "/jobs", Canned(a_job(), 201))

    result = run("job", "create", "hello", "--command", "date", *arguments)

    assert result.exit_code == 0, result.stderr
    assert server.requests[0].body["notify"] == rules


def test_a_job_that_says_nothing_sends_nothing_of_it(server: CannedServer, run: Run) -> None:
    server.on("POST", "/jobs", Canned(a_job(), 201))

    run("job", "create", "hello", "--command", "date")

    assert "notify" not in server.requests[0].body


def test_an_edit_changes_the_rules_that_there_are(server: CannedServer, run: Run) -> None:
    there = a_job(notify=[{"channel": "ops", "on": None, "after_failures": 1}])
    server.on("GET", "/jobs/hello", Canned(there, headers={"ETag": '"3"'}))
    server.on("PATCH", "/jobs/hello", Canned(there))

    result = run("job", "edit", "hello", "--notify-after-failures", "3")

    assert result.exit_code == 0, result.stderr
    assert server.requests[1].body == {
        "notify": [{"channel": "ops", "on": None, "after_failures": 3}]
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-notify", "--notify", "ops"],
        ["--notify-after-failures", "3"],
        ["--notify", "ops", "--notify-after-failures", "0"],
    ],
)
def test_rules_that_contradict_each_other_are_wrong_usage(
    server: CannedServer, run: Run, arguments: list[str]
) -> None:
    result = run("job", "create", "hello", "--command", "date", *arguments)

    assert (result.exit_code, server.requests) == (2, [])


@pytest.mark.parametrize(
    "rules, value",
    [
        (None, None),
        ([], "nobody"),
        (
            [{"channel": "ops", "on": ["failed"], "after_failures": 3}, {"channel": "chat"}],
            "ops (failed) after 3 failures, chat",
        ),
    ],
)
def test_a_job_shows_its_channels(
    server: CannedServer, run: Run, rules: list[dict[str, Any]] | None, value: str | None
) -> None:
    server.on("GET", "/jobs/hello", Canned(a_job(schedule=None, notify=rules)))
    server.on("GET", "/runs", page())

    lines = [line.split(None, 1) for line in run("job", "show", "hello").stdout.splitlines()]

    values = [line[1] for line in lines if line and line[0] == "Notify"]
    assert values == ([] if value is None else [value])


def test_the_tab_key_offers_channels(server: CannedServer) -> None:
    server.on("GET", "/channels", page(a_channel(), a_channel(name="other")))
    command = click.Command("x", params=[click.Argument(["name"])])

    assert channel_names(click.Context(command), command.params[0], "op") == ["ops"]
