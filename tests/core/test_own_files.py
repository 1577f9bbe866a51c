"""Files that another user owns, can write or can read are refused, each with a sentence."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.own_files import check_secret_file, open_data_dir, others_can_write

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(autouse=True)
def _umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_directory_that_is_not_there_passes(tmp_path: Path) -> None:
    open_data_dir(tmp_path / "none")


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    with pytest.raises(ConfigurationError, match="cannot be used: Not a directory"):
        open_data_dir(tmp_path / "data")


def test_an_empty_directory_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    open_data_dir(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_only_the_owner_reads_what_is_created_afterwards(tmp_path: Path) -> None:
    open_data_dir(tmp_path)

    (tmp_path / "jobs.db").touch()

    assert stat.S_IMODE((tmp_path / "jobs.db").stat().st_mode) == 0o600


def test_a_database_that_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    for name in ("jobs.db", "jobs.db-wal"):
        (tmp_path / name).touch(mode=0o644)

    open_data_dir(tmp_path)

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@needs_root
@pytest.mark.parametrize("name", ["", "admin-token", "secret-key", "jobs.db", "redis-url"])
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name:
        path.touch(mode=0o600)
    os.chown(path, 23456, -1)

    with pytest.raises(ConfigurationError, match=r"belongs to another user \(uid 23456\)"):
        open_data_dir(tmp_path)


@needs_root
def test_a_link_to_the_file_of_another_user_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.touch()
    os.chown(theirs, 23456, -1)
    (tmp_path / "admin-token").symlink_to(theirs)

    with pytest.raises(ConfigurationError, match="another user"):
        open_data_dir(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_directory_that_others_can_write_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "other").touch()
    tmp_path.chmod(mode)

    with pytest.raises(ConfigurationError, match="can be written by other users"):
        open_data_dir(tmp_path)


@needs_root
def test_a_group_with_other_members_counts_as_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    assert not others_can_write(tmp_path), "the group of the user alone"

    os.chown(tmp_path, -1, 23456)

    assert others_can_write(tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "admin-token"
    path.touch()
    path.chmod(mode)

    with pytest.raises(ConfigurationError, match="make its mode 0600"):
        check_secret_file(path)


@pytest.mark.few(2)
@pytest.mark.parametrize("command", ["migrate", "web", "worker", "scheduler", "up"])
def test_each_command_refuses_a_directory_that_others_can_write(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "other").touch()
    tmp_path.chmod(0o777)

    done = subprocess.run(
        [sys.executable, "-m", "jobs_app", command],
        env=os.environ | {"JOBS_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "can be written by other users: choose a directory of its own" in done.stderr


def test_celerys_own_command_refuses_it_too(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    tmp_path.chmod(0o777)

    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "jobs_app.celery_app", "report"],
        env=os.environ | {"JOBS_DATA_DIR": str(tmp_path), "JOBS_REDIS_URL": "redis://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert "can be written by other users" in done.stderr
