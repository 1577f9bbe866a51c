"""The time zone of this machine, which its cron follows."""

import os
from contextlib import suppress
from pathlib import Path

from jobs_app.schedules import timezones

LOCALTIME = Path("/etc/localtime")
TIMEZONE = Path("/etc/timezone")
#: Other names of UTC, in the IANA database's file `backward`; machines often have the first.
UTC_NAMES = frozenset(
    f"{region}{name}" for region in ("Etc/", "") for name in ("UTC", "UCT", "Universal", "Zulu")
)


def machine_zone(localtime: Path = LOCALTIME, timezone: Path = TIMEZONE) -> str | None:
    """Return the IANA name of the machine's time zone; None if it does not tell.

    The variable TZ comes last: cron does not see that of a terminal. A machine without a file
    for it is in UTC.
    """
    candidates = [os.path.realpath(localtime).rpartition("zoneinfo/")[2]]
    with suppress(OSError, UnicodeDecodeError):
        candidates.append(timezone.read_text().strip())
    candidates.append(os.environ.get("TZ", "").lstrip(":"))
    if not localtime.exists():
        candidates.append("UTC")
    known = next((name for name in candidates if timezones.is_known(name)), None)
    return "UTC" if known in UTC_NAMES else known
