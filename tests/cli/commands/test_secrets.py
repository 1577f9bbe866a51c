"""`jobs-app secret`: a value is never an argument, and never printed."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from jobs_app.cli.completion import secret_names
from jobs_app.core.settings import Settings
from jobs_app.secrets.encryption import Cipher, load_cipher
from tests.cli.canned import Canned, CannedServer, page, problem

Run = Callable[..., Result]

VALUE = "hunter2"
ETAG = {"ETag": '"3"'}


def a_secret(**facts: Any) -> dict[str, Any]:
    return {
        "name": "TOKEN",
        "description": "GitHub",
        "version": 3,
        "created_at": "2026-11-01T00:00:00Z",
        "updated_at": "2026-11-02T00:00:00Z",
        "updated_by": "ann",
        "last_used_at": None,
        "jobs": ["hello"],
    } | facts


@pytest.fixture
def absent(server: CannedServer) -> CannedServer:
    """A server that has no secret TOKEN yet, and takes it."""
    server.on("GET", "/secrets/TOKEN", problem(404, code="secret_not_found", detail="No TOKEN."))
    server.on("PUT", "/secrets/TOKEN", Canned(a_secret(version=1), 201))
    return server


@pytest.fixture
def present(server: CannedServer) -> CannedServer:
    """A server that has a secret TOKEN, at version 3."""
    server.on("GET", "/secrets/TOKEN", Canned(a_secret(), headers=ETAG))
    server.on("PUT", "/secrets/TOKEN", Canned(a_secret(version=4)))
    server.on("DELETE", "/secrets/TOKEN", Canned(None, 204))
    return server


def test_the_list_shows_when_each_was_changed_and_used(server: CannedServer, run: Run) -> None:
    used = a_secret(name="B", last_used_at="2026-11-03T00:00:00Z", description="")
    server.on("GET", "/secrets", page(a_secret(), used))

    result = run("secret", "list")

    assert result.stdout.splitlines() == [
        "NAME   CHANGED               USED                  DESCRIPTION",
        "TOKEN  2026-11-02T00:00:00Z  never                 GitHub",
        "B      2026-11-02T00:00:00Z  2026-11-03T00:00:00Z  -",
    ]


def test_an_empty_list_says_what_to_do(server: CannedServer, run: Run) -> None:
    server.on("GET", "/secrets", page())

    result = run("secret", "list")

    assert result.stdout == ""
    assert "jobs-app secret set" in result.stderr


def test_show_says_how_to_refer_to_it_and_who_does(present: CannedServer, run: Run) -> None:
    result = run("secret", "show", "TOKEN")

    assert "${secret:TOKEN}" in result.stdout
    assert "hello" in result.stdout
    assert "by ann (version 3)" in result.stdout
    assert json.loads(run("secret", "show", "TOKEN", "--json").stdout) == a_secret()


def test_a_new_secret_is_read_from_standard_input(absent: CannedServer, run: Run) -> None:
    result = run("secret", "set", "TOKEN", "--from", "-", "--description", "x", stdin=f"{VALUE}\n")

    assert result.exit_code == 0
    assert result.stdout == "Stored TOKEN. Jobs refer to it as ${secret:TOKEN}.\n"
    sent = absent.requests[-1]
    assert sent.body == {"value": VALUE, "description": "x"}
    assert "If-Match" not in sent.headers


def test_a_change_sends_the_version_that_was_read(present: CannedServer, run: Run) -> None:
    result = run("secret", "set", "TOKEN", "--from", "-", stdin=VALUE)

    assert result.stdout.startswith("Changed TOKEN.")
    assert present.requests[-1].headers["If-Match"] == '"3"'
    assert present.requests[-1].body == {"value": VALUE}


def test_somebody_who_was_faster_is_exit_code_4(present: CannedServer, run: Run) -> None:
    present.on("PUT", "/secrets/TOKEN", problem(412, code="stale_version", detail="Read again."))

    assert run("secret", "set", "TOKEN", "--from", "-", stdin=VALUE).exit_code == 4


@pytest.mark.parametrize(
    "written, value",
    [("a b\n", "a b"), ("a b\r\n", "a b"), ("a b", "a b"), ("a\nb\n", "a\nb\n"), (" a \n", " a ")],
)
def test_only_the_line_end_of_a_single_line_is_no_part_of_the_value(
    absent: CannedServer, run: Run, tmp_path: Path, written: str, value: str
) -> None:
    file = tmp_path / "value"
    file.write_bytes(written.encode())

    run("secret", "set", "TOKEN", "--from", str(file))

    assert absent.requests[-1].body == {"value": value}


def test_without_a_terminal_and_without_a_source_nothing_is_asked(
    absent: CannedServer, run: Run
) -> None:
    result = run("secret", "set", "TOKEN", stdin=VALUE)

    assert result.exit_code == 2
    assert "--from -" in result.stderr
    assert absent.requests == []


def test_a_value_is_not_taken_as_an_argument(absent: CannedServer, run: Run) -> None:
    assert run("secret", "set", "TOKEN", VALUE).exit_code == 2
    assert absent.requests == []


def test_a_file_that_is_no_text_is_refused_without_showing_it(
    absent: CannedServer, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "value"
    file.write_bytes(b"\xffhunter2")

    result = run("secret", "set", "TOKEN", "--from", str(file))

    assert result.exit_code == 2
    assert "UTF-8" in result.stderr
    assert VALUE not in result.output


def test_a_value_typed_at_a_terminal_is_not_shown(absent: CannedServer) -> None:
    terminal, child_terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs_app", "secret", "set", "TOKEN"],
        stdin=child_terminal,
        stdout=child_terminal,
        stderr=child_terminal,
        start_new_session=True,
    )
    os.close(child_terminal)
    output = b""
    for prompt in (b"Value of TOKEN:", b"Once more:"):
        while prompt not in output:
            output += os.read(terminal, 1024)
        os.write(terminal, f"{VALUE}\n".encode())
    # Reading from a terminal that nobody has open any more is an error.
    with suppress(OSError):
        while data := os.read(terminal, 1024):
            output += data
    os.close(terminal)

    assert process.wait() == 0
    assert absent.requests[-1].body == {"value": VALUE}
    assert VALUE.encode() not in output
    assert b"Stored TOKEN." in output


def test_the_description_alone_can_be_changed(present: CannedServer, run: Run) -> None:
    run("secret", "set", "TOKEN", "--keep-value", "--description", "new")

    assert present.requests[-1].body == {"description": "new"}


@pytest.mark.parametrize("options", [["--keep-value"], ["--keep-value", "--from", "-"]])
def test_keeping_the_value_wants_something_else_to_change(
    present: CannedServer, run: Run, options: list[str]
) -> None:
    assert run("secret", "set", "TOKEN", *options).exit_code == 2


def test_the_warnings_of_the_server_are_shown(server: CannedServer, run: Run) -> None:
    server.on("GET", "/secrets/TOKEN", problem(404, code="secret_not_found", detail="No TOKEN."))
    server.on("PUT", "/secrets/TOKEN", Canned(a_secret(warnings=["It is too short."]), 201))

    result = run("secret", "set", "TOKEN", "--from", "-", stdin="abc")

    assert result.exit_code == 0
    assert "It is too short." in result.stderr


def test_deleting_is_asked_for_and_sends_the_version(present: CannedServer, run: Run) -> None:
    assert run("secret", "delete", "TOKEN").exit_code == 2
    result = run("secret", "delete", "TOKEN", "--yes", "--force")

    assert result.stdout == "Deleted TOKEN.\n"
    assert "hello" in result.stderr
    assert present.requests[-1].headers["If-Match"] == '"3"'
    assert present.requests[-1].query == {"force": "true"}


def test_a_secret_in_use_is_exit_code_4(present: CannedServer, run: Run) -> None:
    in_use = problem(409, code="secret_in_use", detail="The secret 'TOKEN' is used by hello.")
    present.on("DELETE", "/secrets/TOKEN", in_use)

    result = run("secret", "delete", "TOKEN", "--yes")

    assert result.exit_code == 4
    assert "used by hello" in result.stderr


def test_names_are_completed(server: CannedServer) -> None:
    server.on("GET", "/secrets", page(a_secret(), a_secret(name="OTHER")))
    context: Any = None
    assert secret_names(context, context, "TO") == ["TOKEN"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_key_is_rotated_on_the_servers_machine(
    run: Run, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=database_url)
    monkeypatch.setenv("JOBS_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("JOBS_DATABASE_URL", database_url)

    assert run("secret", "rotate").exit_code == 2
    old = load_cipher(settings, makes_key=True)
    result = run("secret", "rotate")

    assert result.stdout == "Encrypted 0 values anew, with the new key.\n"
    assert str(settings.secret_key_file) in result.stderr
    assert Cipher(settings.secret_key_file.read_text()).decrypt(old.encrypt("x")) == "x"
