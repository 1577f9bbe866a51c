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
        ("@daily no-such-account-here x\n", False, None),
        ("@daily no-such-account-here /usr/bin/x\n", False, "a --system crontab?"),
        ("@daily no-such-account-here cd /srv\n", False, "a --system crontab?"),
        ("@daily no-such-account-here php x.php\n", False, "a --system crontab?"),
        ("@daily php8.2 /usr/bin/x\n", False, None),
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
