"""The first % ends a command; the rest is its input, as cron's do_command.c writes it."""

import pytest

from jobs_app.jobs.importers.crontab_percent import split_percent


@pytest.mark.parametrize(
    "text, command, stdin",
    [
        ("x", "x", None),
        ("x%", "x", ""),
        ("x%a", "x", "a\n"),
        ("x%a%", "x", "a\n"),
        ("x%a%b%%", "x", "a\nb\n\n"),
        (r"x\%y", "x%y", None),
        (r"x\\%y", "x\\\\", "y\n"),
        (r"x\y%\z\%\\", r"x\y", "\\z%\\\\\n"),
    ],
)
def test_a_percent_sign_divides_command_and_input(text, command, stdin):
    assert split_percent(text) == (command, stdin)
