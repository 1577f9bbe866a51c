"""/schedules/preview: the fires of a schedule, without a job."""

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag

from jobs_app.core import clock
from jobs_app.core.errors import InvalidInput
from jobs_app.schedules import schedule as schedules
from jobs_app.schedules import validation, warnings
from jobs_app.schedules.schedule import Schedule
from jobs_app.web import extension
from jobs_app.web.api.openapi import problems
from jobs_app.web.api.schemas.job_input import PreviewIn
from jobs_app.web.api.schemas.job_output import PreviewOut, described, show_fire

api = APIBlueprint(
    "schedules", __name__, abp_tags=[Tag(name="schedules", description="When, in words.")]
)


@api.post("/schedules/preview", responses={200: PreviewOut, **problems(body=True)})
def preview_schedule(body: PreviewIn) -> Response:
    """Preview a schedule: a sentence that describes it, its next fires, and warnings."""
    now = clock.now()
    schedule = _schedule(body)
    try:
        validation.check(schedule, now=now)
    except InvalidInput as error:
        raise error.under("/schedule") from error
    schedule = schedules.anchored(schedule, at=now)
    fires = schedules.preview(schedule, after=body.start or now, count=body.count)
    return jsonify(
        {
            "description": described(schedule),
            "fires": [show_fire(fire) for fire in fires],
            "warnings": warnings.warnings(schedule, now=now),
        }
    )


def _schedule(body: PreviewIn) -> Schedule:
    try:
        return body.schedule.schedule(extension.current().settings, seed=body.name or "")
    except InvalidInput as error:
        raise error.under("/schedule") from error
