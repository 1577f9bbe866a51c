"""/tasks: the tasks that a job may name."""

from dataclasses import asdict
from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import BaseModel, Field

from jobs_app.tasks import registry
from jobs_app.web import extension
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import INSTALLATION, problems

api = LateBlueprint("tasks", __name__, abp_tags=[INSTALLATION])


class TaskOut(BaseModel):
    """A task that a job may name; `schema` is the JSON Schema of its kwargs."""

    name: str
    description: str
    kwargs_schema: Annotated[dict[str, Any], Field(alias="schema")]
    positional: Annotated[
        list[str],
        Field(
            description="Arguments that a call in Python may give by position, in order; `*NAME`"
            " takes all others."
        ),
    ]
    declared: Annotated[
        dict[str, Any], Field(description="Fields that its jobs have unless they say otherwise.")
    ]
    notes: Annotated[
        list[str], Field(description="Hints that are not checked, and options not followed.")
    ]
    has_worker: Annotated[
        bool,
        Field(
            description="False for a task that only a worker knew (`jobs_app.integrate`), and that"
            " no living worker has now."
        ),
    ]


class TaskList(BaseModel):
    """Every task."""

    items: list[TaskOut]
    broken_modules: Annotated[
        list[str],
        Field(description="A sentence about each module of JOBS_IMPORTS that cannot be loaded."),
    ]


@api.get("/tasks", responses={200: TaskList, **problems()})
def list_tasks() -> Response:
    """List the tasks that a job may name, each with its arguments."""
    celery = extension.current().celery
    items = [asdict(task) for task in registry.tasks(celery)]
    return jsonify({"items": items, "broken_modules": registry.broken_modules(celery)})
