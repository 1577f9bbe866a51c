"""The tables of tokens, repeated requests and the audit."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from jobs_app.db.columns import Base, Json


class Token(Base):
    """An API token; only its SHA-256 is stored."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    #: A revoked token is kept, so that the log can name it when somebody uses it.
    revoked_at: Mapped[datetime | None]


#: How long the response for a repeated request is kept.
KEEP_IDEMPOTENCY_KEYS = timedelta(hours=24)


class IdempotencyKey(Base):
    """The first response to a POST with an `Idempotency-Key`."""

    __tablename__ = "idempotency_keys"

    principal: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    headers: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    body: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[datetime] = mapped_column(index=True)  # old ones are pruned


class AuditEvent(Base):
    """Who did what to a job or a run, with the values before and after."""

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(200))
    #: The token of the request, and the address it came from; None if no request made the change.
    token_id: Mapped[int | None]
    remote_address: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(50))
    job_id: Mapped[int | None]
    run_id: Mapped[UUID | None]
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)

    __table_args__ = (
        # The events of one job, in order.
        Index("ix_audit_events_job", "job_id", "id"),
        {"sqlite_autoincrement": True},
    )
