"""Checks of the machine, the account and the variables of this process: disks, files."""

import os
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from jobs_app.core.own_files import DATABASE_FILES, SECRET_FILES, others_can_write
from jobs_app.core.setting_names import mistyped_variables
from jobs_app.core.settings import Settings
from jobs_app.jobs.doctor.findings import Finding, Level

#: File systems of the network (and of shared folders), on which the locks of SQLite do not hold.
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "virtiofs", "vboxsf", "prl_fs"}
    | {"fuse.vmhgfs-fuse", "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.mount-s3", "fuse.juicefs"}
)

MOUNTS = Path("/proc/mounts")

MIB = 2**20
#: Less room than both is a warning. Then few per cent are an error, and few bytes always.
LOW_BYTES, LOW_PERCENT = 1024 * MIB, 10
FULL_BYTES, FULL_PERCENT = 100 * MIB, 2


@dataclass(frozen=True, slots=True)
class Disk:
    """A directory, and the bytes of its disk."""

    directory: Path
    total: int
    free: int


def check(settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with this machine, account."""
    yield from variables(os.environ)
    yield from root(os.geteuid(), settings)
    yield from file_modes(settings.data_dir, sqlite_file(settings))
    yield from disk(_disks(settings))
    yield from network_filesystem(settings, _mounts())


def variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a warning for each variable of *environment* that looks like a setting and is none."""
    for name, suggestion in mistyped_variables(environment):
        yield Finding(
            "variables",
            Level.WARNING,
            f"{name} is no setting, and is ignored.",
            f"Did you mean {suggestion}?",
        )


def root(euid: int, settings: Settings) -> Iterator[Finding]:
    """Yield a warning if this process runs as root, and commands have no account of their own."""
    if euid == 0 and settings.shell_default_user is None:
        yield Finding(
            "root",
            Level.WARNING,
            "jobs-app runs as root, and so does each command of a job.",
            "Run it as a user of its own, or let commands run as another account:"
            " JOBS_SHELL_DEFAULT_USER.",
        )


def file_modes(directory: Path, database: Path | None = None) -> Iterator[Finding]:
    """Yield errors for files that other users can read, or a directory that they can write.

    *database* is the file of SQLite, which may be in another directory.
    """
    if not directory.is_dir():
        return
    owner = directory.stat().st_uid
    if owner not in {os.geteuid(), 0}:
        yield Finding(
            "file_modes",
            Level.ERROR,
            f"The data directory {directory} belongs to another user (uid {owner}), and this"
            f" process runs as uid {os.geteuid()}.",
            "Run jobs-app, and the doctor, as that user; or set JOBS_DATA_DIR to a directory of"
            " its own.",
        )
        return
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        yield Finding(
            "file_modes",
            Level.ERROR,
            f"This process cannot write the data directory {directory}: its mode forbids it, or it"
            " is on a file system that is mounted read-only.",
            f"chmod u+rwx {shlex.quote(str(directory))}, or mount it writable (mount -o"
            " remount,rw; readOnly in a container).",
        )
    if others_can_write(directory):
        yield Finding(
            "file_modes",
            Level.ERROR,
            f"Other users can write the data directory {directory}.",
            f"chmod 700 {shlex.quote(str(directory))}",
        )
    databases = dict.fromkeys(directory / name for name in DATABASE_FILES)
    if database is not None:
        ends = ("", "-wal", "-shm")
        databases |= dict.fromkeys(database.with_name(database.name + end) for end in ends)
    for file in (*(directory / name for name in SECRET_FILES), *databases):
        if file.exists() and file.stat().st_mode & 0o077:
            what = "has all jobs and logs" if file in databases else "has secrets"
            yield Finding(
                "file_modes",
                Level.ERROR,
                f"Other users can read {file}, which {what}.",
                f"chmod 600 {shlex.quote(str(file))}",
            )


def disk(disks: Iterable[Disk]) -> Iterator[Finding]:
    """Yield a finding for each disk that is nearly full."""
    for one in disks:
        percent = 100 * one.free / max(one.total, 1)
        sentence = f"The disk of {one.directory} has {one.free // MIB:,} MiB left, {percent:.0f} %."
        remedy = "Make room, or keep less: JOBS_KEEP_DAYS, JOBS_KEEP_LOG_DAYS, JOBS_KEEP_RUNS."
        # Few per cent of a large disk are much room.
        is_low = one.free < LOW_BYTES and percent < LOW_PERCENT
        if one.free < FULL_BYTES or (is_low and percent < FULL_PERCENT):
            yield Finding("disk", Level.ERROR, sentence, remedy)
        elif is_low:
            yield Finding("disk", Level.WARNING, sentence, remedy)


def _disks(settings: Settings) -> Iterator[Disk]:
    """Yield the disk of each directory that is written to; one disk once."""
    seen = set()
    file = sqlite_file(settings)
    for directory in (settings.data_dir, *([] if file is None else [file.resolve().parent])):
        if directory.is_dir() and directory.stat().st_dev not in seen:
            seen.add(directory.stat().st_dev)
            usage = shutil.disk_usage(directory)
            yield Disk(directory, usage.total, usage.free)


def sqlite_file(settings: Settings) -> Path | None:
    """Return the file of the database; None for another one than SQLite."""
    url = make_url(settings.effective_database_url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def network_filesystem(settings: Settings, mounts: dict[Path, str]) -> Iterator[Finding]:
    """Yield an error if SQLite is on a file system of the network."""
    file = sqlite_file(settings)
    if file is None:
        return
    # A link may lead to another disk.
    directory = file.resolve().parent
    places = (place for place in (directory, *directory.parents) if place in mounts)
    kind = mounts.get(next(places, Path("/")), "")
    if kind in NETWORK_FILESYSTEMS:
        yield Finding(
            "network_filesystem",
            Level.ERROR,
            f"The SQLite database {file} is on a {kind} file system, where its locks do not hold"
            " and its WAL does not work: it can be lost.",
            "Move JOBS_DATA_DIR to a local disk, or use PostgreSQL (JOBS_DATABASE_URL).",
        )


def _mounts() -> dict[Path, str]:
    """Return the type of the file system at each mount point; {} where that is not known."""
    try:
        lines = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {Path(_unescaped(words[1])): words[2] for words in map(str.split, lines) if words[2:]}


def _unescaped(text: str) -> str:
    """Return a path of /proc/mounts, where a space is an octal escape (proc(5))."""
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text
