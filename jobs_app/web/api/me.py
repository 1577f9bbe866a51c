"""/me: who the caller is, and what it may do."""

from flask import Response, jsonify
from pydantic import BaseModel, Field

from jobs_app.accounts.permissions import allowed_actions
from jobs_app.core.roles import Grant, Role, Scope
from jobs_app.web import extension
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import ACCOUNTS, problems
from jobs_app.web.permissions import principal

api = LateBlueprint("me", __name__, abp_tags=[ACCOUNTS])


class MeOut(BaseModel):
    """The caller: its account, its token, and its rights at this moment."""

    name: str = Field(description="The name in the audit.")
    account: str
    token: str | None
    role: Role
    grants: list[Grant]
    scopes: list[Scope]
    tags: list[str] | None = Field(description="Only jobs with one of these; null: all jobs.")
    timezone: str = Field(description="JOBS_TIMEZONE: the zone of schedules that name none.")
    may: list[str] = Field(description="What the caller may do, in words.")


@api.get("/me", responses={200: MeOut, **problems()})
def read_me() -> Response:
    """Say who the caller is, and what it may do."""
    caller = principal()
    out = MeOut(
        name=caller.name,
        account=caller.account,
        token=caller.token_name,
        role=caller.role,
        grants=sorted(caller.grants),
        scopes=[scope for scope in Scope if scope in caller.scopes],
        tags=None if caller.tags is None else sorted(caller.tags),
        timezone=extension.current().settings.timezone,
        may=[str(action) for action in allowed_actions(caller)],
    )
    return jsonify(out.model_dump(mode="json"))
