"""Conditional and repeated requests: ETag, If-Match, If-None-Match, Idempotency-Key."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from flask import Response, jsonify, request
from pydantic import BaseModel, Field, model_validator

from jobs_app.core import clock
from jobs_app.core.errors import BadRequest, Conflict, JobsError, StaleVersion, VersionRequired
from jobs_app.web import idempotency
from jobs_app.web.idempotency import Answer, KeyedRequest
from jobs_app.web.permissions import principal
from jobs_app.web.session import reading, session

_VERSION = re.compile(r'"(\d{1,9})"', re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

REPLAYED = "Idempotency-Replayed"

#: A form that was sent twice at once waits so long for the answer to the first one.
FORM_WAIT_SECONDS = 3.0

#: Seconds between two looks for that answer.
_LOOK_SECONDS = 0.05

#: The headers of an answer that are kept for its repetition.
KEPT_HEADERS = ("Location", "ETag")


class MayIfMatch(BaseModel):
    """The version that the client wants to change, if there is one already."""

    if_match: Annotated[
        str,
        Field(
            alias="If-Match",
            description='The ETag of the version that you read, as in "3"; * for any version.',
            json_schema_extra={"example": "*"},
        ),
    ] = ""


class IfMatch(MayIfMatch):
    """The version that the client wants to change."""

    @model_validator(mode="after")
    def _is_sent(self) -> Self:
        # Checked with the headers, which come before the body: 428, whatever the body is.
        if not self.if_match.strip():
            raise _version_required()
        return self


class IfNoneMatch(BaseModel):
    """The version that the client already has."""

    if_none_match: Annotated[
        str | None,
        Field(alias="If-None-Match", description="An ETag: 304 if it is still the current one."),
    ] = None


class MayRepeat(BaseModel):
    """A key that makes a POST safe to repeat."""

    idempotency_key: Annotated[
        str | None,
        Field(
            alias="Idempotency-Key",
            description="A repetition within 24 hours, with the same body, gets the first answer.",
            json_schema_extra={"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        ),
    ] = None


def etag(version: int) -> str:
    """Return the ETag of a version."""
    return f'"{version}"'


def expected_version() -> int | None:
    """Return the version that If-Match names, None for `*`.

    Raises VersionRequired without the header, StaleVersion if it is not one of our ETags.
    """
    header = request.headers.get("If-Match", "").strip()
    if not header:
        raise _version_required()
    if header == "*":
        return None
    version = _VERSION.fullmatch(header)
    if version is None:
        raise StaleVersion('If-Match must be an ETag from this server, as in "3", or *.')
    return int(version[1])


def _version_required() -> VersionRequired:
    return VersionRequired(
        "Send If-Match with the ETag of the version that you read, or * to overwrite any."
    )


def is_known(version: int) -> bool:
    """Tell whether If-None-Match says that the client has this version."""
    return request.if_none_match.contains_weak(str(version))


#: The status that is stored in place of an answer that shows a secret.
SHOWN_ONCE = 409


@dataclass(frozen=True, slots=True)
class FormRequest:
    """A form that was sent: the idempotency key in it, and what it asks for."""

    key: str
    document: Any


def once(
    work: Callable[[], Response],
    *,
    is_secret: bool = False,
    check: Callable[[], object] = lambda: None,
    form: FormRequest | None = None,
) -> Response:
    """Do *work* and return its answer; return the first answer if the Idempotency-Key is known.

    *work* raises if it refuses the request. Else a service commits once, and the key with it;
    before that, nothing is locked. An answer that is secret is not stored: its repetition
    raises Conflict (`shown_once`). *check* raises if a caller that is limited to tags may no
    longer see what the first answer shows. A *form* has its key in a field, and waits for the
    answer to the first one: somebody who pressed twice sees only the answer to the second.
    """
    key = request.headers.get("Idempotency-Key") if form is None else form.key
    if key is None:
        return work()
    check_key(key)
    keyed = KeyedRequest(
        principal=principal().id,
        key=key,
        fingerprint=_fingerprint(request.get_json() if form is None else form.document),
        at=clock.now(),
    )
    wait_seconds = 0.0 if form is None else FORM_WAIT_SECONDS
    if (earlier := _first_answer(keyed, wait_seconds)) is not None:
        if principal().tags is not None:
            check()
        return _replay(earlier)
    try:
        with idempotency.claimed_at_commit(session(), keyed):
            response = work()
    except JobsError:
        session().rollback()
        # The same request at the same time may be the reason: then its answer counts.
        if (earlier := _first_answer(keyed, wait_seconds)) is not None:
            return _replay(earlier)
        raise
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    body: dict[str, Any] = json.loads(response.get_data())
    status = response.status_code
    answer = Answer(SHOWN_ONCE, {}, {}) if is_secret else Answer(status, headers, body)
    idempotency.keep(session(), keyed, answer)
    return response


def check_key(key: str | None) -> None:
    """Raise BadRequest if *key* is no Idempotency-Key; None stands for no key at all."""
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest(
            "An Idempotency-Key is 1 to 255 visible ASCII characters.", code="bad_idempotency_key"
        )


def _fingerprint(document: Any) -> str:
    """Return the hash of this request; with other rights it is another request."""
    caller = principal()
    # The first answer may show what the caller may no longer see.
    work = document if caller.is_unlimited else [document, *caller.rights()]
    return idempotency.fingerprint(request.method, request.full_path, work)


def _first_answer(keyed: KeyedRequest, wait_seconds: float) -> Answer | None:
    """Return the first answer, for which this waits so long; None if no request claimed the key."""
    until = time.monotonic() + wait_seconds
    while True:
        try:
            with reading() as reader:
                return idempotency.first_answer(reader, keyed)
        except Conflict as error:
            if error.code != idempotency.IN_PROGRESS_CODE or time.monotonic() >= until:
                raise
        time.sleep(_LOOK_SECONDS)


def _replay(earlier: Answer) -> Response:
    if earlier.status == SHOWN_ONCE:
        raise Conflict(
            "The first answer to this request showed a token or a link, and no later one does:"
            " revoke it, and make another.",
            code="shown_once",
        )
    response = jsonify(earlier.body)
    response.status_code = earlier.status
    response.headers.update(earlier.headers)
    response.headers[REPLAYED] = "true"
    return response
