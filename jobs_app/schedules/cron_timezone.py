"""The time zone in front of a cron expression: `TZ=Europe/Paris 0 5 * * *`. Pure, no IO."""

import re

# A value in quotes, or with the colon of POSIX, names the same zone.
_PREFIX = re.compile(
    r"\s*(?P<name>(?:CRON_)?TZ)\s*=\s*(?P<quote>[\"']?):?(?P<zone>[A-Z][^\s\"']*)(?P=quote)\s+",
    re.IGNORECASE,
)


def divide(cron: str) -> tuple[str | None, str]:
    """Return the zone that *cron* begins with, and the expression; None if it names none."""
    match = _PREFIX.match(cron)
    return (match["zone"], cron[match.end() :]) if match else (None, cron)
