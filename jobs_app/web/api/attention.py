"""The route /attention: what needs a person."""

from uuid import UUID

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel

from jobs_app.accounts.permissions import Action
from jobs_app.core import clock
from jobs_app.jobs import attention
from jobs_app.jobs.attention import Kind, Step
from jobs_app.web.api.openapi import INSTALLATION, problems
from jobs_app.web.api.pagination import unpaged
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.permissions import may
from jobs_app.web.session import session

api = APIBlueprint("attention", __name__, abp_tags=[INSTALLATION])


class AttentionOut(BaseModel):
    """Something that needs a person; `job`, `queue` or `channel` names what it is about.

    `run` is the run that shows it best, with its `error`; `steps` are what may help,
    the best first.
    """

    kind: Kind
    sentence: str
    since: Instant | None
    job: str | None
    queue: str | None
    channel: str | None
    run: UUID | None
    error: str | None
    steps: list[Step]


class AttentionList(BaseModel):
    """What needs a person, the most urgent first; empty if all is well."""

    items: list[AttentionOut]


@api.get("/attention", responses={200: AttentionList, **problems()})
def list_attention() -> Response:
    """List what needs a person: failing, late and paused jobs, missed fires, and what is down."""
    items = attention.attention(session(), at=clock.now(), with_secrets=may(Action.SEE_SECRETS))
    return unpaged(AttentionOut.model_validate(item, from_attributes=True) for item in items)
