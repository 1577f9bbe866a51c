"""The tables behind /metrics: counters that never fall, and what they have counted so far."""

from uuid import UUID

from sqlalchemy import CheckConstraint, Double, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from jobs_app.db.columns import Base


class MetricCounter(Base):
    """A counter of /metrics; it only grows, over restarts of all processes too.

    `job_id` is 0 for what is not counted by job, and for the jobs without counters of their
    own; it is -1 for runs without a job. `label` is the value of the counter's own label: a
    state, an outcome, a rule, or a bucket of a histogram.
    """

    __tablename__ = "metric_counters"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    label: Mapped[str] = mapped_column(String(100), primary_key=True)
    value: Mapped[float] = mapped_column(Double)


class RunCounting(Base):
    """The only row with the first run id that no counter has seen."""

    __tablename__ = "run_counting"
    __table_args__ = (CheckConstraint("number = 1", name="only_one"),)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    next_id: Mapped[UUID]


class UncountedRun(Base):
    """A run that had not ended when its id was passed: it is counted when it ends.

    No foreign key: a run must be deleted without a look at this table.
    """

    __tablename__ = "uncounted_runs"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
