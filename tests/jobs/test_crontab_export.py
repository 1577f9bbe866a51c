"""Jobs as lines of a crontab: what they say, and what is told to be lost."""

from dataclasses import replace
from typing import Any

import pytest

from jobs_app.jobs.crontab_export import MAIL, ZONES, crontab
from jobs_app.jobs.importers.crontab import Entry, LineKind, read_crontab
from jobs_app.jobs.importers.crontab_variables import read_variable


def a_job(**facts: Any) -> dict[str, Any]:
    schedule = {"cron": "30 2 * * *", "timezone": "Europe/Paris"}
    return {
        "name": "nightly",
        "description": "",
        "state": "active",
        "task": "shell",
        "kwargs": {"command": "make report"},
        "schedule": schedule,
        "retry": {
            "max_attempts": 1,
            "delay_seconds": 30.0,
            "backoff": "exponential",
            "max_delay_seconds": 600.0,
            "jitter": True,
            "on": ["failed", "timed_out", "lost"],
        },
        "time_limit_seconds": None,
        "soft_time_limit_seconds": None,
        "kill_grace_seconds": 10,
    } | facts


def lines_of(*jobs: dict[str, Any]) -> list[str]:
    """Return the lines that cron would run."""
    text = crontab(jobs).text
    return [
        line
        for line in text.splitlines()
        if line and not line.startswith("#") and read_variable(line) is None
    ]


def entries_of(text: str) -> list[Entry]:
    """Return the jobs that our importer makes of a crontab."""
    lines = read_crontab(text.encode(), is_system=False)
    assert not [line for line in lines if line.kind is LineKind.REFUSED]
    return [line.entry for line in lines if line.entry is not None]


def read_back(*jobs: dict[str, Any]) -> list[Entry]:
    """Return what our importer reads of the export of *jobs*."""
    return entries_of(crontab(jobs).text)


def scheduled(**schedule: Any) -> dict[str, Any]:
    return a_job(schedule={"timezone": "UTC"} | schedule)


def test_a_job_is_a_line_below_its_zone() -> None:
    written = crontab([a_job(description="The *report*\nof the night")])

    assert '\nCRON_TZ=Europe/Paris\nMAILTO=""\n' in written.text
    assert "# nightly: The *report* of the night\n30 2 * * * make report\n" in written.text
    assert ZONES in written.notes
    assert not [note for note in written.notes if note.startswith("nightly")]


@pytest.mark.parametrize(
    "cron, fields",
    [
        ("@daily", "0 0 * * *"),
        ("0 9 * JAN-MAR mon-fri", "0 9 * 1-3 1-5"),
        ("5/15 * * * *", "5-59/15 * * * *"),
        ("0 0 1,15 * */2", "0 0 1,15 * */2"),
    ],
)
def test_expressions_are_written_as_debian_reads_them(cron: str, fields: str) -> None:
    assert lines_of(scheduled(cron=cron)) == [f"{fields} make report"]


def test_a_hash_is_the_minute_that_the_job_has() -> None:
    (line,) = lines_of(scheduled(cron="H 3 * * *"))

    assert line.split()[0].isdigit()


@pytest.mark.parametrize(
    "schedule, fields",
    [
        ({"interval_seconds": 300, "anchor_at": "2026-11-30T09:00:00Z"}, "*/5 * * * *"),
        ({"interval_seconds": 600, "anchor_at": "2026-11-30T09:13:00Z"}, "3-59/10 * * * *"),
        ({"interval_seconds": 3600, "anchor_at": "2026-11-30T09:13:00Z"}, "13 * * * *"),
    ],
)
def test_an_interval_that_divides_the_hour_is_a_step(schedule: dict[str, Any], fields: str) -> None:
    assert lines_of(scheduled(**schedule)) == [f"{fields} make report"]


@pytest.mark.parametrize(
    "job, reason",
    [
        (a_job(task="http"), "its task is http"),
        (a_job(schedule=None), "by hand only"),
        (scheduled(at="2026-12-01T09:00:00Z"), "it runs once"),
        (scheduled(every="2 weeks"), "every 2 weeks"),
        (scheduled(cron="0 0 L * *"), "cron cannot read 'L'"),
        (scheduled(cron="0 0 * * MON#2"), "cron cannot read"),
        (scheduled(interval_seconds=300, anchor_at="2026-11-30T09:00:07Z"), "every 300 s"),
        (scheduled(interval_seconds=420, anchor_at="2026-11-30T09:00:00Z"), "every 420 s"),
        (a_job(kwargs={"command": "a\nb"}), "several lines"),
        (a_job(kwargs={"command": "x ${secret:db}"}), "the secret db"),
        (a_job(kwargs={"command": "x" * 999}), "998 characters"),
    ],
)
def test_what_no_line_can_say_is_a_comment_and_a_note(job: dict[str, Any], reason: str) -> None:
    written = crontab([job])

    assert lines_of(job) == []
    assert [note for note in written.notes if reason in note]
    assert "# Left out, because " in written.text


def test_fields_that_cron_lacks_are_named() -> None:
    job = a_job(time_limit_seconds=60, notify=[{"channel": "ops"}], max_runs=3)

    written = crontab([job])

    assert "# cron has nothing for: max_runs, notify, time_limit_seconds\n" in written.text
    assert "nightly: cron has nothing for max_runs, notify, time_limit_seconds." in written.notes


@pytest.mark.parametrize(
    "facts, word", [({"state": "paused"}, "paused"), ({"observe": True}, "observes")]
)
def test_a_job_that_runs_nothing_is_a_comment(facts: dict[str, Any], word: str) -> None:
    written = crontab([a_job(**facts)])

    assert lines_of(a_job(**facts)) == []
    assert f"# {word}: 30 2 * * * make report" in written.text


def test_our_importer_reads_back_the_same_command_and_input() -> None:
    kwargs = {"command": "date +%H; echo 'a b'", "stdin": "one\n50 %\n"}

    (entry,) = [
        line.entry
        for line in read_crontab(crontab([a_job(kwargs=kwargs)]).text.encode(), is_system=False)
        if line.kind is LineKind.JOB
    ]

    assert entry is not None
    assert {name: entry.kwargs[name] for name in kwargs} == kwargs
    assert entry.timezone == "Europe/Paris"


def test_shell_and_variables_are_lines_and_the_directory_is_in_the_command() -> None:
    kwargs = {"command": "it's", "cwd": "/srv/a b", "env": {"X": "1 2"}, "shell": "/bin/bash"}

    written = crontab([a_job(kwargs=kwargs)])

    assert "\nSHELL=/bin/bash\nX=1 2\n" in written.text
    assert lines_of(a_job(kwargs=kwargs)) == ["30 2 * * * cd '/srv/a b' && it's"]


def test_a_variable_that_not_all_jobs_below_have_stays_in_the_command() -> None:
    jobs = [
        a_job(name=name, kwargs={"command": name, "env": env})
        for name, env in (("a", {"X": "1"}), ("b", {"Y": "it's"}), ("c", {"Y": "3", "X": "2"}))
    ]

    entries = [(entry.kwargs["command"], entry.kwargs.get("env")) for entry in read_back(*jobs)]

    assert entries == [
        ("export X='1'; a", None),
        ("b", {"Y": "it's"}),
        ("c", {"Y": "3", "X": "2"}),
    ]


@pytest.mark.parametrize("name", ["MAILTO", "SHELL", "CRON_TZ", "LOGNAME", "HOME"])
def test_a_variable_that_means_something_to_cron_stays_in_the_command(name: str) -> None:
    (line,) = lines_of(a_job(kwargs={"command": "x", "env": {name: "v"}}))

    assert line == f"30 2 * * * export {name}='v'; x"


def test_mail_is_off_below_the_jobs_that_send_their_output() -> None:
    sends = a_job(name="sends", notify=[{"channel": "ops", "on": ["failed", "output"]}])
    written = crontab([a_job(name="quiet"), sends])

    assert MAIL in written.notes
    above, below = written.text.split('\nMAILTO=""\n')
    assert ("# sends" in above, "# quiet" in below) == (True, True)
    assert [entry.is_mailed for entry in read_back(a_job(name="quiet"), sends)] == [True, False]


VARIED = """\
0 1 * * * /opt/plain --day "$(date +\\%F)"
PATH=/usr/local/bin:/usr/bin:/bin
GREETING="  it's  "
5 1 * * 1-5 mail -s 'a "b"' ops%Hello%%100 \\% done
SHELL=/bin/bash
EMPTY=""
*/7 2-3 1 */2 * [[ -n $X ]] && echo "it's" > /dev/null 2>&1
HOME=/srv/app
@reboot ./start
CRON_TZ=America/New_York
30 4 * * * PATH=/x:$PATH report
SHELL=/bin/sh
PATH=/bin
MAILTO=""
0 5 * * sun tidy
"""


def test_an_export_of_a_varied_crontab_reads_back_as_it_was() -> None:
    first = entries_of(VARIED)
    jobs = [
        a_job(
            name=f"job-{number}",
            kwargs=entry.kwargs,
            schedule=entry.times.schedule() | {"timezone": entry.timezone or "Europe/Paris"},
            notify=[{"channel": "ops", "on": ["output"]}] if entry.is_mailed else None,
        )
        for number, entry in enumerate(first)
    ]

    # The API lists jobs in another order than the crontab had.
    written = crontab(jobs[::-1]).text

    def facts(entries: list[Entry]) -> list[str]:
        return sorted(
            repr((e.kwargs["command"], sorted(e.kwargs.items(), key=str), e.is_mailed, e.timezone))
            for e in entries
        )

    expected = [replace(entry, timezone=entry.timezone or "Europe/Paris") for entry in first]
    assert facts(entries_of(written)) == facts(expected)
    assert "export " not in written


def test_a_start_of_jobs_app_is_one_of_the_machine() -> None:
    assert lines_of(scheduled(on="start")) == ["@reboot make report"]
