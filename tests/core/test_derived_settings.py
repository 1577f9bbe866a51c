"""Settings that are lists with commas."""

import pytest

from jobs_app.core.settings import Settings


@pytest.mark.parametrize(
    "listed, default, accounts",
    [
        ("", None, ()),
        (" www-data , backup", None, ("www-data", "backup")),
        ("backup", "jobs-commands", ("backup", "jobs-commands")),
        ("backup", "backup", ("backup",)),
        ("", "root", ("root",)),
    ],
)
def test_a_job_may_name_the_listed_accounts_and_the_default_one(
    listed: str, default: str | None, accounts: tuple[str, ...]
) -> None:
    settings = Settings(shell_users=listed, shell_default_user=default)

    assert settings.shell_accounts == accounts
