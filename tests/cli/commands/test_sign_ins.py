"""`jobs-app person`: links and sessions."""

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from jobs_app.accounts import people, sessions
from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("settings")


def sign_in(settings: Settings, name: str) -> str:
    database = Database(settings.effective_database_url)
    with database.session() as session:
        browser = sessions.Browser("192.0.2.7", "Mozilla/5.0 (X11; Linux) Firefox/140.0")
        secret = sessions.start(session, people.get(session, name), browser, at=clock.now())
        session.commit()
    database.close()
    return secret


def test_links_are_listed_and_revoked(run: Run) -> None:
    assert "No link works." in run("person", "links").stderr
    run("person", "add", "ann", "--role", "viewer")
    made = json.loads(run("person", "link", "ann", "--json").stdout)

    (listed,) = json.loads(run("person", "links", "--json").stdout)["items"]
    assert listed | {"link": made["link"]} == made
    table = run("person", "links").stdout
    assert ("ann" in table, "invitation" in table, "/links/" in table) == (True, True, False)
    assert run("person", "revoke-link", "ann").stdout == "Revoked the link of ann.\n"
    again = run("person", "revoke-link", "ann")
    assert (again.exit_code, "no link for 'ann'" in again.stderr) == (3, True)


def test_sessions_are_listed_and_ended(run: Run, settings: Settings) -> None:
    run("person", "add", "ann", "--role", "viewer")
    assert "Not signed in" in run("person", "sessions", "ann").stderr
    secrets = [sign_in(settings, "ann") for _ in range(3)]

    answer = run("person", "sessions", "ann", "--json").stdout
    items = json.loads(answer)["items"]
    assert [item["browser"] for item in items] == ["Firefox on Linux"] * 3
    assert not any(secret in answer or sessions.digest(secret) in answer for secret in secrets)
    assert "192.0.2.7" in run("person", "sessions", "ann").stdout
    number = str(items[0]["id"])
    one = run("person", "sign-out", "ann", "--session", number)
    assert one.stdout == "Signed ann out in 1 browser.\n"
    again = run("person", "sign-out", "ann", "--session", number)
    assert (again.exit_code, f"no session {number}" in again.stderr) == (3, True)
    assert run("person", "sign-out", "ann").stdout == "Signed ann out in 2 browsers.\n"
    assert run("person", "sign-out", "ann").stdout == "ann was not signed in.\n"
    for command in ("sessions", "sign-out", "revoke-link"):
        assert run("person", command, "nobody").exit_code == 3
