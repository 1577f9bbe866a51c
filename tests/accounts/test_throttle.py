"""Failed sign-ins are slowed down by name and by address, and never lock anybody out."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from jobs_app.accounts import throttle
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import SignInAttempt
from tests.factories import NOON, SECOND


def begin(database: Database, name: str, address: str | None, at: datetime = NOON) -> float:
    with database.session() as session:
        return throttle.begin(session, throttle.keys(name, address), at=at).total_seconds()


def count(database: Database) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(SignInAttempt)) or 0


def test_five_failures_are_free_and_then_each_one_doubles_the_wait(database: Database) -> None:
    at, waits = NOON, []
    for _ in range(5):
        assert begin(database, "ann", "192.0.2.7", at) == 0
    for _ in range(11):
        wait = begin(database, "Ann", "192.0.2.8", at)
        waits.append(wait)
        at += timedelta(seconds=wait)
        assert begin(database, "ann", f"192.0.2.{len(waits)}0", at) == 0

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_an_attempt_that_must_wait_is_not_counted(database: Database) -> None:
    for _ in range(5):
        begin(database, "ann", None)

    assert [begin(database, "ann", None) for _ in range(20)] == [1] * 20
    assert begin(database, "ann", None, NOON + SECOND) == 0


def test_an_address_is_slowed_down_whatever_names_it_tries(database: Database) -> None:
    for number in range(5):
        assert begin(database, f"ann{number}", "192.0.2.7") == 0

    assert begin(database, "ben", "192.0.2.7") == 1
    assert begin(database, "ben", "192.0.2.8") == 0


def test_the_addresses_of_one_ipv6_network_count_as_one() -> None:
    first, second = throttle.keys("a", "2001:db8::1"), throttle.keys("a", "[2001:db8::ffff:2]")

    assert first == second
    assert first != throttle.keys("a", "2001:db8:0:1::1")
    assert throttle.keys("a", "fe80::1%eth0") == throttle.keys("a", "fe80::2%eth0")


def test_a_success_forgets_the_name_and_one_failure_of_the_address(database: Database) -> None:
    for _ in range(5):
        begin(database, "ann", "192.0.2.7")
    with database.session() as session:
        throttle.succeeded(session, "ANN", "192.0.2.7")
        session.commit()

    assert begin(database, "ann", "192.0.2.7") == 0
    assert begin(database, "ben", "192.0.2.7") == 1
    assert begin(database, "ann", "192.0.2.8") == 0


def test_old_failures_are_deleted_at_the_next_attempt(database: Database) -> None:
    for number in range(5):
        begin(database, f"name{number}", "192.0.2.7")
    assert count(database) == 6

    assert begin(database, "name0", "192.0.2.7", NOON + timedelta(hours=1)) == 0
    assert count(database) == 2


@pytest.mark.parametrize("failures, seconds", [(0, 0), (4, 0), (5, 1), (13, 256), (10**6, 300)])
def test_the_wait_has_a_limit(failures: int, seconds: float) -> None:
    assert throttle.wait_after(failures).total_seconds() == seconds
