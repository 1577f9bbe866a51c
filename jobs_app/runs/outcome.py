"""How an attempt ended: pure data, no IO."""

from dataclasses import dataclass
from typing import Any

from jobs_app.core.run_error import RunError
from jobs_app.core.states import RunState


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    `retry_after_seconds` is set if the task itself asked for a retry (Celery's
    `self.retry()`); the job's retry policy is then ignored. `progress` is the last
    report, None if it is stored already.
    """

    state: RunState
    result: Any = None
    error: RunError | None = None
    exit_code: int | None = None
    reason: str | None = None
    log_bytes: int | None = None
    log_truncated: bool | None = None
    retry_after_seconds: float | None = None
    retry_kwargs: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None

    @property
    def error_json(self) -> dict[str, Any] | None:
        """The error as a row holds it."""
        return None if self.error is None else self.error.to_json()

    @property
    def is_plain(self) -> bool:
        """A success with no reason and no progress to store."""
        return self.state is RunState.SUCCEEDED and self.reason is None and self.progress is None
