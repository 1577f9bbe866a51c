"""A failed command: its sentence and the documented exit code."""

from typing import Any

import click

from jobs_app.core.escape_sequences import plain

OK, FAILED, USAGE, NO_SUCH, CONFLICT, NOT_SIGNED_IN, DOWN = range(7)
TIMED_OUT = 124

EXIT_CODES = {
    401: NOT_SIGNED_IN,
    403: NOT_SIGNED_IN,
    404: NO_SUCH,
    410: NO_SUCH,
    409: CONFLICT,
    412: CONFLICT,
    428: CONFLICT,
    429: DOWN,
}


class Failure(click.ClickException):
    """A failed command: a sentence that says why, and the documented exit code.

    `problem` is the answer of the API, if that refused.
    """

    problem: dict[str, Any] | None = None

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click itself reads it off the instance

    def show(self, file: Any = None) -> None:
        click.echo(f"jobs-app: {plain(self.message)}", file=file, err=file is None)


class Unreachable(Failure):
    """The server cannot be reached, or cannot answer just now; trying again may help."""

    def __init__(self, message: str) -> None:
        super().__init__(message, DOWN)


def not_utf8(error: UnicodeEncodeError) -> Failure:
    """Return the failure of a command whose text is not UTF-8."""
    text = error.object[max(error.start - 20, 0) : error.end + 20]
    return Failure(f"The text {text!r} is not valid UTF-8.", USAGE)
