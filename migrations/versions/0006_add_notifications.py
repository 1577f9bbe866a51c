"""Add channels, notifications, and what each job tells of itself.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, length=16, create_constraint=True)


EVENT = ("failed", "recovered", "late", "missed", "lost", "succeeded", "paused", "test")
STATE = ("pending", "sent", "failed", "grouped", "suppressed")


def upgrade() -> None:
    # The columns alone, no copy of the table: a database with a million jobs waits for nothing.
    op.add_column("jobs", sa.Column("notify", JSON, nullable=True))
    for name in ("failures_carried", "failures_before", "hears"):
        op.add_column("jobs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("late_after_seconds", sa.Integer(), nullable=True))
    is_told = sa.text("late_after_seconds IS NOT NULL")
    op.create_index(
        "ix_jobs_late_after",
        "jobs",
        ["late_after_seconds"],
        postgresql_where=is_told,
        sqlite_where=is_told,
    )
    op.create_table(
        "notification_channels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("events", JSON, nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_channels")),
        sa.UniqueConstraint("name", name=op.f("uq_notification_channels_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=100), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("event", _one_of("event", *EVENT), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("detail", JSON, nullable=False),
        sa.Column("alike", sa.String(length=32), nullable=False),
        sa.Column("state", _one_of("state", *STATE), nullable=False),
        sa.Column("told_by", sa.Uuid(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
    )
    _index("ix_notifications_due", "due_at", where="state = 'pending'")
    _index("ix_notifications_alike", "channel_id", "alike")
    _index("ix_notifications_sent", "channel_id", "sent_at", where="sent_at IS NOT NULL")
    _index("ix_notifications_told_by", "told_by", where="told_by IS NOT NULL")
    _index("ix_notifications_job", "job_id", "id")
    _index("ix_notifications_run", "run_id")
    _index("uq_notifications_late", "run_id", "channel_id", where="event = 'late'", unique=True)


def _index(name: str, *columns: str, where: str | None = None, unique: bool = False) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name,
        "notifications",
        list(columns),
        unique=unique,
        postgresql_where=condition,
        sqlite_where=condition,
    )


def downgrade() -> None:
    op.drop_table("notifications")
    op.drop_table("notification_channels")
    op.drop_index("ix_jobs_late_after", "jobs")
    for name in ("late_after_seconds", "failing_since", "notify"):
        op.drop_column("jobs", name)
    for name in ("hears", "failures_before", "failures_carried"):
        op.drop_column("jobs", name)
