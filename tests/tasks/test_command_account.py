"""The account of a command: which ones a job may name, and which ones a worker can change to."""

import os
import pwd

import pytest

from jobs_app.core.settings import Settings
from jobs_app.tasks import registry
from jobs_app.tasks.command_account import account_for, is_root, own_name, root_warning
from jobs_app.tasks.context import CommandFailed
from tests.factories import TASKS
from tests.running import in_child

OWN = own_name()
ALLOWED = Settings(shell_users="nobody,daemon,no-such-account")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_nobody() -> None:
    os.setresuid(*(pwd.getpwnam("nobody").pw_uid,) * 3)


def test_without_an_account_a_command_runs_as_its_worker() -> None:
    assert account_for(None, Settings()) is None


@pytest.mark.parametrize("user", ["root", "daemon", "", "nobody,daemon", "Nobody"])
def test_an_account_that_is_not_listed_is_refused(user: str) -> None:
    with pytest.raises(CommandFailed, match="JOBS_SHELL_USERS allows: nobody"):
        account_for(user, Settings(shell_users="nobody"))


def test_no_account_is_allowed_by_default() -> None:
    with pytest.raises(CommandFailed, match="JOBS_SHELL_USERS allows: it is empty"):
        account_for("nobody", Settings())


def test_an_account_that_the_machine_does_not_have_is_named() -> None:
    with pytest.raises(CommandFailed, match="no account 'no-such-account'"):
        account_for("no-such-account", ALLOWED)


@needs_root
def test_an_account_has_its_groups_and_none_of_roots() -> None:
    account = account_for("daemon", ALLOWED)
    entry = pwd.getpwnam("daemon")

    assert account is not None
    assert (account.name, account.uid, account.gid) == ("daemon", entry.pw_uid, entry.pw_gid)
    assert account.groups == tuple(os.getgrouplist("daemon", entry.pw_gid))
    assert account.home == entry.pw_dir


@needs_root
def test_the_default_account_is_that_of_jobs_that_name_none() -> None:
    settings = Settings(shell_users="daemon", shell_default_user="nobody")

    names = [account_for(user, settings) for user in (None, "nobody", "daemon")]

    assert [account and account.name for account in names] == ["nobody", "nobody", "daemon"]


def test_the_account_of_the_worker_needs_no_change() -> None:
    assert account_for(OWN, Settings(shell_users=OWN)) is None


@needs_root
def test_a_worker_that_is_not_root_changes_to_no_account() -> None:
    def change() -> str:
        as_nobody()
        try:
            account_for("daemon", ALLOWED)
        except CommandFailed as error:
            return error.detail
        return ""

    assert in_child(change) == (
        "This worker runs as nobody: only one that runs as root can run a command as daemon."
    )


@pytest.mark.parametrize(
    "user, found",
    [("root", True), ("nobody", False), ("no-such-account", False), (None, False), (0, False)],
)
def test_root_is_known_by_its_name(user: object, found: bool) -> None:
    assert is_root(user) is found


def test_an_account_with_the_number_of_root_is_root(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pwd.struct_passwd(("toor", "x", 0, 0, "", "/root", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", {"toor": entry}.__getitem__)

    assert is_root("toor")


def test_a_save_refuses_an_account_that_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_SHELL_USERS", "nobody")

    (error,) = registry.check(TASKS, "shell", {"command": "true", "user": "root"})

    assert (error.pointer, error.code) == ("/kwargs/user", "not_allowed")
    assert registry.check(TASKS, "shell", {"command": "true", "user": "nobody"}) == []


def test_a_save_warns_of_an_account_that_this_machine_does_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBS_SHELL_USERS", "no-such-account")

    warnings = registry.argument_warnings(
        TASKS, "shell", {"command": "true", "user": "no-such-account"}
    )

    assert len(warnings) == 1
    assert "no account 'no-such-account'" in warnings[0]


@needs_root
def test_a_save_warns_where_the_server_is_not_root() -> None:
    def warn() -> list[str]:
        os.environ["JOBS_SHELL_USERS"] = "daemon"
        as_nobody()
        return registry.argument_warnings(TASKS, "shell", {"command": "true", "user": "daemon"})

    assert in_child(warn) == [
        "Runs as daemon need a worker that runs as root; this server does not."
    ]


def test_the_schema_of_the_task_has_the_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    def kinds() -> object:
        info = registry.task_info(TASKS, "shell")
        assert info is not None
        return info.schema["properties"]["user"]["anyOf"]

    assert kinds() == [{"type": "string"}, {"type": "null"}]

    monkeypatch.setenv("JOBS_SHELL_USERS", "nobody, daemon")

    assert kinds() == [{"type": "string", "enum": ["nobody", "daemon"]}, {"type": "null"}]


@needs_root
def test_root_is_warned_unless_commands_have_another_account() -> None:
    assert "JOBS_SHELL_DEFAULT_USER" in root_warning(Settings(shell_users="nobody"))
    assert root_warning(Settings(shell_default_user="nobody")) == ""
