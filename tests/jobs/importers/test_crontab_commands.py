"""What is said about the command of a line: as in cron, or not."""

import pytest

from jobs_app.jobs.importers.crontab_commands import SHELL, command_differences, command_note


@pytest.mark.parametrize(
    "command, words",
    [
        ("sudo x", "JOBS_NEW_PRIVILEGES"),
        ("su - app -c x", "runs as root"),
        ("cd /srv && /sbin/su-exec app x", "runs as root"),
        ("x &", "background"),
        ("x &>> /tmp/log", "2>&1"),
    ],
)
def test_what_differs_from_cron_is_said(command: str, words: str) -> None:
    (difference,) = command_differences(command, SHELL)

    assert words in difference


@pytest.mark.parametrize("command", ["x 2>&1", "curl 'a?b&c' && d", "sudoku", "/srv/su/x"])
def test_a_command_of_another_meaning_is_no_difference(command: str) -> None:
    assert list(command_differences(command, SHELL)) == []


def test_bash_reads_an_ampersand_before_a_redirection() -> None:
    assert list(command_differences("x &> y", "/bin/bash")) == []


@pytest.mark.parametrize(
    "text, stdin, words",
    [
        ("x $(date +%F)", "F)\n", "ends at its first %"),
        ("x \\", None, "does not join"),
        ("ID=a AFTER=b x", None, "dcron"),
        ("{{ user }} x", None, "{{ user }} looks like a part of a template"),
        ("x {{ path | default('/srv') }}", None, "a template"),
        ("x\xa0y", None, "a blank"),
    ],
)
def test_what_may_surprise_as_it_does_in_cron_is_a_note(
    text: str, stdin: str | None, words: str
) -> None:
    assert words in command_note(text, stdin)


@pytest.mark.parametrize(
    "text", ["x \\%", "docker ps --format '{{.Names}} {{json .}}'", "IDENTITY=a x", "x 'a b'"]
)
def test_an_ordinary_command_has_no_note(text: str) -> None:
    assert command_note(text, None) == ""
