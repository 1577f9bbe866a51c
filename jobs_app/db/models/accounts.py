"""The tables of accounts, sessions, links, tokens, repeated requests and the audit."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, String, text
from sqlalchemy.orm import Mapped, mapped_column

from jobs_app.core.roles import AccountKind, Grant, LinkKind, Role, Scope
from jobs_app.db.columns import Base, Json, one_of, partial_index


class Person(Base):
    """An account: a person, or a service account, which has only tokens."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    kind: Mapped[AccountKind] = mapped_column(one_of(AccountKind, "kind"))
    role: Mapped[Role] = mapped_column(one_of(Role, "role"))
    grants: Mapped[list[Grant]] = mapped_column(Json, default=list)
    #: The account sees only jobs with one of these tags; None: all jobs.
    tags: Mapped[list[str] | None] = mapped_column(Json)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]
    #: A removed account is kept, so that the audit can name it. Its name is free again.
    removed_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]

    __table_args__ = (
        # Names of accounts differ in more than case, so that none passes for another.
        partial_index(
            "uq_people_name", text("lower(name)"), unique=True, where="removed_at IS NULL"
        ),
        # The audit holds ids: an id names one account for ever.
        {"sqlite_autoincrement": True},
    )

    @property
    def has_password(self) -> bool:
        """Whether it can sign in with a password; an invited person chooses one first."""
        return self.password_hash is not None


class Token(Base):
    """An API token; only its SHA-256 is stored."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    #: The account whose rights the token has; a token without an owner does not work.
    owner_id: Mapped[int | None]
    #: The rights of the owner that it may use, and the tags that it is limited to; None: all.
    scopes: Mapped[list[Scope] | None] = mapped_column(Json)
    tags: Mapped[list[str] | None] = mapped_column(Json)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    last_used_address: Mapped[str | None] = mapped_column(String(64))
    #: A revoked token is kept, so that the log can name it when somebody uses it.
    revoked_at: Mapped[datetime | None]


#: How long the rows of sessions and links are kept; they end before.
KEEP_SIGN_INS = timedelta(days=31)

#: Failed sign-ins are forgotten when none came for so long.
FORGET_FAILURES = timedelta(hours=1)


class PageSession(Base):
    """A browser that is signed in; only the SHA-256 of its cookie is stored."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    person_id: Mapped[int] = mapped_column(index=True)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    #: When the password was last typed in it: some pages ask for it again.
    password_given_at: Mapped[datetime]
    address: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(300), default="")
    ended_at: Mapped[datetime | None]

    # The audit and the pages name sessions by their numbers.
    __table_args__ = ({"sqlite_autoincrement": True},)


class Link(Base):
    """A link that works once; only the SHA-256 of its key is stored."""

    __tablename__ = "links"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[LinkKind] = mapped_column(one_of(LinkKind, "link_kind"))
    #: Whose password it sets; None: it makes the first admin.
    person_id: Mapped[int | None] = mapped_column(index=True)
    made_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SignInAttempt(Base):
    """How often a sign-in failed for a name, or from an address; `key` is a SHA-256 of it."""

    __tablename__ = "sign_in_attempts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(index=True)  # old ones are deleted


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
    #: The request behind the event: account, token, address and id; None without a request.
    person_id: Mapped[int | None]
    token_id: Mapped[int | None]
    remote_address: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(36))
    #: `api`, `cli`, `page` or `system`; None for events of older versions.
    via: Mapped[str | None] = mapped_column(String(8))
    action: Mapped[str] = mapped_column(String(50))
    job_id: Mapped[int | None]
    run_id: Mapped[UUID | None]
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)

    __table_args__ = (
        # The events of one job, in order.
        Index("ix_audit_events_job", "job_id", "id"),
        # The audit by person, by action and by time.
        Index("ix_audit_events_person", "person_id", "id"),
        Index("ix_audit_events_action", "action", "id"),
        Index("ix_audit_events_at", "at"),
        {"sqlite_autoincrement": True},
    )
