"""A job in an editor."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.canned import Canned, CannedServer, a_job, problem
from tests.cli.commands.test_jobs import VERSION_3, editor

Run = Callable[..., Result]


def test_without_options_the_editor_replaces_the_job(
    server: CannedServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = "path.write_text(path.read_text().replace('date', 'uptime'))"
    monkeypatch.setenv("EDITOR", editor(tmp_path, change))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("jobs_app.cli.commands.jobs.has_terminal", lambda: True)
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("PUT", "/jobs/hello", Canned(a_job(version=4)))

    result = run("job", "edit", "hello")

    assert result.exit_code == 0
    assert server.requests[1].headers["If-Match"] == '"3"'
    assert server.requests[1].body["kwargs"] == {"command": "uptime"}
    assert "version" not in server.requests[1].body


def test_the_editor_opens_again_on_what_is_not_yaml(
    server: CannedServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_then_mend = (
        "text = path.read_text()\n"
        "mended = text.replace('!: [', '').replace('date', 'uptime')\n"
        "path.write_text(mended if '!: [' in text else text + '!: [')"
    )
    monkeypatch.setenv("EDITOR", editor(tmp_path, spoil_then_mend))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("jobs_app.cli.commands.jobs.has_terminal", lambda: True)
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("PUT", "/jobs/hello", Canned(a_job(version=4)))

    result = run("job", "edit", "hello", stdin="y\n")

    assert "This is not YAML: " in result.stderr
    assert result.exit_code == 0
    assert server.requests[1].body["kwargs"] == {"command": "uptime"}


def test_what_was_typed_is_kept_when_somebody_else_was_faster(
    server: CannedServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = "path.write_text(path.read_text().replace('date', 'uptime'))"
    monkeypatch.setenv("EDITOR", editor(tmp_path, change))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("jobs_app.cli.commands.jobs.has_terminal", lambda: True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("PUT", "/jobs/hello", problem(412, code="stale_version", detail="Version 4, not 3."))

    result = run("job", "edit", "hello")

    assert result.exit_code == 4
    (saved_file,) = tmp_path.glob("jobs-app-hello-*.yaml")
    assert "uptime" in saved_file.read_text()
    assert str(saved_file) in result.stderr


@pytest.mark.parametrize("stdin", ["n\n", ""])
def test_what_was_typed_is_kept_by_one_who_gives_up(
    server: CannedServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdin: str
) -> None:
    change = "path.write_text(path.read_text().replace('date', 'uptime') + '!: [')"
    monkeypatch.setenv("EDITOR", editor(tmp_path, change))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("jobs_app.cli.commands.jobs.has_terminal", lambda: True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))

    result = run("job", "edit", "hello", stdin=stdin)

    (saved_file,) = tmp_path.glob("jobs-app-hello-*.yaml")
    assert "uptime" in saved_file.read_text()
    assert str(saved_file) in result.stderr
    assert result.exit_code in {1, 2}


def test_the_job_is_yaml_and_errors_name_its_lines(
    server: CannedServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "seen.yaml"
    program = (
        "text = path.read_text()\n"
        f"pathlib.Path({str(copy)!r}).write_text(text)\n"
        "path.write_text('# mine\\n' + text.replace('30 2 * * *', '61 2 * * *'))"
    )
    monkeypatch.setenv("EDITOR", editor(tmp_path, program))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("jobs_app.cli.commands.jobs.has_terminal", lambda: True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command = "set -e\nmake report\n"
    job = a_job(kwargs={"command": command}, queue=None)
    server.on("GET", "/jobs/hello", Canned(job, headers=VERSION_3))
    errors = [
        {"pointer": "/schedule/cron", "code": "cron", "detail": "61 is no minute."},
        {"pointer": "/schedule/end_at", "code": "missing", "detail": "It is missing."},
        {"pointer": "/nothing", "code": "missing", "detail": "It is missing, too."},
    ]
    refused = problem(422, code="invalid_input", detail="Not valid.", errors=errors)
    server.on("PUT", "/jobs/hello", refused)

    result = run("job", "edit", "hello", stdin="n\n")

    seen = copy.read_text().splitlines()
    assert seen[:3] == ["name: hello", "description: ''", "task: shell"]
    assert seen[3:7] == ["kwargs:", "  command: |", "    set -e", "    make report"]
    number = seen.index("schedule:") + 2
    assert f"  line {number + 1}, /schedule/cron: 61 is no minute." in result.stderr
    assert f"  line {number}, /schedule/end_at: It is missing." in result.stderr
    assert "  /nothing: It is missing, too." in result.stderr
    (kept,) = tmp_path.glob("jobs-app-hello-*.yaml")
    assert kept.read_text().startswith("# mine\n")
    assert server.requests[1].body["schedule"]["cron"] == "61 2 * * *"
