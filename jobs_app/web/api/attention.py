"""/attention: what needs a person, and who takes care of it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from flask import Response, jsonify
from pydantic import BaseModel, Field

from jobs_app.accounts.permissions import Action
from jobs_app.core import clock
from jobs_app.jobs import acknowledgements, attention
from jobs_app.jobs.attention import Item, Kind, Step
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import INSTALLATION, problems
from jobs_app.web.api.pagination import unpaged
from jobs_app.web.api.responses import as_json
from jobs_app.web.api.schemas.base import Input
from jobs_app.web.api.schemas.fields import Instant, Note
from jobs_app.web.permissions import actor, may
from jobs_app.web.session import session, unlocked

api = LateBlueprint("attention", __name__, abp_tags=[INSTALLATION])


class AcknowledgementOut(BaseModel):
    """Who takes care of it, since when, and a note."""

    by: str
    at: Instant
    note: str | None


class AcknowledgementIn(Input):
    """A note for the others, as what was done."""

    note: Note | None = None


class LinePath(BaseModel):
    """The `id` of something in the list; it is another once `since` is another."""

    line: Annotated[str, Field(max_length=100)]


class AttentionOut(BaseModel):
    """Something that needs a person; `job`, `queue` or `channel` names what it is about.

    `run` is the run that shows it best, with its `error` and the `last_line` that it wrote;
    `steps` are what may help, the best first.
    """

    id: str
    kind: Kind
    sentence: str
    since: Instant | None
    job: str | None
    queue: str | None
    channel: str | None
    run: UUID | None
    error: str | None
    last_line: str | None
    steps: list[Step]
    acknowledgement: AcknowledgementOut | None


class AttentionList(BaseModel):
    """What needs a person, the most urgent first; empty if all is well."""

    items: list[AttentionOut]


@api.get("/attention", responses={200: AttentionList, **problems()})
def list_attention() -> Response:
    """List what needs a person: failing, late and paused jobs, missed fires, and what is down."""
    items = lines(at=clock.now())
    return unpaged(AttentionOut.model_validate(item, from_attributes=True) for item in items)


@api.post(
    "/attention/<line>/acknowledgement", responses={200: AttentionOut, **problems(404, body=True)}
)
def acknowledge(path: LinePath, body: AcknowledgementIn) -> Response:
    """Take care of something that needs a person: all see who, since when, and the note.

    It holds until the state changes; somebody else's acknowledgement is replaced.
    """
    at = clock.now()
    item = acknowledgements.acknowledge(
        session(), lines(at=at), path.line, note=body.note, by=actor(), at=at
    )
    return jsonify(as_json(AttentionOut, item))


@api.delete("/attention/<line>/acknowledgement", responses={200: AttentionOut, **problems(404)})
def take_back(path: LinePath) -> Response:
    """Take an acknowledgement back, whoever made it; without one nothing changes."""
    at = clock.now()
    item = acknowledgements.take_back(session(), lines(at=at), path.line, by=actor(), at=at)
    return jsonify(as_json(AttentionOut, item))


def lines(*, at: datetime) -> list[Item]:
    """Return what needs a person, as far as the caller may see it."""
    with unlocked() as reader:
        return attention.attention(reader, at=at, with_secrets=may(Action.SEE_SECRETS))
