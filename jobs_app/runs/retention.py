"""How long the history of a job is kept: pure, no IO."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs_app.core.settings import Settings
from jobs_app.core.states import FAILURES, RunState

#: The most that can be said: a hundred years, and more runs than fit.
MOST_DAYS = 36_500
MOST_RUNS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Retention:
    """What a job says of it; None is what the installation says, whenever it is asked."""

    keep_runs: int | None = None
    keep_days: int | None = None
    keep_failed_days: int | None = None
    keep_log_days: int | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> "Retention":
        """Return what a row's `retention` column holds; None says nothing."""
        return cls(**(stored or {}))

    def as_json(self) -> dict[str, int | None]:
        """Return it as the column holds it, and as it goes over the wire."""
        return asdict(self)

    def limits(self, settings: Settings) -> "Limits":
        """Return what holds: its own word where it has one, else that of *settings*."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        return Limits(**{name: said.get(name, getattr(settings, name)) for name in asdict(self)})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long history is kept: a run goes when it is too old, or one of too many.

    `keep_runs` counts the runs of a job, and once more those of each kind of failure:
    failures outlive what succeeded, but not without end.
    """

    keep_runs: int
    keep_days: int
    keep_failed_days: int
    keep_log_days: int

    def oldest(self, state: RunState, *, at: datetime) -> datetime:
        """Return the instant before which a run that ended in *state* is too old."""
        days = self.keep_failed_days if state in FAILURES else self.keep_days
        return at - timedelta(days=days)
