"""The first page."""

from flask import Blueprint
from werkzeug import Response

from jobs_app.web.pages import frame

page = Blueprint("home_page", __name__)


@page.get("/")
def show() -> Response:
    """Lead to the jobs."""
    return frame.goto("jobs_page.show")
