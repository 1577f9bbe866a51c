"""How long the history of a job is kept: pure, no IO."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from jobs_app.core.field_spec import FieldSpec
from jobs_app.core.states import FAILURES, FINAL, RunState

if TYPE_CHECKING:
    # The CLI reads the fields below at every start, and pydantic takes long to import.
    from jobs_app.core.settings import Settings

#: The highest values that are accepted: a hundred years, and more runs than fit.
MAX_DAYS = 36_500
MAX_RUNS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Retention:
    """The retention of a job; None stands for the installation's setting at the time of use."""

    keep_runs: (
        Annotated[
            int,
            FieldSpec(
                "--keep-runs",
                "Keep this many runs, and as many failed ones; none: the server's setting.",
                1,
                MAX_RUNS,
            ),
        ]
        | None
    ) = None
    keep_days: (
        Annotated[int, FieldSpec("--keep-days", "Keep runs so many days.", 1, MAX_DAYS)] | None
    ) = None
    keep_failed_days: (
        Annotated[
            int, FieldSpec("--keep-failed-days", "Keep failed runs so many days.", 1, MAX_DAYS)
        ]
        | None
    ) = None
    keep_log_days: (
        Annotated[
            int, FieldSpec("--keep-log-days", "Keep the logs of runs so many days.", 1, MAX_DAYS)
        ]
        | None
    ) = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> "Retention":
        """Return the retention in a row's `retention` column; None sets nothing."""
        return cls(**(stored or {}))

    def as_json(self) -> dict[str, int | None]:
        """Return it as JSON, for the column and for the API."""
        return asdict(self)

    def limits(self, settings: "Settings") -> "Limits":
        """Return the job's own values, and those of *settings* where it has none."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return Limits(**{name: own.get(name, getattr(settings, name)) for name in asdict(self)})


@dataclass(frozen=True, slots=True)
class Limits:
    """How long history is kept: a run is deleted when it is too old, or one of too many.

    `keep_runs` limits the runs of a job, and separately those of each kind of failure.
    So failures are kept longer than successes, but not without limit.
    """

    keep_runs: int
    keep_days: int
    keep_failed_days: int
    keep_log_days: int

    def oldest(self, state: RunState, *, at: datetime) -> datetime:
        """Return the instant before which a run that finished in *state* is too old."""
        days = self.keep_failed_days if state in FAILURES else self.keep_days
        return at - timedelta(days=days)

    def oldest_of_all(self, *, at: datetime) -> datetime:
        """Return the instant before which a run is too old in some state."""
        return max(self.oldest(state, at=at) for state in FINAL)
