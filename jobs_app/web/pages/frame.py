"""The frame of every page: its template's functions, its headers, and its polled region."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, current_app, g, redirect, render_template, request, url_for
from jinja2_fragments.flask import render_block
from markupsafe import Markup
from werkzeug import Response as BaseResponse

from jobs_app import __version__
from jobs_app.accounts.permissions import Action
from jobs_app.accounts.principal import Principal
from jobs_app.core.text import counted
from jobs_app.web import csrf, job_rights, outage_line
from jobs_app.web.local_address import current_address
from jobs_app.web.pages import bidi_controls, marks, parameters, zones
from jobs_app.web.pages.assets import static
from jobs_app.web.pages.regions import Region, RegionCache
from jobs_app.web.permissions import may

#: Scripts and styles from us alone, none of them inline; forms are sent to us alone.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'none'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

#: The header in which htmx sends the tag of the region that the browser has, and gets the new one.
TAG_HEADER = "HX-PTag"
#: The header in which a poll gets the line about what is down.
OUTAGE_HEADER = "Jobs-Outage"
#: How htmx names the region. Its extension for tags may be late, and then sends no tag.
REGION = "div#live"

THEME_COOKIE = "jobs_theme"
THEMES = ("system", "light", "dark")

NAME = "jobs_app_frame"

#: The pages in the top bar: endpoint, the key after `g`, and the word.
NAVIGATION = (
    ("home_page.show", "h", "Home"),
    ("jobs_page.show", "j", "Jobs"),
    ("runs_page.show", "r", "Runs"),
)

#: The pages under the name of the person, and what somebody needs to see them there.
PERSON_MENU = (
    ("me_page.show", Action.IDENTIFY, "Me"),
    ("audit_page.show", Action.READ, "Audit"),
    ("tokens_page.show", Action.OWN_TOKENS, "Tokens"),
    ("people_page.show", Action.MANAGE_PEOPLE, "People"),
    ("doctor_page.show", Action.DIAGNOSE, "Doctor"),
)


def init_app(app: Flask) -> None:
    """Give *app* what the templates of the pages need."""
    app.extensions[NAME] = RegionCache()
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        Action=Action,
        at=zones.at,
        colour=marks.colour,
        counted=counted,
        csrf_field=csrf.field,
        duration=zones.duration,
        exact=zones.exact,
        mark=marks.mark,
        may=may,
        may_change_job=job_rights.may_change,
        navigation=NAVIGATION,
        person_menu=person_menu,
        running_for=zones.running_for,
        short=zones.short,
        static=static,
        trigger_words=marks.trigger_words,
        version=__version__,
        when=zones.when,
        word=marks.word,
    )


def show(
    template: str,
    build: Callable[[], Mapping[str, Any]],
    *,
    per_person: bool = False,
    **context: Any,
) -> Response:
    """Answer with the page of *template*, or with its block `live` if the browser polls it.

    *build* returns the values of that block. A poll calls it at most once a second for all who
    have the same rights and zone; *per_person* if the block differs between people, too.
    The value `polled` of the block is the address to poll, if it is not that of the page.
    """
    if not is_poll():
        values = build()
        region = Region.of(_live(template, {**context, **values}))
        shown = context | {"polled": values.get("polled")}
        return render(template, live=Markup(region.html), tag=region.tag, **shown)  # noqa: S704 - rendered
    caller = current_principal()
    key = [request.full_path, repr(caller and caller.rights()), zones.current().key]
    if per_person:
        key.append(caller.id if caller else "")
    cache: RegionCache = current_app.extensions[NAME]
    region = cache.get(tuple(key), lambda: _live(template, {**context, **build()}))
    if request.headers.get(TAG_HEADER) == region.tag:
        response = Response(status=304)
    else:
        response = _html(region.html)
    response.headers[TAG_HEADER] = region.tag
    response.headers[OUTAGE_HEADER] = outage_line.current()
    return response


def render(template: str, *, status: int = 200, **context: Any) -> Response:
    """Answer with the page of *template*."""
    shown = {
        "principal": current_principal(),
        "zone": zones.current(),
        "theme": theme(),
        "address": current_address(),
        "outage": outage_line.current(),
        "unknown_parameters": parameters.unknown(),
        "live": None,
        "polled": None,
        "tag": None,
    }
    return _html(render_template(template, **(shown | context)), status)


def goto(endpoint: str, **values: Any) -> BaseResponse:
    """Lead the browser to the page *endpoint*, after a POST."""
    return redirect(url_for(endpoint, **values), 303)


def value_text(value: Any) -> str:
    """Return a value of JSON as people read it: a text as it is, else JSON; "–" for none."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def person_menu() -> list[tuple[str, str]]:
    """Return endpoint and word of the pages under the person's name."""
    return [(name, text) for name, action, text in PERSON_MENU if may(action)]


def is_poll() -> bool:
    """Tell whether the browser asks for the polled region alone."""
    is_for_region = TAG_HEADER in request.headers or request.headers.get("HX-Target") == REGION
    return "HX-Request" in request.headers and is_for_region


def current_principal() -> Principal | None:
    """Return who is signed in, None for nobody."""
    caller: Principal | None = g.get("principal")
    return caller


def theme() -> str:
    """Return the theme that the person chose: system, light or dark."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else THEMES[0]


def _live(template: str, context: Mapping[str, Any]) -> str:
    html: str = render_block(template, "live", **context)
    return html


def _html(html: str, status: int = 200) -> Response:
    html = bidi_controls.visible(csrf.fill(html))
    response = Response(html, status=status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Vary"] = "Cookie, HX-Request"
    return response
