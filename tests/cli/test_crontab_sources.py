"""A crontab as a source: drafts of its jobs, and what depends on this machine."""

import getpass

import pytest

from jobs_app.cli.crontab_files import CrontabFile
from jobs_app.cli.crontab_sources import DESCRIBED, source_of
from jobs_app.cli.import_sources import Item


def items(
    text: str,
    *,
    is_system: bool = False,
    zone: str = "UTC",
    accounts: frozenset[str] = frozenset(),
) -> list[Item]:
    file = CrontabFile("/x/y", text.encode(), is_system, "form")
    return source_of(file, "web1:/x/y", zone=zone, prefix="p-", accounts=accounts).items


def test_a_line_is_the_draft_of_a_job() -> None:
    variable, job = items("RANDOM_DELAY=2\n@daily backup.sh\n")

    assert variable.draft is None
    assert job.draft is not None
    assert (job.draft.name, job.draft.kwargs) == ("p-backup", {"command": "backup.sh"})
    assert job.draft.schedule == {"cron": "@daily", "jitter_seconds": 120}


def test_a_long_place_is_cut_to_what_a_job_can_hold() -> None:
    file = CrontabFile("/x", b"", False, "form")

    assert len(source_of(file, "x" * 400, zone="UTC", prefix="").origin) == 200


@pytest.mark.parametrize(
    "text, is_system, words",
    [
        ("@daily nobody x\n", True, "cron runs it as nobody"),
        (f"@daily {getpass.getuser()} x\n", True, None),
        ("@daily nobody x\n", False, "begins with the account 'nobody'"),
        ("@daily cat x\n", False, None),
        ("@daily if [ -f /x ]; then y; fi\n", False, None),
        ("@daily chronic /usr/bin/x\n", False, None),
        ("@daily no-such-account-here x\n", False, None),
        ("@daily no-such-account-here /usr/bin/x\n", False, "a --system crontab?"),
        ("@daily no-such-account-here cd /srv\n", False, "a --system crontab?"),
        ("@daily no-such-account-here php x.php\n", False, "a --system crontab?"),
        ("@daily php8.2 /usr/bin/x\n", False, None),
        ('@daily mail -s "lunch" bob\n', False, None),
        ("@daily mail bob\n", False, None),
        ("@daily mail /usr/bin/x\n", False, "begins with the account 'mail'"),
        ("@daily root\n", False, "is only the account 'root'"),
        ("@daily mail\n", False, None),
    ],
)
def test_an_account_of_another_than_the_worker_is_a_difference(
    text: str, is_system: bool, words: str | None
) -> None:
    (item,) = items(text, is_system=is_system)

    assert len(item.differences) == (0 if words is None else 1)
    assert words is None or words in item.differences[0]


def test_an_account_that_a_job_may_name_becomes_its_user() -> None:
    listed, other, plain = items(
        "@daily nobody x\n@daily daemon y\n@daily nobody:web z\n",
        is_system=True,
        accounts=frozenset({"nobody"}),
    )

    assert listed.draft is not None
    assert listed.draft.kwargs == {"command": "x", "user": "nobody"}
    assert listed.differences == []
    assert other.draft is not None
    assert "user" not in other.draft.kwargs
    assert "cron runs it as daemon; here the account of the worker" in other.differences[0]
    assert plain.draft is not None
    assert "user" not in plain.draft.kwargs


def test_only_a_column_of_accounts_determines_the_user_of_a_job() -> None:
    (of_system,) = items("@daily nobody x\n", is_system=True)
    (of_person,) = items("@daily x\n")

    described = [item.draft and item.draft.described for item in (of_system, of_person)]
    assert described == [DESCRIBED | {"user"}, DESCRIBED]


def test_an_account_that_this_machine_does_not_have_is_named() -> None:
    (item,) = items("@daily no-such-account:group x\n", is_system=True)

    assert "no account 'no-such-account'" in item.differences[1]


def test_a_refused_line_has_the_name_and_the_command_of_its_job() -> None:
    (item,) = items("5/15 * * * * backup.sh\n")

    assert (item.name, item.command) == ("p-backup", "backup.sh")


def test_a_clock_change_that_joins_fires_is_a_difference_in_the_zone_of_the_job() -> None:
    text = "0,30 2 * * * x\nCRON_TZ=Europe/Berlin\n0,30 2 * * * y\n"

    first, _, second = items(text)

    assert first.differences == []
    assert "The clock skips 2 of its times" in second.differences[0]


@pytest.mark.parametrize("number, count", [(0, 0), (1000, 1)])
def test_su_needs_nothing_where_root_imports(
    monkeypatch: pytest.MonkeyPatch, number: int, count: int
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: number)

    (item,) = items("@daily su - nobody -c x\n")

    assert len(item.differences) == count


def test_a_line_below_cron_tz_names_the_time_of_debians_cron() -> None:
    text = "CRON_TZ=Asia/Tokyo\n0 5 * * * x\n* * * * * y\n@reboot z\nCRON_TZ=\n0 5 * * * w\n"

    _, moved, always, start, _, plain = items(text)

    assert "it runs this at" in moved.differences[0]
    assert " 05:00 in UTC next, which is" in moved.differences[0]
    assert " 14:00 in Asia/Tokyo." in moved.differences[0]
    assert (always.differences, plain.differences) == ([], [])
    assert not any("CRON_TZ" in text for text in start.differences)


@pytest.mark.parametrize(
    "path, text, note",
    [
        ("/etc/cron.d/x", "0 5 * * * root x\n61 * * * * root y\n", "cannot read line 2."),
        ("/etc/cron.d/x", "a b\n61 * * * * root y\n", "cannot read lines 1, 2."),
        ("/etc/cron.d/x", "0 5 * * * root x\na.b=1\n", None),
        ("/x/me", "61 * * * * root y\n", None),
        ("/x/me", "#0 5 * * * root x\n", "1 comment looks like a disabled line: line 1."),
        (
            "/x/me",
            "#0 5 * * * root x\n# @daily root y\n# Prose with a lot of words.\n"
            "# m h dom mon dow user command\n# * * * * * user-name command to be executed\n",
            "2 comments look like disabled lines: lines 1, 2.",
        ),
    ],
)
def test_what_is_to_be_said_of_a_whole_file_is_a_note(
    path: str, text: str, note: str | None
) -> None:
    notes = source_of(CrontabFile(path, text.encode(), True, "form"), "x", zone="UTC", prefix="")

    assert [bool(note and note in line) for line in notes.notes] == [True] * (note is not None)
