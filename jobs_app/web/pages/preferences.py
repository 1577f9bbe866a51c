"""The zone and the theme of the pages: cookies of this browser, set by a form."""

from flask import Blueprint, redirect, request
from werkzeug import Response

from jobs_app.schedules import timezones
from jobs_app.web import page_session
from jobs_app.web.local_address import local_address, rooted
from jobs_app.web.pages import frame, zones

page = Blueprint("preferences_page", __name__)

#: How long the browser keeps a choice: a year, seconds.
KEPT_SECONDS = 31_536_000


@page.get("/preferences")
def show() -> Response:
    """Show the choices."""
    return _show(back=request.args.get("back", ""), zone=zones.current().key, theme=frame.theme())


@page.post("/preferences")
def save() -> Response:
    """Set the cookies, and go back to the page that the person came from."""
    zone, back = request.form.get("zone", "").strip(), request.form.get("back", "")
    theme = request.form.get("theme", frame.theme())
    if zone and not timezones.is_known(zone):
        near = ", ".join(timezones.suggestions(zone))
        hint = f" Did you mean {near}?" if near else ""
        error = f"There is no time zone {zone!r}.{hint}"
        return _show(back=back, zone=zone, theme=theme, error=error)
    response = redirect(rooted(local_address(back)), 303)
    if theme in frame.THEMES:
        _keep(response, frame.THEME_COOKIE, theme if theme != frame.THEMES[0] else "")
    if "zone" in request.form:
        _keep(response, zones.CHOSEN_COOKIE, zone)
    return response


def _show(*, back: str, zone: str, theme: str, error: str = "") -> Response:
    return frame.render(
        "preferences.html",
        status=422 if error else 200,
        back=back,
        typed=zone,
        chosen=theme,
        error=error,
        names=sorted(timezones.names()),
    )


def _keep(response: Response, name: str, value: str) -> None:
    """Set the cookie *name*, or drop it if *value* is empty."""
    own, age = page_session.cookie(), KEPT_SECONDS if value else 0
    response.set_cookie(
        name,
        value,
        max_age=age,
        path=own.path,
        samesite="Lax",
        secure=own.is_secure,
        httponly=True,
    )
