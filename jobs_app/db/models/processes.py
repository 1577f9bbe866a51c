"""The tables of workers, schedulers, the installation, its starts and its troubles."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from jobs_app.db.columns import Base, Json, new_run_id, partial_index


class Worker(Base):
    """A worker process; one that was declared gone while frozen gets a new id.

    A worker is alive while `beats` grows. The observer measures that on its own monotonic
    clock, so that no wall clock of any machine matters (invariant 7).
    """

    __tablename__ = "workers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    name: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    queues: Mapped[list[str]] = mapped_column(Json, default=list)
    #: The user's tasks that it has, by name; None if it is of a version that does not say.
    tasks: Mapped[list[str] | None] = mapped_column(Json)
    concurrency: Mapped[int] = mapped_column(default=1)
    pool: Mapped[str] = mapped_column(String(16), default="prefork")
    beats: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]  # for people; no decision depends on it
    gone_at: Mapped[datetime | None]
    messages_dropped: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str | None] = mapped_column(Text)  # what it cannot do, in sentences
    tzdata: Mapped[str | None] = mapped_column(String(32))  # the version of its zone data
    version: Mapped[str | None] = mapped_column(String(64))  # of jobs-app
    #: Settings that others need alike; None if it is of a version that does not say.
    settings: Mapped[dict[str, Any] | None] = mapped_column(Json)

    __table_args__ = (
        # The janitor: the workers that are alive.
        partial_index("ix_workers_living", "id", where="gone_at IS NULL"),
    )


class ReportedTask(Base):
    """A task of user code as a worker has described it at its start; the newest report counts."""

    __tablename__ = "reported_tasks"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    report: Mapped[dict[str, Any]]
    reported_at: Mapped[datetime]


class SchedulerProcess(Base):
    """A scheduler process and its last tick, for readyz and for people."""

    __tablename__ = "schedulers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_run_id)
    name: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    is_active: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime]
    ticked_at: Mapped[datetime]
    tzdata: Mapped[str | None] = mapped_column(String(32))  # the version of its zone data
    version: Mapped[str | None] = mapped_column(String(64))  # of jobs-app
    #: Settings that others need alike; None if it is of a version that does not say.
    settings: Mapped[dict[str, Any] | None] = mapped_column(Json)


class ZoneFile(Base):
    """The data of a time zone with which the active scheduler works out fires.

    Base64 of the zone's file (RFC 8536), with the version of all zone data.
    """

    __tablename__ = "zone_files"

    zone: Mapped[str] = mapped_column(String(64), primary_key=True)
    data: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(String(32))
    noted_at: Mapped[datetime]


class Installation(Base):
    """The only row with the id of this database, inserted by a migration.

    A copy of the database has the same id, so that a restored one is the same installation. A
    paused copy, which is to stand beside the original, gets another id.
    """

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("number = 1", name="only_one"),)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    id: Mapped[UUID]


class Start(Base):
    """A start of jobs-app: of `up`, or of a scheduler where no other one was alive.

    Jobs fire on it. Its id is that of the process of `up`, which marks it once.
    """

    __tablename__ = "starts"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]

    # The starts after a fire, and the newest of all.
    __table_args__ = (Index("ix_starts_at", "at"),)


class Acknowledgement(Base):
    """Somebody takes care of a line of what needs attention; `line` is its id."""

    __tablename__ = "acknowledgements"

    line: Mapped[str] = mapped_column(String(32), primary_key=True)
    actor: Mapped[str] = mapped_column(String(200))
    at: Mapped[datetime]
    note: Mapped[str | None] = mapped_column(Text)

    # The newest of them; the pruner.
    __table_args__ = (Index("ix_acknowledgements_at", "at"),)
