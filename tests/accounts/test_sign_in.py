"""Sign-in: what starts a session, and that a failure tells nothing."""

import statistics
import time
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import delete, update

from jobs_app.accounts import audit, passwords, people, sessions, sign_in
from jobs_app.accounts.people import Rights
from jobs_app.accounts.sessions import Browser
from jobs_app.accounts.sign_in import Outcome
from jobs_app.core.roles import AccountKind, Role
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Person, SignInAttempt
from tests.factories import NOON

PASSWORD = "tortoise lamp"


@pytest.fixture(scope="module")
def password_hash() -> str:
    """The hash of PASSWORD."""
    return passwords.hashed(PASSWORD)


@pytest.fixture(autouse=True)
def ann(database: Database, password_hash: str) -> None:
    """A person called ann with PASSWORD."""
    rights = Rights(Role.EDITOR)
    with database.session() as session:
        people.create(
            session,
            "ann",
            AccountKind.PERSON,
            rights,
            password_hash=password_hash,
            by="root",
            at=NOON,
        )


def attempt(
    database: Database, name: str, password: str, address: str = "192.0.2.7", **more: Any
) -> Outcome:
    browser = Browser(address, "Firefox")
    return sign_in.sign_in(database.session, name, password, browser, at=NOON, **more)


def person_of(database: Database, outcome: Outcome) -> str | None:
    if outcome.secret is None:
        return None
    with database.reading() as session:
        row, person = sessions.known(session, outcome.secret)
        assert sessions.refusal(row, person, at=NOON) is None
        return None if person is None else person.name


def test_the_right_password_starts_a_session(database: Database) -> None:
    outcome = attempt(database, "ANN", PASSWORD)

    assert person_of(database, outcome) == "ann"
    with database.reading() as session:
        newest = audit.page(session, audit.EventFilter(), before=None, limit=1)[0]
        person_id = people.get(session, "ann").id
    assert (newest.action, newest.actor, newest.person_id) == ("sign_in", "ann", person_id)


@pytest.mark.parametrize("name, password", [("ann", "wrong"), ("ann", ""), ("ben", PASSWORD)])
def test_another_password_or_name_starts_none(database: Database, name: str, password: str) -> None:
    assert attempt(database, name, password).secret is None


def test_an_account_that_cannot_sign_in_starts_none(database: Database) -> None:
    with database.session() as session:
        service = (AccountKind.SERVICE, Rights(Role.ADMIN))
        people.create(session, "deploy", *service, by="root", at=NOON)
        people.set_disabled(session, "ann", True, by="root", at=NOON)

    assert attempt(database, "ann", PASSWORD).secret is None
    assert attempt(database, "deploy", "").secret is None


def test_the_password_given_again_is_a_new_session_in_place_of_the_old_one(
    database: Database,
) -> None:
    first = attempt(database, "ann", PASSWORD)
    with database.reading() as session:
        row, _ = sessions.known(session, first.secret or "")
    assert row is not None
    second = attempt(database, "ann", PASSWORD, replaces=row.id)

    assert person_of(database, second) == "ann"
    assert second.secret != first.secret
    with database.reading() as session:
        ended = sessions.refusal(*sessions.known(session, first.secret or ""), at=NOON)
    assert ended is sessions.Refusal.ENDED


def test_many_guesses_have_to_wait_and_even_the_right_one(database: Database) -> None:
    for number in range(5):
        assert not attempt(database, "ann", "wrong", f"192.0.2.{number}").wait

    assert attempt(database, "ann", PASSWORD).wait.total_seconds() == 1


def test_a_hash_of_older_parameters_is_made_anew(database: Database) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    with database.session() as session:
        session.execute(update(Person).where(Person.name == "ann").values(password_hash=old))
        session.commit()

    assert person_of(database, attempt(database, "ann", PASSWORD)) == "ann"
    with database.reading() as session:
        new = people.get(session, "ann").password_hash
    assert new is not None
    assert not passwords.is_outdated(new)
    assert person_of(database, attempt(database, "ann", PASSWORD)) == "ann"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "count, most", [(20, 1.25), pytest.param(50, 1.1, marks=pytest.mark.nightly)]
)
def test_an_unknown_name_takes_as_long_as_a_wrong_password(
    database: Database, count: int, most: float
) -> None:
    # The time of the processor, which other programs of a crowded machine do not change.
    seconds: dict[str, list[float]] = {"ann": [], "nobody": []}
    for number in range(count):
        for name, taken in seconds.items():
            address = f"192.0.{number}.{len(name)}"
            with database.session() as session:
                session.execute(delete(SignInAttempt))
                session.commit()
            began = time.thread_time()
            assert attempt(database, name, "wrong password", address).secret is None
            taken.append(time.thread_time() - began)
    medians = [statistics.median(taken) for taken in seconds.values()]

    assert max(medians) / min(medians) < most
    assert min(medians) > 0.01
