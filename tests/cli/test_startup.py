"""The command line answers at once, and its page says what it does."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from jobs_app.cli import EPILOG, cli
from jobs_app.cli.lazy_group import LazyGroup

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
SLOW_TO_IMPORT = ["alembic", "celery", "flask", "httpx", "pydantic", "redis", "rich", "sqlalchemy"]


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["job", "create", "--help"]])
def test_version_and_help_import_nothing_slow(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from jobs_app.cli import main\n"
        "try:\n    main()\n"
        "finally:\n"
        f"    print(*(set({SLOW_TO_IMPORT}) & sys.modules.keys()), file=sys.stderr)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )

    assert done.stderr.strip() == ""


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs_app", "--version"], capture_output=True, text=True, check=True
    )

    assert done.stdout.startswith("jobs-app, version ")


def commands(group: click.Group, *names: str) -> list[tuple[tuple[str, ...], click.Command]]:
    """Return every command below *group*, with the words that name it."""
    ctx = click.Context(group)
    commands_by_name: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            commands_by_name += commands(command, *names, name)
        else:
            commands_by_name.append(((*names, name), command))
    return commands_by_name


def test_every_command_is_in_the_documentation() -> None:
    text = DOCS.read_text()

    missing = [" ".join(names) for names, _ in commands(cli) if f"`{' '.join(names)}" not in text]

    assert missing == []


def test_every_exit_code_of_the_help_is_in_the_documentation() -> None:
    promised = re.findall(r"^  (\d+) ", EPILOG, flags=re.MULTILINE)

    documented = re.findall(r"^\| (\d+) \|", DOCS.read_text(), flags=re.MULTILINE)

    assert promised == documented
    assert len(promised) == 9


def test_every_command_and_option_says_what_it_is_for() -> None:
    silent = [
        f"{' '.join(names)} {parameter.name}"
        for names, command in commands(cli)
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]

    assert silent == []
    assert all(command.help for _, command in commands(cli))


@pytest.mark.parametrize("width", [60, 100])
def test_the_help_lists_each_command_as_it_describes_itself(width: int) -> None:
    ctx = click.Context(cli)
    ours, clicks = (click.HelpFormatter(width=width) for _ in range(2))

    cli.format_commands(ctx, ours)
    click.Group.format_commands(cli, ctx, clicks)

    assert ours.getvalue() == clicks.getvalue()


def test_the_help_imports_no_command() -> None:
    code = (
        "import sys; from jobs_app.cli import cli; cli(['--help'], standalone_mode=False);"
        "print([name for name in sys.modules if name.startswith('jobs_app.cli.commands')])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_is_wrong_usage() -> None:
    with pytest.raises(click.UsageError, match="No such command"):
        LazyGroup.resolve_command(cli, click.Context(cli), ["jbo"])


@pytest.mark.parametrize("command", [["--version"], ["up", "--help"], ["worker", "--help"]])
def test_a_file_of_the_working_directory_takes_the_place_of_no_library(
    tmp_path: Path, command: list[str]
) -> None:
    libraries = ["click", "secrets", "json", "celery", "pydantic", "ctypes"]
    # The package itself needs these, before its first module that runs.
    libraries += ["contextvars", "dataclasses", "datetime", "typing", "uuid"]
    for name in libraries:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('SHADOW')\n")

    done = subprocess.run(
        [sys.executable, "-m", "jobs_app", *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(DOCS.parents[1])},
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_process_of_its_own_names_a_mistyped_setting(tmp_path: Path, log_format: str) -> None:
    settings = {"JOBS_DATA_DIR": str(tmp_path), "JOBS_LOG_FORMAT": log_format}

    done = subprocess.run(
        [sys.executable, "-m", "jobs_app", "scheduler"],
        env=os.environ | settings | {"JOBS_SCHEDULER_BACTH": "3"},
        capture_output=True,
        text=True,
    )

    line = done.stderr.splitlines()[0]
    text = json.loads(line)["message"] if log_format == "json" else line.partition("| ")[2]
    assert text == (
        "JOBS_SCHEDULER_BACTH is no setting and is ignored; did you mean JOBS_SCHEDULER_BATCH?"
    )


def test_a_misspelt_command_gets_a_suggestion() -> None:
    with pytest.raises(click.UsageError, match=r"No such command 'jbo'\. Did you mean 'job'\?"):
        cli.main(["jbo"], standalone_mode=False)


@pytest.mark.parametrize("error, code", [(KeyboardInterrupt, 130), (EOFError, 1)])
def test_ctrl_c_at_a_question_is_no_failure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: type[BaseException],
    code: int,
) -> None:
    def ask(_: str) -> str:
        raise error

    monkeypatch.setattr("click.termui.hidden_prompt_func", ask)
    monkeypatch.setattr("jobs_app.cli.commands.notifications.can_ask", lambda: True)

    assert cli.main(["channel", "add", "ops"], standalone_mode=False) == code
    assert "Nothing was changed." in capsys.readouterr().err
