"""Authentication: a bearer token on every route that is not listed here as open."""

import ipaddress
import logging
import re
from collections.abc import Callable
from datetime import datetime

from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.accounts import audit, tokens
from jobs_app.accounts.principal import Principal, of_token
from jobs_app.core import clock
from jobs_app.core.errors import Unauthenticated
from jobs_app.core.roles import Role, Scope
from jobs_app.db.columns import new_run_id
from jobs_app.db.errors import error_name
from jobs_app.db.models.accounts import Token
from jobs_app.web import permissions, refusals, session
from jobs_app.web.refusals import RefusalAudit
from jobs_app.web.session import readers, reading, writing
from jobs_app.web.sign_in_log import FailedSignIn, SignInLog

log = logging.getLogger(__name__)

#: The two tutorial routes; `up --demo` opens them to this machine only.
DEMO = frozenset({"tutorial.start_task", "tutorial.task_status"})

#: Host names of this machine for its own browsers; another name may be DNS rebinding.
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


#: How the headers begin that proxies add.
PROXY_HEADERS = (
    *("via", "forwarded", "x-forwarded", "x-real-", "x-original-", "x-proxy", "proxy-"),
    *("x-client-ip", "x-cluster-client", "client-ip", "true-client", "x-remote-"),
    *("cf-", "fastly-", "x-envoy-", "x-azure-", "x-amzn-", "x-amz-cf-", "x-appengine-", "x-arr-"),
)


#: A longer address is cut, characters. An IPv6 address with a zone has 60.
MAX_ADDRESS_CHARS = 64

_NOT_IN_ADDRESS = re.compile(r"[^0-9A-Za-z.:%_-]")


#: The caller of the tutorial routes without a token.
ANONYMOUS = Principal(
    "demo", "demo", "demo", Role.EDITOR, scopes=frozenset({Scope.READ, Scope.WRITE})
)

REQUEST_ID = "X-Request-Id"


def register(app: Flask, *, demo_open: bool) -> None:
    """Refuse every request to *app* without a token, even to unknown addresses.

    Then refuse those that the table of permissions does not allow.
    """
    failures, refused = SignInLog(), RefusalAudit()
    refusals.register(app, refused)

    @app.before_request
    def authenticate() -> None:
        failures.report()
        g.request_id = str(new_run_id())
        # The probe of a live process calls no database.
        if request.endpoint in permissions.OPEN:
            return
        refused.report()
        is_anonymous = "Authorization" not in request.headers
        if demo_open and request.endpoint in DEMO and is_anonymous and _is_from_this_machine():
            g.principal = ANONYMOUS
        else:
            g.principal = _principal(failures, at=clock.now())
        session.set_origin(_origin(g.principal))
        permissions.check_route()

    @app.after_request
    def name_request(response: Response) -> Response:
        if "request_id" in g:
            response.headers[REQUEST_ID] = g.request_id
        return response


def rights_watch() -> Callable[[], bool]:
    """Return a function that tells whether the caller still has the rights of this request.

    It works after the request too. It says no when the database fails: then nobody can tell.
    """
    principal, open_session = permissions.principal(), readers()
    token = _sent_token()

    def are_same() -> bool:
        try:
            with open_session() as reader:
                row, owner = tokens.known(reader, token)
        except SQLAlchemyError as error:
            log.warning("rights_not_read error=%s", error_name(error))
            return False
        if row is None or owner is None or tokens.refusal(row, owner, at=clock.now()):
            return False
        return of_token(row, owner).rights() == principal.rights()

    return are_same


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


def remote_address() -> str | None:
    """Return the address that the request came from, fit for the log and the database.

    From the proxy of JOBS_TRUSTED_PROXY, it is the last one in X-Forwarded-For.
    """
    text = _NOT_IN_ADDRESS.sub("?", request.remote_addr or "")
    return text[:MAX_ADDRESS_CHARS] or None


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
        with writing() as writer:
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
    if request.host.rpartition(":")[0] not in LOOPBACK_NAMES and request.host not in LOOPBACK_NAMES:
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False
