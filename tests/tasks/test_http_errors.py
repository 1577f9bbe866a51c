"""Errors of the libraries become one error of ours, which says whether a retry may help."""

import ssl

import httpx
import pytest

from jobs_app.tasks.http_errors import no_answer


@pytest.mark.parametrize(
    "error, detail, may_pass",
    [
        (httpx.ConnectError("refused."), "no connection (refused).", True),
        (httpx.ConnectError("CERTIFICATE_VERIFY_FAILED"), "no connection (CERTIFICATE_", False),
        (
            ExceptionGroup("", [ExceptionGroup("", [OverflowError()])]),
            "cannot be sent",
            False,
        ),
        (ExceptionGroup("unhandled", [ConnectionResetError()]), "the connection broke", True),
        (httpx.LocalProtocolError("b'secret'"), "the rules of HTTP (LocalProtocolError).", False),
        (UnicodeError("label too long"), "cannot be sent (UnicodeError: label too long).", False),
        (ssl.SSLError("bad record"), "the connection broke", True),
        (httpx.ReadTimeout(""), "the server took too long (ReadTimeout).", True),
        (TimeoutError(), "the server took too long (TimeoutError).", True),
        (EOFError(), "the connection broke (EOFError).", True),
        (RuntimeError("of a library"), "the connection broke (of a library).", True),
    ],
)
def test_an_error_of_a_library_becomes_ours(error, detail, may_pass):
    failure = no_answer(error)

    assert detail in failure.detail
    assert failure.may_pass == may_pass
