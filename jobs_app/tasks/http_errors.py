"""Errors of the HTTP libraries, turned into the error of a run.

httpx lets errors of the layers below it through: h11, anyio, ssl, idna, asyncio, and
groups of them. This module is the one place that knows them.
"""

from jobs_app.core.httpx_library import httpx
from jobs_app.core.text import reason_of
from jobs_app.tasks.context import HttpFailed

# There is no connection to an address: another address, or a later try, may have one.
NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout)
# The request itself is wrong: another try fails in the same way.
_LASTING = (ValueError, TypeError, ArithmeticError, LookupError, httpx.InvalidURL)
_LASTING_NAMES = ("LocalProtocolError", "UnsupportedProtocol")


class NoAnswer(HttpFailed):
    """A request got no whole answer: `reason` in our words, `cause` in those of a library.

    Neither names the address. The cause may quote parts of it.
    """

    def __init__(self, reason: str, cause: str = "", *, may_pass: bool) -> None:
        super().__init__(f"{reason} ({cause})." if cause else f"{reason}.", may_pass=may_pass)
        self.reason = reason
        self.cause = cause


def no_answer(error: Exception) -> NoAnswer:
    """Return the error of a run for *error*, which any library below us has raised."""
    error = _first_of_group(error)
    cause = reason_of(error)
    if isinstance(error, NO_CONNECTION):
        # A retry does not make a certificate valid.
        return NoAnswer("no connection", cause, may_pass="CERTIFICATE" not in cause)
    name = type(error).__name__
    if name in _LASTING_NAMES:
        # Its text quotes headers, which may hold a secret.
        return NoAnswer("the request breaks the rules of HTTP", name, may_pass=False)
    if isinstance(error, _LASTING):
        return NoAnswer("the request cannot be sent", f"{name}: {cause}", may_pass=False)
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return NoAnswer("the server took too long", name, may_pass=True)
    return NoAnswer("the connection broke", cause, may_pass=True)


def _first_of_group(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
