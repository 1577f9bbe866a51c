"""Each line of a crontab becomes one line of the report: a job as cron has it, or a refusal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs_app.jobs.importers.crontab import (
    Line,
    LineKind,
    looks_like_system,
    read_crontab,
)
from tests.jobs.importers.crontab_lines import PERSONAL, SYSTEM, VARIABLES
from tests.profiles import examples


def read(text: str, *, is_system: bool = False) -> list[Line]:
    return read_crontab(text.encode(), is_system=is_system)


def only_job(text: str, *, is_system: bool = False) -> Line:
    (line,) = (line for line in read(text, is_system=is_system) if line.kind == LineKind.JOB)
    return line


@pytest.mark.parametrize("text, schedule, words", PERSONAL)
def test_a_line_of_a_person_is_a_job_as_cron_reads_it_or_is_refused(text, schedule, words):
    (line,) = read(f"{text}\n")

    assert (line.number, line.text) == (1, text)
    if schedule is None:
        assert line.kind == LineKind.REFUSED
        assert words in line.problem
        return
    assert line.entry is not None
    command, separator, stdin = words.partition(" <<< ")
    assert line.entry.times.cron == schedule
    assert line.entry.kwargs == {"command": command} | ({"stdin": stdin} if separator else {})


@pytest.mark.parametrize("text, schedule, account, words", SYSTEM)
def test_a_line_of_the_system_names_its_account(text, schedule, account, words):
    (line,) = read(f"{text}\n", is_system=True)

    if schedule is None:
        assert words in line.problem
        return
    assert line.entry is not None
    assert (line.entry.times.cron, line.entry.account) == (schedule, account)
    assert line.entry.kwargs == {"command": words}


def test_variables_hold_for_the_lines_below_them():
    lines = read("* * * * * a\nA=1\n* * * * * b\nA=2\nB=3\n* * * * * c\n")

    jobs = [line.entry.kwargs.get("env") for line in lines if line.entry]

    assert jobs == [None, {"A": "1"}, {"A": "2", "B": "3"}]


def test_variables_that_mean_something_to_cron_mean_it_here():
    text = (
        "SHELL=/bin/bash\nHOME=/srv\nCRON_TZ=Asia/Tokyo\nMAILTO=me\nLOGNAME=x\nTZ=UTC\n"
        "RANDOM_DELAY=45\n@daily x\n"
    )

    line = only_job(text)

    assert line.entry is not None
    assert line.entry.kwargs == {
        "command": "x",
        "env": {"HOME": "/srv", "TZ": "UTC"},
        "cwd": "/srv",
        "shell": "/bin/bash",
    }
    assert (line.entry.timezone, line.entry.jitter_seconds) == ("Asia/Tokyo", 2700)
    notes = {line.text.partition("=")[0]: line.note for line in read(text)[:-1]}
    assert all(notes.values())
    assert "--mail-channel" in notes["MAILTO"]


def test_the_default_shell_and_an_empty_zone_are_no_fields():
    line = only_job("CRON_TZ=Asia/Tokyo\nCRON_TZ=\nSHELL=/bin/sh\n@daily x\n")

    assert line.entry is not None
    assert (line.entry.timezone, line.entry.kwargs) == (None, {"command": "x"})


@pytest.mark.parametrize(
    "text, words",
    [
        ("CRON_TZ=Mars/Olympus\n@daily x\n", "no time zone"),
        ("a.b=1\n", "no name of a variable"),
        ("RANDOM_DELAY=soon\n", "no number"),
        ("@daily caf\xe9\n".encode("latin-1"), "not UTF-8"),
        ("# A comment\r0 5 * * * x\r", "carriage return inside"),
        ("0 5 * *\xa0* * x\n", "no month '*\\xa0*'"),
        ("0 30 4 * * * x\n", "sixth field"),
        ("0 0 4 * * 1 x\n", "begins with '1'"),
        ("Tue Jun  2 04:08:01 UTC 2026 x\n", "no minute 'Tue'"),
        ("_ */3 * * * * x\n", "no minute '_'"),
        ("0 0 4 * * ? 2026 x\n", "begins with '?'"),
        ("0 0 4 * * MON-FRI x\n", "begins with 'MON-FRI'"),
        ("@monthly 15 cron.monthly run-parts /etc/cron.monthly\n", "begins with '15'"),
        ("@every 1h30m x\n", "cron knows no @every"),
        ("@2h x\n", "cron knows no @2h"),
    ],
)
def test_what_cannot_be_kept_is_refused(text, words):
    lines = read_crontab(text if isinstance(text, bytes) else text.encode(), is_system=False)

    assert lines[-1].kind == LineKind.REFUSED
    assert words in lines[-1].problem


@pytest.mark.parametrize(
    "text, words",
    [
        ("* * * * * x\r\n", "carriage return"),
        ("* * * * * x", "last line"),
        ("\ufeff* * * * * x\n", "byte order mark"),
        ("-* * * * * x\n", "log"),
        ("~ * * * * x\n", "drawn once"),
        ("@30 x\n", "FreeBSD"),
        ("* * * * * " + "x" * 999 + "\n", "998"),
        ("* * * * * sudo x\n", "JOBS_NEW_PRIVILEGES"),
        ("* * * * * -n x\n", "-n in front"),
    ],
)
def test_what_differs_from_cron_is_said(text, words):
    (difference,) = only_job(text).differences

    assert words in difference


@pytest.mark.parametrize(
    "text",
    ["* * * * * x 2>&1\n", "SHELL=/bin/bash\n* * * * * x &> y\n", "* * * * * curl 'a?b&c' && d\n"],
)
def test_an_ampersand_of_another_meaning_is_no_difference(text):
    assert only_job(text).differences == ()


@pytest.mark.parametrize(
    "text, words",
    [
        ("\ufeffMAILTO=x\n", "byte order mark"),
        ("MAILTO=\n", "only as NAME"),
        ("HOME=~/x\n", "~ in it is not replaced"),
        ("PATH=/bin:~/bin\n", "~ in it is not replaced"),
        ("CRON_TZ=UTC 0 5 * * 1-5 /b\n", "its command never runs"),
        ("X=1 @daily /b\n", "its command never runs"),
    ],
)
def test_what_may_surprise_in_a_variable_is_a_note(text, words):
    assert words in read(text)[0].note


@pytest.mark.parametrize("value", ["a 1 2 3 4", "0 5 * * *", "me@daily x", "-Xmx 5 -v 1 a b c"])
def test_a_variable_without_a_job_in_it_has_no_such_note(value):
    assert "its command never runs" not in read(f"OPTIONS={value}\n")[0].note


@pytest.mark.parametrize("options", ["-q -s", "-n -q -s", "-nqs"])
def test_no_option_of_a_bsd_becomes_a_part_of_the_command(options):
    line = only_job(f"* * * * * {options} x -n y\n")

    assert line.entry is not None
    assert line.entry.kwargs == {"command": "x -n y"}
    assert f"{options} in front is left out" in line.differences[0]


def test_a_macro_in_capitals_is_refused_with_the_one_that_cron_knows():
    assert read("@MIDNIGHT x\n")[0].advice == "Write @midnight."


def test_the_account_of_a_line_may_be_an_account():
    text = "* * * * * {} x\n"
    accounts = [
        "root",
        "_www",
        "app:wheel",
        "app/daemon",
        "svc$",
        "/usr/bin/y",
        "{{",
        "$USER",
        "'a",
    ]

    kinds = [read(text.format(account), is_system=True)[0].kind for account in accounts]

    assert kinds == [LineKind.JOB] * 5 + [LineKind.REFUSED] * 4


def test_a_number_sign_in_a_variable_begins_no_comment():
    notes = [line.note for line in read("A=b # c\nMAILTO=root HOME=/\nA=b#c\nA=b c\n")]

    assert ["all behind the = is the value" in note for note in notes] == [True, True, False, False]


@pytest.mark.parametrize(
    "text, is_system, command",
    [
        ("5/15 * * * * x y\n", False, "x y"),
        ("-60 * * * *\tx \\%\n", False, "x %"),
        ("60 * * * * root x\n", True, "x"),
        ("@fortnightly x\n", False, "x"),
        ("one word\n", False, ""),
    ],
)
def test_a_refused_line_still_has_its_command(text, is_system, command):
    (line,) = read(text, is_system=is_system)

    assert (line.kind, line.command) == (LineKind.REFUSED, command)


def test_a_line_that_our_export_made_a_comment_is_a_job_that_is_idle():
    text = "# nightly: x\n# paused: 0 1 * * * a\n# paused: 0 2 * * * b\n\n# paused: @daily c\n"

    own, other = read(f"# Jobs of jobs-app.\n\n{text}"), read(f"# My jobs.\n\n{text}")

    entries = [line.entry for line in own if line.entry]
    assert [(entry.name, entry.kwargs["command"], entry.is_idle) for entry in entries] == [
        ("nightly", "a", True),
        ("", "b", True),
    ]
    assert "waits until somebody resumes it" in own[3].note
    assert [line.entry for line in other if line.entry] == []


def test_a_comment_of_our_export_that_is_no_line_any_more_stays_a_comment():
    lines = read("# Jobs of jobs-app.\n\n# nightly\n# paused: not now\n")

    assert [line.kind for line in lines[2:]] == [LineKind.COMMENT] * 2


def test_a_comment_right_above_a_line_describes_it():
    lines = read("# Nightly dump\n@daily a\n@daily b\n#0 1 * * * old\n@daily c\n# x\n\n@daily d\n")

    assert [line.entry.description for line in lines if line.entry] == ["Nightly dump", "", "", ""]


@pytest.mark.parametrize(
    "comment, description",
    [
        ("# Save some entropy\n# for the next boot.\n", "Save some entropy for the next boot."),
        ("# A file.\n#\n# The dump\n", "The dump"),
        ("# m h dom mon dow command\n", ""),
        ("# | | .--- month\n", ""),
        ("# The dump\n#\n", ""),
        ("#@daily old\n", ""),
    ],
)
def test_only_words_about_a_line_describe_it(comment, description):
    entry = only_job(f"{comment}@daily x\n").entry

    assert entry is not None
    assert entry.description == description


@pytest.mark.parametrize(
    "text, words",
    [
        ("* * * * * x $(date +%F)\n", "ends at its first %"),
        ("* * * * * x \\\n", "does not join"),
        ("* * * * * x \\%\n", ""),
        ("* * * * * 7z a b\n", ""),
    ],
)
def test_what_may_surprise_as_it_does_in_cron_is_a_note(text, words):
    note = only_job(text).note

    assert words in note
    assert bool(note) is bool(words)


@pytest.mark.parametrize(
    "text, is_system",
    [
        ("17 * * * * root run-parts /etc/cron.hourly\n5 * * * * www-data x y\n", True),
        ("0 1 * * * root:wheel a\n5 * * * * www:www:default b\n", True),
        ("0 3 * * * backup /home\n", False),
        ("0 3 * * * root\n", False),
        ("17 * * * * root x\n5 * * * * /usr/bin/y z\n", False),
        ("# nothing\n", False),
    ],
)
def test_a_column_of_accounts_is_seen_only_where_all_lines_have_one(text, is_system):
    assert looks_like_system(text.encode()) is is_system


LINES = st.sampled_from([str(row[0]) for row in (*PERSONAL, *SYSTEM, *VARIABLES)])
PIECES = st.text("*0159-/,~%@#=\\ '\"\t\r\nrootAZ_é\0&", max_size=60)
NOISE = st.binary(max_size=60) | PIECES.map(str.encode)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(LINES.map(str.encode) | NOISE, max_size=8), st.booleans())
def test_each_line_is_in_the_report_once_and_nothing_raises(parts, is_system):
    data = b"\n".join(parts)

    lines = read_crontab(data, is_system=is_system)

    texts = data.decode("utf-8", "backslashreplace").split("\n")
    if texts[-1] == "":
        texts.pop()
    assert [line.number for line in lines] == list(range(1, len(texts) + 1))
    assert [line.text.lstrip("\ufeff") for line in lines] == [t.lstrip("\ufeff") for t in texts]
    for line in lines:
        assert (line.kind == LineKind.JOB) == (line.entry is not None)
        assert (line.kind == LineKind.REFUSED) == bool(line.problem)
        if line.entry is not None:
            assert line.entry.kwargs["command"].strip()


@pytest.mark.parametrize(
    "text, is_system", [("@reboot /x y\n", False), ("@reboot root /x y\n", True)]
)
def test_a_line_for_the_start_of_the_machine_is_one_for_the_start_of_jobs_app(text, is_system):
    line = only_job(f"RANDOM_DELAY=5\n{text}", is_system=is_system)

    assert line.entry is not None
    assert line.entry.times.schedule() == {"on": "start"}
    assert line.entry.kwargs == {"command": "/x y"}
    assert line.entry.jitter_seconds == 300
    assert "It runs when jobs-app starts" in line.differences[0]
