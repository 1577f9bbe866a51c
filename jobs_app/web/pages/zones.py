"""The clock of the page: one zone for all instants, named in the top bar, and their texts."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from flask import g, request
from markupsafe import Markup

from jobs_app.core import clock
from jobs_app.core.text import rfc3339
from jobs_app.schedules import timezones
from jobs_app.web import extension

#: What the person has chosen, and what the browser says; the first that is a zone counts.
CHOSEN_COOKIE = "jobs_zone"
BROWSER_COOKIE = "jobs_browser_zone"

#: A time within these days has its weekday, one of another year its year.
_NEAR = timedelta(days=6)


def current() -> ZoneInfo:
    """Return the zone of this page: the person's choice, else the browser's, else JOBS_TIMEZONE."""
    if "zone" not in g:
        names = (request.cookies.get(name) for name in (CHOSEN_COOKIE, BROWSER_COOKIE))
        known = (name for name in names if name and timezones.is_known(name))
        g.zone = timezones.load(next(known, extension.current().settings.timezone))
    zone: ZoneInfo = g.zone
    return zone


def exact(instant: datetime | None, zone: ZoneInfo | None = None, *, seconds: bool = False) -> str:
    """Return *instant* with its date and the zone, "–" for None: `Tue 24 Nov 2026 02:30 CET`."""
    if instant is None:
        return "–"
    local = instant.astimezone(zone or current())
    shape = "%a %-d %b %Y %H:%M:%S %Z" if seconds else "%a %-d %b %Y %H:%M %Z"
    return local.strftime(shape)


def short(instant: datetime, zone: ZoneInfo | None = None, *, at: datetime | None = None) -> str:
    """Return *instant* as lists have it: `02:30`, `Tue 02:30`, `24 Nov 02:30`, `24 Nov 2025`."""
    zone = zone or current()
    local, today = instant.astimezone(zone), (at or clock.now()).astimezone(zone)
    if local.date() == today.date():
        return local.strftime("%H:%M")
    if abs(local.date() - today.date()) <= _NEAR:
        return local.strftime("%a %H:%M")
    return local.strftime("%-d %b %H:%M" if local.year == today.year else "%-d %b %Y")


def when(instant: datetime | None) -> Markup:
    """Return *instant* as an element; with script it shows how long ago that is, or how soon.

    Its text is exact, so that a page that did not change is the same text a second later.
    """
    if instant is None:
        return Markup("–")
    return Markup('<time datetime="{}" data-relative>{}</time>').format(
        rfc3339(instant.astimezone(UTC)), exact(instant)
    )


def at(instant: datetime | None) -> Markup:
    """Return *instant* as an element that shows the exact time, with its seconds."""
    if instant is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(
        rfc3339(instant.astimezone(UTC)), exact(instant, seconds=True)
    )


def running_for(start: datetime | None) -> Markup:
    """Return an element that counts the time since *start*, with script."""
    if start is None:
        return Markup("–")
    return Markup('<time datetime="{}" data-elapsed>since {}</time>').format(
        rfc3339(start.astimezone(UTC)), exact(start, seconds=True)
    )


def duration(seconds: float | None) -> str:
    """Return a duration: `850 ms`, `3.2 s`, `4 min 12 s`, `2 h 05 min`, `3 d`; "–" for None."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    if whole < 86_400:
        minutes = whole % 3600 // 60
        return f"{whole // 3600} h" + (f" {minutes:02d} min" if minutes else "")
    days, hours = whole // 86_400, whole % 86_400 // 3600
    return f"{days} d {hours} h" if hours and days < 10 else f"{days} d"
