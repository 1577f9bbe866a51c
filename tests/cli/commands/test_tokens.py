"""`jobs-app token`, on the database of the machine."""

import json
import stat
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from click.testing import Result

from jobs_app.accounts import tokens
from jobs_app.accounts.admin_token import ensure_admin_token
from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from tests.disk import full_disk

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _admin_token(settings: Settings) -> None:
    ensure_admin_token(settings)


def works(settings: Settings, token: str) -> bool:
    database = Database(settings.effective_database_url)
    try:
        with database.reading() as session:
            return tokens.find(session, token, at=clock.now()) is not None
    finally:
        database.close()


def test_a_token_is_printed_once_and_works(settings: Settings, run: Run) -> None:
    created = run("token", "create", "ci")
    listed = run("token", "list", "--json")

    token = created.stdout.strip()
    assert works(settings, token)
    assert token not in listed.stdout + created.stderr
    assert [item["name"] for item in json.loads(listed.stdout)["items"]] == ["admin", "ci"]


def test_the_list_shows_the_limits_of_a_token(settings: Settings, run: Run) -> None:
    run("token", "create", "team", "--scope", "read", "--tag", "billing", "--tag", "ops")
    run("token", "create", "whole")

    lines = run("token", "list").stdout.splitlines()

    assert lines[0].split()[:5] == ["ID", "NAME", "OWNER", "SCOPES", "TAGS"]
    limits = {line.split()[1]: line.split()[3:5] for line in lines[1:]}
    assert (limits["team"], limits["whole"]) == (["read", "billing,ops"], ["all", "all"])


def test_the_list_shows_when_a_token_ends(settings: Settings, run: Run) -> None:
    made = run("token", "create", "ci", "--expires", "90d", "--json")
    ended = run("token", "create", "old", "--expires", "0.001s", "--json")

    assert works(settings, json.loads(made.stdout)["token"])
    assert not works(settings, json.loads(ended.stdout)["token"])
    lines = run("token", "list").stdout.splitlines()
    heads = ["ID", "NAME", "OWNER", "SCOPES", "TAGS", "CREATED", "EXPIRES", "USED"]
    assert lines[0].split() == heads
    assert [line.split()[1] for line in lines[1:]] == ["admin", "ci", "old"]
    assert lines[1].split()[-2:] == ["never", "never"]
    assert json.loads(made.stdout)["expires_at"][:19] + "Z" in lines[2]


def test_a_revoked_token_works_no_longer(settings: Settings, run: Run) -> None:
    token = run("token", "create", "ci").stdout.strip()

    result = run("token", "revoke", "ci")

    assert result.exit_code == 0
    assert not works(settings, token)


def test_the_admins_token_is_replaced(settings: Settings, run: Run) -> None:
    old = settings.admin_token_file.read_text().strip()

    result = run("token", "revoke", "admin")

    new = settings.admin_token_file.read_text().strip()
    assert str(settings.admin_token_file) in result.stderr
    assert works(settings, new)
    assert not works(settings, old)
    assert new in settings.admin_token_header_file.read_text()
    assert stat.S_IMODE(settings.admin_token_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments, exit_code, sentence",
    [
        (("create", "admin"), 2, "admin is the name of the token in the file"),
        (("create", ""), 2, "printable"),
        (("create", "a\nb"), 2, "printable"),
        (("create", "x" * 101), 2, "1 to 100"),
        (("revoke", "nobody"), 3, "There is no token 'nobody'. There are: admin."),
        (("create", "ci", "--expires", "soon"), 2, "is not a duration"),
        (("create", "ci", "--expires", "0"), 2, "never works"),
        (("create", "ci", "--expires", "9999999w"), 2, "longer than any date"),
        (("create", "ci", "--expires", "999999999999d"), 2, "longer than any date"),
    ],
)
def test_a_wrong_call_is_a_sentence(
    run: Run, arguments: tuple[str, ...], exit_code: int, sentence: str
) -> None:
    result = run("token", *arguments)

    assert (result.exit_code, sentence in result.stderr) == (exit_code, True), result.stderr


def test_a_name_that_is_taken_is_refused(run: Run) -> None:
    run("token", "create", "ci")

    result = run("token", "create", "ci")

    assert result.exit_code == 4
    assert "There is a token 'ci' already." in result.stderr


def test_a_database_that_takes_no_write_is_one_sentence(run: Run, settings: Settings) -> None:
    with full_disk():
        result = run("token", "create", "ci")

    assert result.exit_code == 6
    assert result.stderr == (
        "jobs-app: The database cannot be written: its disk is full, or fails. Make room there, and"
        " try again.\n"
    )


def test_a_file_that_cannot_be_written_is_named(run: Run, settings: Settings) -> None:
    settings.admin_token_file.unlink()
    settings.admin_token_file.mkdir()

    result = run("token", "revoke", "admin")

    assert result.exit_code == 6
    assert str(settings.admin_token_file) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_token_may_have_an_owner_scopes_and_tags(run: Run) -> None:
    run("person", "add", "ann", "--role", "operator")

    made = json.loads(
        run(
            *("token", "create", "laptop", "--owner", "ann", "--scope", "read", "--tag", "billing"),
            *("--expires", "none", "--json"),
        ).stdout
    )

    assert made.pop("token").startswith("jobs_")
    assert made == {
        "name": "laptop",
        "owner": "ann",
        "scopes": ["read"],
        "tags": ["billing"],
        "expires_at": None,
    }


def test_a_token_ends_in_90_days_and_gets_a_service_account_of_its_name(run: Run) -> None:
    made = run("token", "create", "ci", "--json")

    end = datetime.fromisoformat(json.loads(made.stdout)["expires_at"])
    account = json.loads(run("person", "show", "ci", "--json").stdout)
    assert timedelta(days=89) < end - clock.now() < timedelta(days=91)
    assert (account["kind"], account["role"], account["tags"]) == ("service", "admin", None)


def test_a_token_without_owner_never_takes_the_rights_of_a_person(run: Run) -> None:
    run("person", "add", "ann", "--role", "admin")

    result = run("token", "create", "ann")

    assert (result.exit_code, "'ann' is a person" in result.stderr) == (4, True)
