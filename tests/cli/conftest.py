"""The command line, pointed at a server with canned answers."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from jobs_app.cli import cli
from tests.cli.canned import CannedServer, canned_server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CannedServer]:
    """A server that JOBS_URL names, with a token that it does not check."""
    with canned_server() as running:
        monkeypatch.setenv("JOBS_URL", running.url)
        monkeypatch.setenv("JOBS_TOKEN", "sj_secret")
        monkeypatch.setenv("TZ", "UTC")
        yield running


Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Run `jobs-app` with these arguments; the result has stdout, stderr and exit_code."""

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="jobs-app")

    return invoke
