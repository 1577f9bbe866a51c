"""/doctor: what is wrong with the installation, and what helps."""

from typing import Literal

from flask import Response, jsonify
from pydantic import BaseModel

from jobs_app.core import clock
from jobs_app.jobs.doctor.examine import examine
from jobs_app.jobs.doctor.findings import Report, as_json
from jobs_app.tasks import registry
from jobs_app.web import extension
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import INSTALLATION, problems
from jobs_app.web.session import reading

api = LateBlueprint("doctor", __name__, abp_tags=[INSTALLATION])

#: The name of the process that answers, in findings.
PROCESS = "the web server"


class FindingOut(BaseModel):
    """One thing that is wrong, what helps, and where the documentation says more."""

    check: str
    level: Literal["warning", "error"]
    sentence: str
    remedy: str
    docs: str


class SkippedCheck(BaseModel):
    """A check that could not be made, and why."""

    check: str
    reason: str


class ReportOut(BaseModel):
    """What the web server finds, the worst first. `level` is null if there is nothing.

    `passed` are the checks that found nothing. What is about the machine is about that of the web
    server.
    """

    level: Literal["warning", "error"] | None
    findings: list[FindingOut]
    passed: list[str]
    skipped: list[SkippedCheck]


@api.get("/doctor", responses={200: ReportOut, **problems()})
def read_report() -> Response:
    """Look for what is wrong with the installation. Nothing is changed."""
    return jsonify(as_json(report()))


def report() -> Report:
    """Return what the web server finds."""
    own = extension.current()
    broken = registry.broken_modules(own.app)
    return examine(own.settings, reading, process=PROCESS, broken_modules=broken, at=clock.now())
