"""The options --from and --to, whose zones test_zones tries."""

from collections.abc import Callable

import pytest
from click.testing import Result

from tests.cli.canned import CannedServer, page

Run = Callable[..., Result]


@pytest.mark.parametrize("command", [["run", "list"], ["audit"]])
def test_an_end_alone_is_sent_alone(server: CannedServer, run: Run, command: list[str]) -> None:
    path = "/runs" if command[0] == "run" else "/audit"
    server.on("GET", path, page())

    run(*command, "--to", "2026-12-01T09:00:00+01:00")

    query = server.requests[0].query
    assert (query["to"], "from" in query) == ("2026-12-01T08:00:00Z", False)


def test_what_is_no_time_names_its_option(server: CannedServer, run: Run) -> None:
    result = run("run", "list", "--from", "someday")

    assert (result.exit_code, server.requests) == (2, [])
    assert "'--from': 'someday' is not a time: write 02:30, yesterday" in result.stderr
