"""Machines that are set up wrong on purpose: disks, files, account."""

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import mkdtemp

import pytest

from jobs_app.core.settings import Settings
from jobs_app.jobs.doctor import machine
from jobs_app.jobs.doctor.findings import Finding
from jobs_app.jobs.doctor.machine import MIB, Disk


def levels(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, str(finding.level)) for finding in findings]


def test_a_mistyped_setting_is_named() -> None:
    environment = {"JOBS_WORKER_CONCURENCY": "3", "JOBS_URL": "x", "JOBS_WORKER_QUEUES": "a"}

    (found,) = machine.variables(environment)

    assert levels([found]) == [("variables", "warning")]
    assert found.sentence == "JOBS_WORKER_CONCURENCY is no setting, and is ignored."
    assert "JOBS_WORKER_CONCURRENCY" in found.remedy


def test_root_is_named_unless_commands_have_another_account() -> None:
    separate = Settings(shell_default_user="nobody")

    assert levels(machine.root(0, Settings())) == [("root", "warning")]
    assert levels(machine.root(1000, Settings())) == []
    assert levels(machine.root(0, separate)) == []


@pytest.mark.parametrize(
    "free, total, expected",
    [
        (50 * MIB, 100 * MIB, "error"),
        (900 * MIB, 100_000 * MIB, "error"),
        (70_000 * MIB, 4_000_000 * MIB, None),
        (900 * MIB, 20_000 * MIB, "warning"),
        (900 * MIB, 1000 * MIB, None),
        (5000 * MIB, 100_000 * MIB, None),
    ],
)
def test_a_disk_that_is_nearly_full(free: int, total: int, expected: str | None) -> None:
    found = levels(machine.disk([Disk(Path("/data"), total, free)]))

    assert found == ([] if expected is None else [("disk", expected)])


@pytest.mark.parametrize("name, mode", [("secret-key", 0o640), ("jobs.db", 0o604)])
def test_a_file_that_others_can_read(tmp_path: Path, name: str, mode: int) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / name).write_text("x")
    (tmp_path / name).chmod(mode)

    (found,) = machine.file_modes(tmp_path)

    assert (found.check, found.level) == ("file_modes", "error")
    assert found.remedy == f"chmod 600 {tmp_path / name}"
    (tmp_path / name).chmod(0o600)
    assert list(machine.file_modes(tmp_path)) == []


def test_a_database_beside_the_data_directory_that_others_can_read(tmp_path: Path) -> None:
    directory = tmp_path / "its place"
    directory.mkdir()
    settings = Settings(data_dir=tmp_path, database_url=f"sqlite:///{directory}/own.db")
    for name in ("own.db", "own.db-wal"):
        (directory / name).write_text("x")
        (directory / name).chmod(0o644)

    found = list(machine.file_modes(tmp_path, machine.sqlite_file(settings)))

    assert [finding.remedy for finding in found] == [
        f"chmod 600 '{directory}/own.db'",
        f"chmod 600 '{directory}/own.db-wal'",
    ]


def test_a_directory_of_another_user_is_not_mended_by_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    if os.geteuid() == 0:
        # Files of root are nobody else's.
        os.chown(tmp_path, 12345, -1)
    monkeypatch.setattr("os.geteuid", lambda: 4711)

    (found,) = machine.file_modes(tmp_path)

    assert f"belongs to another user (uid {tmp_path.stat().st_uid})" in found.sentence
    assert "chmod" not in found.remedy


def test_a_directory_that_others_can_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    assert levels(machine.file_modes(tmp_path)) == [("file_modes", "error")]


@pytest.mark.parametrize("kind, is_found", [("nfs4", True), ("fuse.sshfs", True), ("ext4", False)])
def test_sqlite_on_a_file_system_of_the_network(kind: str, is_found: bool, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "a", database_url=f"sqlite:///{tmp_path}/a/jobs.db")
    mounts = {Path("/"): "ext4", tmp_path: kind, tmp_path / "b": "nfs"}

    found = levels(machine.network_filesystem(settings, mounts))

    assert found == ([("network_filesystem", "error")] if is_found else [])


@pytest.mark.parametrize("link", ["a", "a/jobs.db"])
def test_a_link_to_a_file_system_of_the_network(link: str, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    (remote / "a").mkdir(parents=True)
    (remote / "a" / "jobs.db").touch()
    local = tmp_path / "local" / link
    local.parent.mkdir(parents=True)
    local.symlink_to(remote / link)
    settings = Settings(data_dir=tmp_path / "local" / "a")

    found = levels(machine.network_filesystem(settings, {Path("/"): "ext4", remote: "nfs4"}))

    assert found == [("network_filesystem", "error")]


def test_postgresql_needs_no_disk_here(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql://db/jobs")

    assert levels(machine.network_filesystem(settings, {Path("/"): "nfs"})) == []


def test_a_data_directory_that_cannot_be_written(request: pytest.FixtureRequest) -> None:
    directory = Path(mkdtemp(prefix="jobs-doctor-"))
    request.addfinalizer(directory.rmdir)
    assert list(machine.file_modes(directory)) == []
    if os.geteuid() == 0:
        # No mode keeps root out.
        nobody = 65534
        os.chown(directory, nobody, nobody)
        os.seteuid(nobody)
        request.addfinalizer(lambda: os.seteuid(0))
    directory.chmod(0o500)

    (found,) = machine.file_modes(directory)

    assert (found.check, found.level) == ("file_modes", "error")
    assert f"cannot write the data directory {directory}" in found.sentence
    assert f"chmod u+rwx {directory}" in found.remedy
