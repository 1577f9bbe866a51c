"""Routes under /secrets; no response contains the value of a secret."""

from functools import partial
from operator import attrgetter
from typing import Annotated, Any, ClassVar

from flask import Response, request
from flask_openapi3 import Tag
from pydantic import BaseModel, ConfigDict, Field

from jobs_app.core import clock
from jobs_app.core.errors import FieldError, InvalidInput
from jobs_app.db.models.secrets import Secret
from jobs_app.secrets import encryption, store
from jobs_app.secrets.redaction import MIN_MASKED_LENGTH
from jobs_app.secrets.references import NAME, NAME_RULE
from jobs_app.web import extension
from jobs_app.web.api import pagination, preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import problems
from jobs_app.web.api.pagination import ListQuery
from jobs_app.web.api.preconditions import IfMatch, MayIfMatch
from jobs_app.web.api.responses import all_as_json, as_json, checked_name, located, versioned
from jobs_app.web.api.schemas.base import Input, Query
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.permissions import actor
from jobs_app.web.session import reading, session

api = LateBlueprint(
    "secrets",
    __name__,
    abp_tags=[Tag(name="secrets", description="Values that jobs refer to by name.")],
)

KIND = "secrets"

#: The longest value in characters: Linux limits an environment variable.
MAX_VALUE_LENGTH = 65_536


class SecretIn(Input):
    """A secret to store; a field that is left out keeps its value."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"value": "s3cr3t", "description": "GitHub, read only"}]}
    )
    read_only: ClassVar = {
        "name": "It is in the address.",
        "version": "Send If-Match to say which version you change.",
        "created_at": "",
        "updated_at": "",
        "updated_by": "",
        "last_used_at": "",
        "jobs": "Jobs refer to a secret in their kwargs.",
        "warnings": "",
    }

    value: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=MAX_VALUE_LENGTH,
                description="Write only: no answer has it.",
                json_schema_extra={"writeOnly": True},
            ),
        ]
        | None
    ) = None
    description: Annotated[str, Field(max_length=2000)] | None = None


class SecretOut(BaseModel):
    """A secret without its value; `last_used_at` is exact to the minute."""

    name: str
    description: str
    version: int
    created_at: Instant
    updated_at: Instant
    updated_by: str
    last_used_at: Instant | None


class SecretWithJobs(SecretOut):
    """A secret, and the jobs that refer to it."""

    jobs: list[str]


class StoredSecret(SecretWithJobs):
    """A secret that was stored; `warnings` say what to know about its value."""

    warnings: list[str]


class SecretPage(BaseModel):
    """Part of the list of secrets; `next_cursor` is null at its end."""

    items: list[SecretOut]
    next_cursor: str | None


class SecretPath(Query):
    """The secret in the address."""

    name: Annotated[
        str, Field(json_schema_extra={"pattern": f"^{NAME.pattern}$", "example": "GITHUB_TOKEN"})
    ]


class DeleteSecretQuery(Query):
    """`force` deletes a secret that jobs refer to; their runs will fail."""

    force: bool = False


@api.get("/secrets", responses={200: SecretPage, **problems(400)})
def list_secrets(query: ListQuery) -> Response:
    """List secrets by name, without their values."""
    after = pagination.decode_name(KIND, query.cursor, NAME)
    secrets = store.page(session(), after=after, limit=query.limit + 1)
    return pagination.page(
        KIND, query.limit, secrets, key=attrgetter("name"), show=partial(all_as_json, SecretOut)
    )


@api.get("/secrets/<name>", responses={200: SecretWithJobs, **problems(404)})
def read_secret(path: SecretPath) -> Response:
    """Read a secret without its value, with the jobs that refer to it."""
    return _answer(store.get(session(), checked_name(NAME, path.name, "secret")))


@api.put(
    "/secrets/<name>",
    responses={200: StoredSecret, 201: StoredSecret, **problems(412, 428, body=True)},
)
def put_secret(header: MayIfMatch, path: SecretPath, body: SecretIn) -> Response:
    """Create a secret (201), or change it (200; this needs If-Match).

    Runs that start from now on get the new value.
    """
    _refuse_bad_name(path.name)
    version = _expected_version(path.name)
    cipher = encryption.load_cipher(extension.current().settings, makes_key=True)
    secret = store.put(
        session(),
        path.name,
        value=body.value,
        description=body.description,
        version=version,
        cipher=cipher,
        by=actor(),
        at=clock.now(),
    )
    response = _answer(secret, warnings=_warnings(body.value))
    if secret.version == 1:
        return located(response, 201, f"/api/v1/secrets/{secret.name}")
    return response


@api.delete("/secrets/<name>", responses={204: None, **problems(404, 409, 412, 428)})
def delete_secret(header: IfMatch, path: SecretPath, query: DeleteSecretQuery) -> Response:
    """Delete a secret. 409 while jobs refer to it, unless `force` is true."""
    store.remove(
        session(),
        checked_name(NAME, path.name, "secret"),
        version=preconditions.expected_version(),
        force=query.force,
        by=actor(),
        at=clock.now(),
    )
    return Response(status=204)


def _expected_version(name: str) -> int | None:
    """Return the version to change; a secret that does not exist needs no If-Match."""
    if "If-Match" not in request.headers:
        with reading() as reader:
            if store.version(reader, name) == store.ABSENT:
                return store.ABSENT
    return preconditions.expected_version()


def _refuse_bad_name(name: str) -> None:
    if not NAME.fullmatch(name):
        short_name = name if len(name) <= 60 else name[:60] + "…"
        detail = f"The name {short_name!r} must be {NAME_RULE}."
        raise InvalidInput(detail, errors=[FieldError("", "invalid_name", detail)])


def _warnings(value: str | None) -> list[str]:
    if value is None or len(value.strip()) >= MIN_MASKED_LENGTH:
        return []
    return [
        f"The value is shorter than {MIN_MASKED_LENGTH} characters: too short to be masked in logs."
    ]


def _answer(secret: Secret, **more: Any) -> Response:
    with reading() as reader:
        jobs = store.used_by(reader, secret.name)
    document = as_json(SecretOut, secret) | {"jobs": jobs} | more
    return versioned(document, secret.version)
