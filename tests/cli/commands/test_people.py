"""`jobs-app person`, on the database of the machine."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from jobs_app.accounts import links
from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent

Run = Callable[..., Result]


pytestmark = pytest.mark.usefixtures("settings")


def shown(run: Run, name: str) -> Any:
    return json.loads(run("person", "show", name, "--json").stdout)


def test_a_person_is_added_changed_disabled_and_removed(run: Run, settings: Settings) -> None:
    added = run("person", "add", "ann", "--role", "editor", "--grant", "commands", "--tag", "a")
    assert (added.exit_code, added.stdout) == (0, "Added ann, editor.\n")
    assert "as good as the role `admin`" in added.stderr
    assert (shown(run, "ann")["grants"], shown(run, "ann")["tags"]) == (["commands"], ["a"])

    assert run("person", "change", "ann", "--tag", "", "--grant", "").exit_code == 0
    assert (shown(run, "ann")["grants"], shown(run, "ann")["tags"]) == ([], None)
    again = run("person", "change", "ann", "--tag", "")
    assert (again.stdout, again.stderr) == (
        "ann has the role editor.\n",
        "It was so already: nothing was changed.\n",
    )
    assert run("person", "disable", "ann").stdout == "Disabled ann.\n"
    assert run("person", "disable", "ann").stdout == "ann was disabled already.\n"
    assert shown(run, "ann")["disabled_at"] is not None
    assert run("person", "enable", "ann").stdout == "Enabled ann.\n"
    assert run("person", "enable", "ann").stdout == "ann was not disabled.\n"
    words = " ".join(run("person", "show", "ann").stdout.split())
    assert "Password not yet: jobs-app person link ann State enabled" in words
    assert "Password" not in run("person", "show", "admin").stdout
    listed = run("person", "list").stdout.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [
        ["admin", "service", "admin"],
        ["ann", "person", "editor"],
    ]
    assert run("person", "remove", "ann", "--yes").exit_code == 0
    assert run("person", "show", "ann").exit_code == 3

    database = Database(settings.effective_database_url)
    with database.reading() as session:
        events = session.query(AuditEvent).all()
        assert {(event.actor, event.via) for event in events} == {("jobs-app person", "cli")}
    database.close()


@pytest.mark.parametrize(
    "arguments, exit_code, sentence",
    [
        (("add", "ann"), 2, "--role"),
        (("add", "a/b", "--role", "viewer"), 2, "must be 1 to 64"),
        (("add", "admin", "--role", "viewer"), 4, "There is an account 'admin' already."),
        (("add", "ann", "--role", "viewer", "--grant", "secrets"), 2, "Grants are for editors"),
        (("change", "admin", "--role", "viewer"), 4, "admin-token"),
        (("change", "admin"), 2, "Nothing to change"),
        (("show", "nobody"), 3, "There is no account 'nobody'."),
        (("remove", "admin", "--yes"), 4, "cannot be removed"),
    ],
)
def test_a_wrong_call_is_a_sentence(
    run: Run, arguments: tuple[str, ...], exit_code: int, sentence: str
) -> None:
    result = run("person", *arguments)

    assert (result.exit_code, sentence in result.stderr) == (exit_code, True), result.stderr


def test_a_link_for_a_password_is_printed_once(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PUBLIC_URL", "https://example.org/jobs")
    added = run("person", "add", "ann", "--role", "admin", "--link")
    lines = added.stdout.splitlines()
    made = json.loads(run("person", "link", "ann", "--json").stdout)

    assert lines[0] == "Added ann, admin."
    assert lines[1].startswith("https://example.org/jobs/links/")
    assert "It works once, until" in added.stderr
    assert made["link"].startswith("https://example.org/jobs/links/")
    assert made["link"] != lines[1]
    assert made["kind"] == "invitation"
    key = made["link"].rpartition("/")[2]
    database = Database(settings.effective_database_url)
    with database.reading() as session:
        assert links.find(session, key, at=clock.now())[1] is not None
    database.close()


def test_a_service_account_gets_no_link(run: Run) -> None:
    refused = run("person", "add", "ci", "--role", "operator", "--service", "--link")
    assert (refused.exit_code, "only tokens" in refused.stderr) == (2, True)
    assert run("person", "show", "ci").exit_code == 3
    link = run("person", "link", "admin")
    assert "is a service account" in link.stderr
    assert run("person", "link", "nobody").exit_code == 3
