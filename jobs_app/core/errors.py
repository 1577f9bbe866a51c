"""Every error that jobs-app raises on purpose, with the code that clients rely on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobs_app.core.text import counted, shortened

#: Most errors that one answer names. A document of 250 KB may have a hundred thousand.
MAX_ERRORS = 20

#: Longer pointers and sentences are cut: the names in them may come from the input, characters.
MAX_POINTER_CHARS = 300
MAX_DETAIL_CHARS = 600


@dataclass(frozen=True, slots=True)
class FieldError:
    """A fault of one field of an input; a long pointer or sentence is cut, and ends with "…".

    `pointer` is a JSON Pointer (RFC 6901) into the document that was sent; "" is all of it.
    `missing` is the name of a field that is not there; the pointer is that of its parent.
    """

    pointer: str
    code: str
    detail: str
    missing: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pointer", shortened(self.pointer, MAX_POINTER_CHARS))
        object.__setattr__(self, "detail", shortened(self.detail, MAX_DETAIL_CHARS))


class JobsError(Exception):
    """The base of all errors of jobs-app; `code` is stable, the text is for people."""

    code = "error"
    title = "Something went wrong"

    def __init__(
        self, detail: str, *, code: str | None = None, errors: Sequence[FieldError] = ()
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        if code is not None:
            self.code = code


class InvalidInput(JobsError):
    """The input breaks a rule; `errors` has one entry for each broken field."""

    code = "invalid_input"
    title = "The input is not valid"

    def under(self, prefix: str) -> "InvalidInput":
        """Return the same error for a document that holds this input at *prefix*."""
        moved = [replace(error, pointer=prefix + error.pointer) for error in self.errors]
        return InvalidInput(self.detail, code=self.code, errors=moved)


def refuse(errors: Sequence[FieldError], *, count: int | None = None) -> None:
    """Raise InvalidInput with the first MAX_ERRORS of *errors*, unless there are none.

    *count* is the number of all errors, None if they were not all looked for.
    """
    if errors:
        named = errors[:MAX_ERRORS]
        more = more_errors(len(errors) > MAX_ERRORS, count)
        raise InvalidInput(" ".join([*(error.detail for error in named), *more]), errors=named)


def more_errors(has_more: bool, count: int | None) -> list[str]:
    """Return the sentence about errors that an answer does not name, in a list; [] if none."""
    if count is None:
        return ["There are more errors."] if has_more else []
    others = count - MAX_ERRORS
    are = "is" if others == 1 else "are"
    return [f"There {are} {counted(others, 'more error')}."] if others > 0 else []


class InvalidSchedule(InvalidInput):
    """A schedule that cannot be read, or that can never fire."""

    code = "invalid_schedule"
    title = "The schedule is not valid"


class BadRequest(JobsError):
    """The request itself cannot be read: malformed JSON, an unknown cursor."""

    code = "bad_request"
    title = "The request cannot be read"


class NotFound(JobsError):
    """No such job, run or page."""

    code = "not_found"
    title = "Not found"


class Conflict(JobsError):
    """The request is well formed but the present state does not allow it."""

    code = "conflict"
    title = "Not possible in the present state"


class StaleVersion(JobsError):
    """`If-Match` names a version that is no longer the current one."""

    code = "stale_version"
    title = "It was changed in the meantime"


class VersionRequired(JobsError):
    """An edit without `If-Match`."""

    code = "version_required"
    title = "If-Match is required"


class IdempotencyMismatch(JobsError):
    """The same `Idempotency-Key` came with another request body."""

    code = "idempotency_mismatch"
    title = "This Idempotency-Key was used for another request"


class Unauthenticated(JobsError):
    """No token, or one that is unknown or expired."""

    code = "unauthenticated"
    title = "A bearer token is needed"


class Forbidden(JobsError):
    """The caller is known, but may not do this; `action` says what was wanted."""

    code = "forbidden"
    title = "Not allowed"

    def __init__(self, detail: str, *, action: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(detail, errors=errors)
        self.action = action


class Unavailable(JobsError):
    """A part that jobs-app needs (the database) cannot be reached at the moment."""

    code = "unavailable"
    title = "Temporarily unavailable"


class ConfigurationError(JobsError):
    """A setting has an invalid value; the text names the setting."""

    code = "configuration"
    title = "The configuration is not valid"


class BrokerUnavailable(JobsError):
    """Redis refused or did not answer; the row of the unsent message stays."""

    code = "broker_unavailable"
    title = "Redis cannot be reached"
