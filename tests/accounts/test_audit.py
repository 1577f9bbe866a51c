"""The audit: its filters, and who sees what."""

from typing import Any

import pytest

from jobs_app.accounts import audit, people
from jobs_app.accounts.audit import EventFilter, Origin
from jobs_app.accounts.people import Rights
from jobs_app.accounts.principal import Principal
from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.states import Via
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from tests.factories import HOUR, MINUTE, NOON
from tests.plans import plans


@pytest.fixture(autouse=True)
def _events(database: Database) -> None:
    with database.session() as session:
        rights = Rights(Role.OPERATOR)
        ann = people.create(session, "Ann", AccountKind.PERSON, rights, by="root", at=NOON - HOUR)
        audit.set_origin(session, Origin(None, None, person_id=ann.id, via="page"))
        audit.note(session, "pause", by="Ann", at=NOON, job_id=1)
        audit.set_origin(session, Origin(1, None, person_id=ann.id, via="cli"))
        audit.note(session, "resume", by="Ann/laptop", at=NOON + MINUTE, job_id=1)
        audit.set_origin(session, Origin(None, None))
        audit.note(session, "pause", by="jobs-app", at=NOON + HOUR, job_id=2)
        session.commit()


def events(database: Database, **conditions: Any) -> list[str]:
    with database.reading() as session:
        page = audit.page(session, EventFilter(**conditions), before=None, limit=9)
        return [f"{event.action} by {event.actor}" for event in page]


@pytest.mark.parametrize(
    "conditions, expected",
    [
        ({"person": "ann"}, ["resume by Ann/laptop", "pause by Ann"]),
        ({"person": "jobs-app"}, ["pause by jobs-app"]),
        ({"person": "nobody"}, []),
        ({"actions": ["pause"]}, ["pause by jobs-app", "pause by Ann"]),
        ({"actions": ["pause"], "person": "Ann"}, ["pause by Ann"]),
        ({"via": [Via.CLI]}, ["resume by Ann/laptop"]),
        ({"via": [Via.CLI, Via.PAGE]}, ["resume by Ann/laptop", "pause by Ann"]),
        ({"actions": ["resume", "pause"], "job_id": 2}, ["pause by jobs-app"]),
        ({"job_id": 1, "via": [Via.PAGE]}, ["pause by Ann"]),
        ({"since": NOON, "until": NOON + HOUR}, ["resume by Ann/laptop", "pause by Ann"]),
        ({"since": NOON + HOUR}, ["pause by jobs-app"]),
    ],
)
def test_a_list_has_only_the_events_that_meet_its_conditions(
    database: Database, conditions: dict[str, Any], expected: list[str]
) -> None:
    assert events(database, **conditions) == expected


def test_the_events_of_a_removed_account_are_still_found_by_its_name(database: Database) -> None:
    with database.session() as session:
        people.remove(session, "Ann", by="root", at=NOON + 2 * HOUR)

    assert "pause by Ann" in events(database, person="Ann")


@pytest.mark.parametrize(
    "index, conditions",
    [
        ("ix_audit_events_action", {"actions": ["resume"]}),
        ("ix_audit_events_action", {"actions": ["resume", "restore"]}),
        ("ix_audit_events_person", {"person": "Ann"}),
    ],
)
def test_rare_events_are_found_by_an_index(
    database: Database, index: str, conditions: dict[str, Any]
) -> None:
    with database.session() as session:
        columns: dict[str, Any] = {"at": NOON, "actor": "x", "action": "change", "detail": {}}
        session.add_all(AuditEvent(**columns) for _ in range(3000))
        session.commit()
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")

    found = EventFilter(**conditions)
    plan = plans(database, lambda session: audit.page(session, found, before=None, limit=9))

    assert index in plan, plan


@pytest.mark.parametrize(
    "role, actions",
    [
        (Role.VIEWER, audit.JOB_ACTIONS),
        (Role.OPERATOR, audit.JOB_ACTIONS | audit.RUN_ACTIONS),
        (Role.EDITOR, audit.JOB_ACTIONS | audit.RUN_ACTIONS | audit.SECRET_ACTIONS),
        (Role.ADMIN, None),
    ],
)
def test_each_role_sees_what_it_may(role: Role, actions: frozenset[str] | None) -> None:
    assert audit.visible_actions(Principal("token:1", "x", "x", role)) == actions
