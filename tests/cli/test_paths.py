"""Any text that a person types stays one segment of a path."""

import pytest

from jobs_app.cli.failure import USAGE, Failure
from jobs_app.cli.paths import job_path


@pytest.mark.parametrize(
    "name, path",
    [
        ("nightly", "/jobs/nightly"),
        ("a/b", "/jobs/a%2Fb"),
        ("..", "/jobs/%2E%2E"),
        ("caf\xe9", "/jobs/caf%C3%A9"),
    ],
)
def test_a_name_is_one_segment(name: str, path: str) -> None:
    assert job_path(name) == path


def test_a_name_that_is_no_utf8_is_wrong_usage() -> None:
    with pytest.raises(Failure, match="is not valid UTF-8") as caught:
        job_path("caf\udce9")

    assert caught.value.exit_code == USAGE
