"""Errors as pages: what is wrong, and what helps."""

from flask import Flask, Response, g, request

from jobs_app.core.text import shortened
from jobs_app.web.api.problems import MEDIA_TYPE
from jobs_app.web.pages import frame
from jobs_app.web.permissions import is_for_browser

#: An error that is over by itself soon: the page tries again after so many seconds.
RETRY_SECONDS = 5


def register(app: Flask) -> None:
    """Answer errors of pages in *app* with a page in place of a problem as JSON."""
    app.after_request(_as_page)


def _as_page(response: Response) -> Response:
    if response.mimetype != MEDIA_TYPE or frame.is_poll() or not is_for_browser():
        return response
    problem = response.get_json()
    page = frame.render(
        "error.html",
        status=response.status_code,
        problem=problem,
        request_id=g.get("request_id"),
        wanted=shortened(request.path, 100),
        retry_seconds=RETRY_SECONDS if response.status_code == 503 else None,
    )
    for name in ("Retry-After", "Allow"):
        if name in response.headers:
            page.headers[name] = response.headers[name]
    if response.status_code == 503:
        # Without script, too.
        page.headers["Refresh"] = str(RETRY_SECONDS)
    return page
