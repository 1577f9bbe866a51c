"""A failed command."""

import pytest

from jobs_app.cli.failure import USAGE, Failure, not_utf8


def test_a_failure_shows_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    Failure("no \x1b[31msuch\x07 job").show()

    assert capsys.readouterr().err == "jobs-app: no such job\n"


def test_text_that_is_not_utf_8_is_named() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "a\udc80b".encode()

    failure = not_utf8(caught.value)

    assert (failure.exit_code, "'a\\udc80b'" in failure.message) == (USAGE, True)
