"""A start is refused where the account of commands could read secrets or change code."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.tasks import command_access
from jobs_app.tasks.command_access import check_default_account
from tests.running import in_child

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that everybody can enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def settings(data_dir: Path, account: str = "nobody") -> Settings:
    return Settings(data_dir=data_dir, shell_default_user=account)


def test_without_the_setting_nothing_is_checked(data_dir: Path) -> None:
    check_default_account(Settings(data_dir=data_dir))


@needs_root
def test_files_and_code_of_root_alone_pass(data_dir: Path) -> None:
    (data_dir / "secret-key").touch(mode=0o600)
    (data_dir / "jobs.db").touch(mode=0o600)

    check_default_account(settings(data_dir))


def test_an_account_that_the_machine_does_not_have_is_refused(data_dir: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"JOBS_SHELL_DEFAULT_USER: .* no account 'gone'"):
        check_default_account(settings(data_dir, "gone"))


@needs_root
def test_a_worker_that_is_not_root_is_refused(data_dir: Path) -> None:
    def check() -> str:
        os.setresuid(*(pwd.getpwnam("nobody").pw_uid,) * 3)
        try:
            check_default_account(settings(data_dir, "daemon"))
        except ConfigurationError as error:
            return error.detail
        return ""

    assert "runs as nobody" in in_child(check)


@needs_root
@pytest.mark.parametrize(
    "name", ["secret-key", "admin-token", "redis-url", "jobs.db", "jobs.db-wal"]
)
def test_a_secret_that_the_account_could_read_is_refused(data_dir: Path, name: str) -> None:
    (data_dir / name).touch()
    (data_dir / name).chmod(0o644)

    with pytest.raises(ConfigurationError, match=f"could read {data_dir / name}. Close"):
        check_default_account(settings(data_dir))


@needs_root
def test_a_file_of_the_account_itself_is_refused_in_spite_of_its_mode(data_dir: Path) -> None:
    (data_dir / "admin-token").touch(mode=0o600)
    os.chown(data_dir / "admin-token", pwd.getpwnam("nobody").pw_uid, -1)

    with pytest.raises(ConfigurationError, match="could read"):
        check_default_account(settings(data_dir))


@needs_root
def test_settings_from_files_that_the_account_could_read_are_refused(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("jobs_database_url", "others"):
        (data_dir / name).touch()
        (data_dir / name).chmod(0o644)
    monkeypatch.setattr(command_access, "SECRETS_DIRECTORIES", (data_dir,))

    with pytest.raises(ConfigurationError, match=f"could read {data_dir}/jobs_database_url. Close"):
        check_default_account(settings(data_dir))


@needs_root
def test_code_that_the_account_could_write_is_refused(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = data_dir / "modules"
    modules.mkdir()
    os.chown(modules, pwd.getpwnam("nobody").pw_uid, -1)
    monkeypatch.syspath_prepend(str(modules))

    with pytest.raises(ConfigurationError, match=f"could write {modules}, and so change"):
        check_default_account(settings(data_dir))


@needs_root
def test_a_data_directory_that_the_account_could_write_is_refused(data_dir: Path) -> None:
    data_dir.chmod(0o777)

    with pytest.raises(ConfigurationError, match=f"could write {data_dir}, and"):
        check_default_account(settings(data_dir))
