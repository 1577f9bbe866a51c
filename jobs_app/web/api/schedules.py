"""/schedules/preview: the fires of a schedule, without a job."""

from flask import Response, jsonify
from flask_openapi3 import Tag

from jobs_app.core import clock
from jobs_app.core.errors import FieldError, InvalidInput, InvalidSchedule
from jobs_app.jobs.schedule_input import schedule_errors, with_anchors
from jobs_app.schedules import union, warnings
from jobs_app.web import extension
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import problems
from jobs_app.web.api.schemas.job_input import PreviewIn, pointers_as_sent
from jobs_app.web.api.schemas.job_output import PreviewOut, described, show_fire

api = LateBlueprint(
    "schedules", __name__, abp_tags=[Tag(name="schedules", description="When, in words.")]
)


@api.post("/schedules/preview", responses={200: PreviewOut, **problems(body=True)})
def preview_schedule(body: PreviewIn) -> Response:
    """Preview a schedule, or several: a sentence, their next fires, and warnings."""
    now = clock.now()
    schedule = body.union(extension.current().settings)
    if schedule is None:
        detail = "Send a schedule, or schedules."
        raise InvalidInput(detail, errors=[FieldError("/schedule", "required", detail)])
    with pointers_as_sent(body):
        if errors := list(schedule_errors(schedule, None, now=now)):
            raise InvalidSchedule(errors[0].detail, errors=errors)
    schedule = with_anchors(schedule, None, at=now)
    fires = union.preview(schedule, after=body.start or now, count=body.count)
    return jsonify(
        {
            "description": described(schedule),
            "fires": [show_fire(fire) for fire in fires],
            "warnings": warnings.warnings(schedule, now=now),
        }
    )
