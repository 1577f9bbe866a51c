"""An option with one value is refused if it comes twice: its first value would be lost."""

import pytest

from tests.cli.canned import Canned, CannedServer, a_job
from tests.cli.conftest import Run

CREATE = ("job", "create", "x")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ((*CREATE, "--timezone", "UTC", "--timezone", "Asia/Tokyo"), "--timezone comes twice"),
        ((*CREATE, "--command", "a", "--command", "b"), "--command comes twice"),
        ((*CREATE, "--retry-on", "failed", "--retry-on", "lost"), "--retry-on comes twice"),
        (("job", "edit", "x", "--queue", "a", "--queue=b"), "--queue comes twice"),
        (("schedule", "preview", "@daily", "--jitter", "1", "--jitter", "2"), "--jitter comes"),
        (("channel", "add", "c", "--events", "failed", "--events", "lost"), "--events comes twice"),
        (("channel", "edit", "c", "--url", "a://b", "--url", "c://d"), "--url comes twice"),
        (("worker", "--queues", "a", "--queues", "b"), "--queues comes twice"),
        ((*CREATE, "--task", "sleep", "--arg", "n=1", "--arg", "n=2"), "each NAME once"),
    ],
)
def test_a_second_value_is_refused(
    server: CannedServer, run: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert server.requests == []


def test_options_that_are_made_to_be_repeated_and_flags_may_be(
    server: CannedServer, run: Run
) -> None:
    server.on("POST", "/jobs", Canned(a_job(), status=201))

    repeated = ["--tag", "a", "--tag", "b", "--manual", "--manual"]
    result = run(*CREATE, "--task", "sleep", *repeated, "--arg", "n=1", "--arg", "m=2")

    assert result.exit_code == 0, result.stderr
    assert server.requests[0].body["tags"] == ["a", "b"]
    assert server.requests[0].body["kwargs"] == {"n": 1, "m": 2}
