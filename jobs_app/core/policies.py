"""Groups of a job's fields that are carried whole, with their defaults."""

from dataclasses import dataclass
from typing import Annotated, Any, Self

from jobs_app.core.field_spec import YEAR_SECONDS, FieldSpec
from jobs_app.core.states import CatchupPolicy, OverlapPolicy

#: Most runs at once that a concurrency key may allow.
MAX_SLOTS = 1000


@dataclass(frozen=True, slots=True)
class FirePolicy:
    """How the scheduler treats the fires of a job: those that overlap, and those that are late."""

    overlap_policy: Annotated[
        OverlapPolicy, FieldSpec("--overlap", "What to do while another run of it is unfinished.")
    ] = OverlapPolicy.SKIP
    starting_deadline_seconds: Annotated[
        int,
        FieldSpec(
            "--starting-deadline", "A fire at most this late runs as if on time.", 0, YEAR_SECONDS
        ),
    ] = 60
    catchup_policy: Annotated[
        CatchupPolicy, FieldSpec("--catchup", "Which of the later fires run.")
    ] = CatchupPolicy.LAST
    catchup_window_seconds: Annotated[
        int, FieldSpec("--catchup-window", "How far back to catch up.", 0, YEAR_SECONDS)
    ] = 86_400
    catchup_max_runs: Annotated[
        int, FieldSpec("--catchup-max-runs", "Most runs to catch up with.", 1, 10_000)
    ] = 50

    @classmethod
    def of(cls, row: Any) -> Self:
        """Return the policy in the columns of *row*, a job or a query's row of one."""
        return cls(*(getattr(row, name) for name in FirePolicy.__slots__))


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How long a run may take, seconds; None is no limit.

    At the soft limit the task is asked to end. At the limit it gets TERM, and KILL
    after the grace.
    """

    time_limit_seconds: (
        Annotated[int, FieldSpec("--time-limit", "End a run after this.", 1, YEAR_SECONDS)] | None
    ) = None
    soft_time_limit_seconds: (
        Annotated[
            int, FieldSpec("--soft-time-limit", "Ask a run to end after this.", 1, YEAR_SECONDS)
        ]
        | None
    ) = None
    kill_grace_seconds: Annotated[
        int, FieldSpec("--kill-grace", "Time between TERM and KILL.", 0, 3600)
    ] = 10

    @classmethod
    def of(cls, row: Any) -> Self:
        """Return the limits in the columns of *row*: a job, a run, or a query's row of one."""
        return cls(*(getattr(row, name) for name in RunLimits.__slots__))

    @property
    def first_seconds(self) -> int | None:
        """The lower one of the limits, which is the first to end a run; None for no limit."""
        limits = (self.soft_time_limit_seconds, self.time_limit_seconds)
        return min((limit for limit in limits if limit is not None), default=None)
