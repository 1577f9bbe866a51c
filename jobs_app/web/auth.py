"""Authentication: a session on pages, else a bearer token, on every route that is not open."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from flask import Flask, Response, current_app, g, has_request_context, request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs_app.accounts import audit, tokens
from jobs_app.accounts.principal import Principal, of_token
from jobs_app.core import clock, json_log
from jobs_app.core.errors import Unauthenticated
from jobs_app.core.roles import Role, Scope
from jobs_app.db.columns import new_run_id
from jobs_app.db.errors import error_name
from jobs_app.db.models.accounts import Token
from jobs_app.web import page_auth, page_session, permissions, refusals, session
from jobs_app.web.refusals import RefusalAudit
from jobs_app.web.remote_address import is_loopback_address, is_loopback_name, remote_address
from jobs_app.web.session import noting, readers, reading
from jobs_app.web.sign_in_audit import SignInAudit
from jobs_app.web.sign_in_log import FailedSignIn, SignInLog

log = logging.getLogger(__name__)

#: The two tutorial routes; `up --demo` opens them to this machine only.
DEMO = frozenset({"tutorial.start_task", "tutorial.task_status"})

#: How the headers begin that proxies add.
PROXY_HEADERS = (
    *("via", "forwarded", "x-forwarded", "x-real-", "x-original-", "x-proxy", "proxy-"),
    *("x-client-ip", "x-cluster-client", "client-ip", "true-client", "x-remote-"),
    *("cf-", "fastly-", "x-envoy-", "x-azure-", "x-amzn-", "x-amz-cf-", "x-appengine-", "x-arr-"),
)


#: The caller of the tutorial routes without a token.
ANONYMOUS = Principal(
    "demo", "demo", "demo", Role.EDITOR, scopes=frozenset({Scope.READ, Scope.WRITE})
)

#: The caller of /metrics without a token.
METRICS_READER = Principal(
    "metrics", "metrics", "metrics", Role.VIEWER, scopes=frozenset({Scope.READ})
)

REQUEST_ID = "X-Request-Id"

#: The keys of the audit and of the log of failed sign-ins in the extensions of an application.
SIGN_INS, SIGN_IN_LOG = "jobs_app_sign_ins", "jobs_app_sign_in_log"


def register(app: Flask, *, open_to_machine: Mapping[str, Principal]) -> None:
    """Refuse every request to *app* from nobody known, even to unknown addresses.

    Then refuse those that the table of permissions does not allow. Pages take sessions only,
    and all other routes tokens only. Programs on this machine may use the routes of
    *open_to_machine* without a token, as the callers that it names.
    """
    json_log.add_context(_log_context)
    failures = app.extensions[SIGN_IN_LOG] = SignInLog()
    refused = RefusalAudit()
    failed_sign_ins = app.extensions[SIGN_INS] = SignInAudit()
    refusals.register(app, refused)

    @app.before_request
    def authenticate() -> None:
        failures.report()
        g.request_id = str(new_run_id())
        # The probe of a live process calls no database.
        if request.endpoint in permissions.OPEN:
            return
        refused.report()
        failed_sign_ins.report()
        if permissions.is_for_browser():
            page_auth.authenticate()
            return
        known = open_to_machine.get(request.endpoint or "")
        is_anonymous = "Authorization" not in request.headers
        if known is not None and is_anonymous and _is_from_this_machine():
            g.principal = known
        else:
            g.principal = _principal(failures, at=clock.now())
        session.set_origin(_origin(g.principal))
        permissions.check_route()

    @app.after_request
    def name_request(response: Response) -> Response:
        if "request_id" in g:
            response.headers[REQUEST_ID] = g.request_id
        return response


def caller_of_open_route() -> Principal | None:
    """Return the caller of a route without a token who sent a valid one all the same, else None.

    A token that is not valid is noted as on any other route.
    """
    if not _sent_token():
        return None
    try:
        return _principal(current_app.extensions[SIGN_IN_LOG], at=clock.now())
    except (Unauthenticated, SQLAlchemyError):
        return None


def _log_context() -> Mapping[str, object]:
    """Return the request that this thread answers, for lines of the log in JSON."""
    if not has_request_context() or "request_id" not in g:
        return {}
    return {"request_id": g.request_id, "method": request.method, "path": request.path}


def rights_watch() -> Callable[[], bool]:
    """Return a function that tells whether the caller still has the rights of this request.

    It works after the request too. It says no when the database fails: then nobody can tell.
    """
    principal, open_session = permissions.principal(), readers()
    is_page = permissions.is_for_browser()
    secret = page_session.secret() if is_page else _sent_token()
    look_up = page_session.principal_of if is_page else _principal_of

    def are_same() -> bool:
        try:
            with open_session() as reader:
                now = look_up(reader, secret, at=clock.now())
        except SQLAlchemyError as error:
            log.warning("rights_not_read error=%s", error_name(error))
            return False
        return now is not None and now.rights() == principal.rights()

    return are_same


def _principal_of(reader: Session, token: str, *, at: datetime) -> Principal | None:
    row, owner = tokens.known(reader, token)
    if row is None or owner is None or tokens.refusal(row, owner, at=at):
        return None
    return of_token(row, owner)


def _origin(principal: Principal) -> audit.Origin:
    # The command line says so itself: this only tells people how a change came.
    is_cli = request.headers.get("User-Agent", "").startswith("jobs-app/")
    return audit.Origin(
        principal.token_id,
        remote_address(),
        principal.person_id,
        g.request_id,
        "cli" if is_cli else "api",
    )


def _principal(failures: SignInLog, *, at: datetime) -> Principal:
    token = _sent_token()
    if not token:
        raise Unauthenticated(
            "Send a token in the header Authorization: Bearer …. The first one is in the "
            "file admin-token in the data directory."
        )
    with reading() as reader:
        row, owner = tokens.known(reader, token)
    refusal = tokens.refusal(row, owner, at=at)
    if row is None or owner is None or refusal is not None:
        failures.note(_failed(row, refusal or tokens.Refusal.UNKNOWN))
        raise Unauthenticated(
            "The token is unknown, or was revoked, or has expired, or its owner is disabled."
        )
    if tokens.is_last_use_stale(row, at=at):
        _mark_used(row, at=at)
    return of_token(row, owner)


def _sent_token() -> str:
    """Return the token of this request; empty without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _failed(row: Token | None, refusal: tokens.Refusal) -> FailedSignIn:
    if row is None:
        return FailedSignIn(refusal, remote_address())
    return FailedSignIn(refusal, remote_address(), row.id, row.name)


def _mark_used(token: Token, *, at: datetime) -> None:
    try:
        with noting() as writer:
            tokens.mark_used(writer, token, at=at, address=remote_address())
    except SQLAlchemyError as error:
        # A full disk or a busy database must not refuse a request that only reads.
        log.warning("token_use_not_noted error=%s", error_name(error))


def _is_from_this_machine() -> bool:
    """Tell whether a program on this machine sent the request.

    False for a request through a proxy on this machine, and for one that a foreign
    page makes a local browser send.
    """
    if request.headers.get("Origin", request.host_url.rstrip("/")) != request.host_url.rstrip("/"):
        return False
    if any(name.lower().startswith(PROXY_HEADERS) for name, _ in request.headers):
        return False
    return is_loopback_name() and is_loopback_address()
