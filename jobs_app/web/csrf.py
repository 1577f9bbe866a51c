"""Forged requests: what changes something must come from a page of ours, in the same session.

The token of a form is masked anew in each answer: compressed pages would else give it away.
Fragments are kept for several people, so they have a mark where each answer has its token.
"""

import base64
import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Flask, current_app, request
from markupsafe import Markup

from jobs_app.core.errors import JobsError
from jobs_app.core.settings import Settings
from jobs_app.core.web_address import is_local_http
from jobs_app.web import page_session
from jobs_app.web.api import problems

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"

_TOKEN_BYTES = 32

#: Stands for the token in HTML. Random: nobody can store a text in which it is replaced.
_MARK = f"token-{secrets.token_hex(16)}"

NAME = "jobs_app_csrf"

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class _Origins:
    """The origin of JOBS_PUBLIC_URL, and whether the host of a request is one, too."""

    known: str | None
    takes_host: bool


class ForeignRequest(JobsError):
    """A request that a page of ours did not send."""

    code = "foreign_request"
    title = "This did not come from a page of jobs-app"


class StaleForm(JobsError):
    """A form without the token of this session."""

    code = "stale_form"
    title = "This form is too old"


problems.STATUSES[ForeignRequest] = problems.STATUSES[StaleForm] = 403


def field() -> Markup:
    """Return the hidden field with which a form proves that it is ours."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, _MARK)


def fill(html: str) -> str:
    """Return *html* with a token for this caller in each field; call it for each answer."""
    if _MARK not in html:
        return html
    return html.replace(_MARK, masked_token(page_session.next_secret()))


def masked_token(secret: str) -> str:
    """Return a token for the session with this secret; each one looks different."""
    mask = secrets.token_bytes(_TOKEN_BYTES)
    token = bytes(a ^ b for a, b in zip(mask, _token(secret), strict=True))
    return base64.urlsafe_b64encode(mask + token).decode().rstrip("=")


def check_origin() -> None:
    """Raise ForeignRequest unless the browser says that a page of ours sent this request.

    Browsers leave out Sec-Fetch-Site on plain http, but always send Origin with a POST.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is None:
        is_ours = request.headers.get("Origin") in _own_origins()
    else:
        is_ours = site == "same-origin"
    if not is_ours:
        raise ForeignRequest(
            "Nothing was changed: the browser does not say that a page of jobs-app sent this. "
            "Behind a proxy, JOBS_PUBLIC_URL must be the address in the browser."
        )


def check_token() -> None:
    """Raise StaleForm unless the request has the token of its session, in a field or a header."""
    sent = request.headers.get(HEADER) or request.form.get(FIELD, "")
    is_in_address = FIELD in request.args
    known = page_session.secret()
    if is_in_address or not known or not hmac.compare_digest(_unmasked(sent), _token(known)):
        raise StaleForm(
            "Nothing was changed: the form is from before you signed in or out, or this browser "
            "keeps no cookies. Load the page again, and send it again."
        )


def init_app(app: Flask, settings: Settings) -> None:
    """Let the pages of *app* have the origin of JOBS_PUBLIC_URL, if it is set.

    If that is on this machine, they also have the name and port that the browser asks for: a
    machine has several names, and a tunnel another port.
    """
    url = settings.public_url
    known = origin_of(url) if url else None
    app.extensions[NAME] = _Origins(known, takes_host=url is None or is_local_http(url))


def origin_of(url: str) -> str:
    """Return the origin of *url* as browsers write it: without the port that goes without saying.

    A name with other letters than ASCII is in Punycode.
    """
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    with suppress(UnicodeError):
        host = host.encode("idna").decode() if not host.isascii() else host
    host = f"[{host}]" if ":" in host else host
    is_default = parts.port in (None, _DEFAULT_PORTS.get(scheme))
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{parts.port}"


def _own_origins() -> set[str | None]:
    origins: _Origins = current_app.extensions[NAME]
    host = request.host_url.rstrip("/") if origins.takes_host else origins.known
    return {origins.known, host} - {None}


def _token(secret: str) -> bytes:
    return hmac.digest(secret.encode("utf-8", "replace"), b"forms", hashlib.sha256)


def _unmasked(text: str) -> bytes:
    """Return the token in *text*; b"" if it has none."""
    try:
        both = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
    if len(both) != 2 * _TOKEN_BYTES:
        return b""
    mask, token = both[:_TOKEN_BYTES], both[_TOKEN_BYTES:]
    return bytes(a ^ b for a, b in zip(mask, token, strict=True))
