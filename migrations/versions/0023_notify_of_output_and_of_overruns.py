"""Notify of the output of runs, and of those that take much longer than usual.

Revision: 0023, after 0022

A check names the events. SQLite cannot change it: there the table is copied, which holds the
notifications of 30 days.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

BEFORE = ("failed", "recovered", "late", "missed", "lost", "succeeded", "paused", "test")
AFTER = (*BEFORE, "output", "overrun")
STATE = ("pending", "sent", "failed", "grouped", "suppressed")
CHECK = "ck_notifications_event"
ONCE = "uq_notifications_overrun"


def upgrade() -> None:
    _let_events_be(AFTER, before=BEFORE)
    once = sa.text("event = 'overrun'")
    op.create_index(
        ONCE,
        "notifications",
        ["run_id", "channel_id"],
        unique=True,
        postgresql_where=once,
        sqlite_where=once,
    )


def downgrade() -> None:
    op.drop_index(ONCE, "notifications")
    op.execute("DELETE FROM notifications WHERE event IN ('output', 'overrun')")
    _let_events_be(BEFORE, before=AFTER)


def _let_events_be(events: tuple[str, ...], *, before: tuple[str, ...]) -> None:
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table(
            "notifications", copy_from=_table(before), recreate="always"
        ) as table:
            table.alter_column("event", type_=_one_of("event", events))
        return
    op.drop_constraint(op.f(CHECK), "notifications", type_="check")
    allowed = ", ".join(f"'{event}'" for event in events)
    op.create_check_constraint(op.f(CHECK), "notifications", f"event IN ({allowed})")


def _one_of(name: str, values: tuple[str, ...]) -> sa.Enum:
    constraint = f"ck_notifications_{name}"
    return sa.Enum(
        *values, name=op.f(constraint), native_enum=False, length=16, create_constraint=True
    )


def _table(events: tuple[str, ...]) -> sa.Table:
    """Return the table as it is, with these events."""
    return sa.Table(
        "notifications",
        sa.MetaData(),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=100), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("event", _one_of("event", events), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("alike", sa.String(length=32), nullable=False),
        sa.Column("state", _one_of("state", STATE), nullable=False),
        sa.Column("told_by", sa.Uuid(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
        _index("ix_notifications_due", "due_at", where="state = 'pending'"),
        sa.Index("ix_notifications_alike", "channel_id", "alike"),
        _index("ix_notifications_sent", "channel_id", "sent_at", where="sent_at IS NOT NULL"),
        _index("ix_notifications_told_by", "told_by", where="told_by IS NOT NULL"),
        sa.Index("ix_notifications_job", "job_id", "id"),
        sa.Index("ix_notifications_run", "run_id"),
        _index(
            "uq_notifications_late", "run_id", "channel_id", where="event = 'late'", unique=True
        ),
    )


def _index(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    return sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(where))
