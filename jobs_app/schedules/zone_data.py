"""The version of the time zone data of this process, and the files of single zones.

As zoneinfo (PEP 615), it looks into the directories of the system first, then into the package
tzdata.
"""

import hashlib
import zoneinfo
from functools import cache
from importlib import resources
from pathlib import Path

#: A zone that every directory of zones has.
_SAMPLE = "Etc/UTC"

#: Zones by which data without a version is told apart.
_FINGERPRINTED = ("America/New_York", "Europe/London", "Asia/Tehran", "Africa/Casablanca")


@cache
def version() -> str:
    """Return the version of the zone data that this process began with, as "2025b".

    Data that names none has "unversioned" and a hash. "none" means that there is no data at all.
    """
    for name in zoneinfo.TZPATH:
        directory = Path(name)
        if (directory / _SAMPLE).is_file():
            return _version_in(directory) or f"unversioned {_fingerprint()}"
    return _package_version() or "none"


def _version_in(directory: Path) -> str | None:
    for file in (directory / "+VERSION", directory / "tzdata.zi"):
        try:
            with file.open(encoding="ascii", errors="replace") as stream:
                first = stream.readline()
        except OSError:
            continue
        return first.removeprefix("# version ").strip()[:24] or None
    return None


def _package_version() -> str | None:
    try:
        text = (resources.files("tzdata") / "__init__.py").read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError):
        return None
    return text.partition('IANA_VERSION = "')[2].partition('"')[0] or None


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in _FINGERPRINTED:
        digest.update(zone_file(name) or b"")
    return digest.hexdigest()[:8]


def zone_file(name: str) -> bytes | None:
    """Return the data of the zone *name* as it is now (RFC 8536); None if there is none."""
    # Names come from jobs: none leads out of the directories.
    if name not in zoneinfo.available_timezones():
        return None
    for directory in zoneinfo.TZPATH:
        try:
            return (Path(directory) / name).read_bytes()
        except OSError:
            continue
    try:
        return resources.files("tzdata.zoneinfo").joinpath(name).read_bytes()
    except (ModuleNotFoundError, OSError):
        return None
