"""Doctor: what is wrong with the installation, each with what helps; for admins."""

from flask import Blueprint
from werkzeug import Response

from jobs_app.jobs.doctor.findings import CHECKS
from jobs_app.web.api.doctor import report
from jobs_app.web.pages import frame

page = Blueprint("doctor_page", __name__)


@page.get("/doctor")
def show() -> Response:
    """Show what the web server finds now, and which checks passed."""
    # Not polled: each look asks the operating system, the database and Redis.
    return frame.render("doctor.html", report=report(), checks=CHECKS)
