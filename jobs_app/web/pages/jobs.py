"""The list of jobs."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response

from jobs_app.core import clock
from jobs_app.jobs import listing
from jobs_app.web.api.schemas.job_output import described
from jobs_app.web.pages import frame
from jobs_app.web.session import session

page = Blueprint("jobs_page", __name__)

#: Jobs of one page of the list.
LIMIT = 50


@page.get("/jobs")
def show() -> Response:
    """Show the jobs that match the filters in the address."""
    return frame.show("jobs.html", _build)


def _build() -> Mapping[str, Any]:
    listed, is_cut = listing.page(
        session(), listing.Filter(), after=None, limit=LIMIT + 1, at=clock.now()
    )
    return {"jobs": [job for job, _ in listed], "is_cut": is_cut, "described": described}
