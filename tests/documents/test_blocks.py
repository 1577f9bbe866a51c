"""The blocks and the names in README.md and docs/ agree with the code.

They are not run here: test_running.py does that, in the nightly profile.
"""

import configparser
import io
import json
import re
import subprocess
from collections.abc import Iterator

import click
import pytest
import yaml
from dotenv import dotenv_values

from jobs_app.cli import cli
from jobs_app.cli.yaml_format import read_set
from jobs_app.core.settings import Settings
from jobs_app.jobs.schedule_input import schedules_from
from jobs_app.web.api.schemas.job_input import JobIn
from tests.documents.not_run import (
    BEFORE,
    EXIT_CODES,
    NOT_RUN,
    PAGES_NOT_RUN,
    PLACEHOLDERS,
    PROGRAMS,
    beginning,
)
from tests.documents.pages import OTHERS, PAGES, ROOT, Block, all_blocks, code_spans, rows
from tests.documents.shell import arguments_of_jobs_app, commands, lines, typed

#: Languages of blocks; `text` is for pictures and output.
LANGUAGES = {
    *("sh", "console", "python", "yaml", "json", "text"),
    *("dotenv", "ini", "nginx", "caddy", "toml"),
}
SHELL = ("sh", "console")
#: The first keys of YAML documents that are no jobs: Compose, Prometheus, Kubernetes.
OTHER_YAML = {"services", "x-mine", "scrape_configs", "apiVersion"}

#: Variables in the pages that are no settings, and where they come from.
OTHER_VARIABLES = {
    *("JOBS_URL", "JOBS_TOKEN"),  # the command line
    *("JOBS_RUN_ID", "JOBS_ATTEMPT", "JOBS_JOB", "JOBS_SCHEDULED_FOR"),  # a command of a job
    *re.findall(r"JOBS_[A-Z_]+", (ROOT / "compose.yaml").read_text()),
    *("JOBS_PYTHON", "JOBS_TEST_CHROMIUM", "JOBS_TEST_DATABASE_URL", "JOBS_TEST_REDIS_URL"),  # run
    "JOBS_TEST_DOCKER",  # tests/deploy/test_prove.py
}


ASSIGNMENT = re.compile(r"\w+=.*", re.DOTALL)


def named(block: Block) -> str:
    return str(block)


@pytest.fixture
def only_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command does anything: click reads its arguments, and that is all."""
    monkeypatch.setattr(click.Command, "invoke", lambda self, ctx: None)


def wrong_use(arguments: list[str], *, is_whole: bool = True) -> str | None:
    """Return why jobs-app refuses *arguments*; a mention need not have all of them."""
    try:
        cli.main(arguments, prog_name="jobs-app", standalone_mode=False)
    except click.MissingParameter as error:
        return error.format_message() if is_whole else None
    except click.exceptions.NoArgsIsHelpError:
        return None
    except click.UsageError as error:
        return error.format_message()
    return None


def test_each_block_says_its_language() -> None:
    assert not [str(block) for block in all_blocks() if block.language not in LANGUAGES]


@pytest.mark.usefixtures("only_parsed")
def test_jobs_app_takes_each_command_of_the_blocks() -> None:
    used = [
        (block, arguments)
        for block in all_blocks(*SHELL)
        for words in commands(typed(block))
        if (arguments := arguments_of_jobs_app(words)) is not None
    ]

    refused = [
        f"{block}: jobs-app {' '.join(arguments)}: {reason}"
        for block, arguments in used
        if (reason := wrong_use(arguments))
    ]

    assert not refused
    assert len(used) > 100


def mentions(text: str) -> Iterator[list[str]]:
    """Yield the arguments of jobs-app in a code span, without what stands for any text."""
    for words in commands(text.replace("…", "").replace("...", "")):
        if words[0] in ("jobs-app", "./run") and (found := arguments_of_jobs_app(words)):
            yield found


@pytest.mark.usefixtures("only_parsed")
def test_jobs_app_has_each_command_and_option_that_the_text_mentions() -> None:
    refused = [
        f"{page}:{line}: {span}: {reason}"
        for page in (*PAGES, *OTHERS)
        for line, span in code_spans(page)
        if span.startswith(("jobs-app ", "./run jobs-app ", "./run up"))
        for arguments in mentions(span)
        if (reason := wrong_use(arguments, is_whole=False))
    ]

    assert not refused


def command_of(words: list[str]) -> click.Command | None:
    """Return the command that *words* begin with; None if they are of something else."""
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group):
            break
        inner = command.get_command(click.Context(command), word)
        if inner is None:
            return None
        command = inner
    return None if command is cli else command


def options_of(command: click.Command) -> set[str]:
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}


def test_each_option_in_the_tables_of_the_command_line_is_one_of_its_command() -> None:
    wrong, count = set(), 0
    for row in rows("docs/cli.md"):
        known = [options_of(found) for span in row[0] if (found := command_of(span.split()))]
        for span in (span for cell in row for span in cell if known):
            # A span may be another command with an option of its own.
            own = command_of(span.split())
            options = options_of(own) if own else set().union(*known)
            named = set(re.findall(r"--[a-z-]+", span))
            wrong |= {f"{row[0][0]}: {option}" for option in named - options}
            count += len(named)

    assert not wrong
    assert count > 60


@pytest.mark.usefixtures("only_parsed")
@pytest.mark.parametrize(
    "line", ["job creat x", "job list --stat active", "worker --concurrency many", "job show"]
)
def test_a_wrong_command_is_found(line: str) -> None:
    assert wrong_use(line.split())


def test_a_shell_reads_each_shell_block() -> None:
    script = "\n".join(f"read_{n}() {{\n{typed(b)}\n}}" for n, b in enumerate(all_blocks(*SHELL)))

    checked = subprocess.run(
        ["/bin/bash", "-n"], input=script, capture_output=True, text=True, check=False
    )

    numbered = script.splitlines()
    lines = [numbered[int(n) - 1] for n in re.findall(r"line (\d+)", checked.stderr)[:3]]
    assert checked.returncode == 0, (checked.stderr, lines)


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=named)
def test_a_yaml_block_has_jobs_that_are_accepted(block: Block) -> None:
    # Compose has a tag of its own, `!reset`.
    document = yaml.safe_load(block.text.replace("!reset", ""))
    if isinstance(document, dict) and OTHER_YAML & document.keys():
        return

    _, jobs = read_set(block.text)

    for job in jobs:
        body = JobIn.model_validate(job).model_dump(exclude_unset=True)
        schedules_from(body, Settings(), seed=job["name"])


@pytest.mark.parametrize("block", all_blocks("json"), ids=named)
def test_a_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", all_blocks("python"), ids=named)
def test_a_python_block_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", all_blocks("ini"), ids=named)
def test_an_ini_block_is_read(block: Block) -> None:
    # A unit of systemd may have a line twice.
    configparser.RawConfigParser(strict=False, allow_no_value=True).read_string(block.text)


@pytest.mark.parametrize("block", all_blocks("dotenv"), ids=named)
def test_a_dotenv_block_has_variables_only(block: Block) -> None:
    variables = dotenv_values(stream=io.StringIO(block.text), interpolate=False)

    assert variables
    assert None not in variables.values()


def test_each_setting_that_a_page_names_exists() -> None:
    settings = {f"JOBS_{name.upper()}" for name in Settings.model_fields}
    known = settings | OTHER_VARIABLES

    unknown = {
        f"{page}: {name}"
        for page in (*PAGES, *OTHERS)
        for name in re.findall(r"\bJOBS_[A-Z_]*[A-Z]\b", (ROOT / page).read_text())
        # `JOBS_DEFAULT_…` means all that begin so.
        if name not in known and not any(each.startswith(f"{name}_") for each in settings)
    }

    assert not unknown


def programs(line: str) -> set[str]:
    """Return the programs that a line calls."""
    found = [[word for word in words if not ASSIGNMENT.fullmatch(word)] for words in commands(line)]
    return {words[0] for words in found if words}


def test_each_line_is_one_that_is_run_or_has_a_reason() -> None:
    unknown = {
        f"{block}: {line}"
        for block in all_blocks(*SHELL)
        if block.page not in PAGES_NOT_RUN
        for line in lines(typed(block))
        if not beginning(line, NOT_RUN) and not programs(line) <= PROGRAMS
    }

    assert not unknown


def test_each_exception_is_needed_and_names_a_test_that_exists() -> None:
    typed_lines = [line for block in all_blocks(*SHELL) for line in lines(typed(block))]
    found = {
        beginning(line, patterns) for line in typed_lines for patterns in (NOT_RUN, EXIT_CODES)
    }
    tests = re.findall(r"tests/[\w/.]+", " ".join([*NOT_RUN.values(), *PAGES_NOT_RUN.values()]))

    assert found - {None} == NOT_RUN.keys() | EXIT_CODES.keys()
    assert not [test for test in tests if not (ROOT / test).exists()]
    assert {*BEFORE, *PLACEHOLDERS} <= set(PAGES)
