"""The outbox: which notification is claimed next, and its outcome. Nothing is sent."""

import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.states import Event, NotificationState
from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.notifications import Notification
from jobs_app.notifications import outbox
from jobs_app.notifications.outbox import MAX_TRIES, ClaimedNotification, RateLimit
from tests.factories import HOUR, MINUTE, NOON, SECOND
from tests.notification_checks import rows
from tests.profiles import sqlite_nightly

RATE_LIMIT = RateLimit(per_minute=20, cool_down_seconds=600)
OPS = 1
PENDING, SENT, GROUPED = (
    NotificationState.PENDING,
    NotificationState.SENT,
    NotificationState.GROUPED,
)


def add(
    database: Database, *, at: datetime = NOON, group_key: str | None = None, **overrides: Any
) -> UUID:
    """Add a notification that is due at once and return its id."""
    row_id = new_run_id()
    columns: dict[str, Any] = {
        "id": row_id,
        "channel_id": OPS,
        "channel": "ops",
        "job_id": 1,
        "event": Event.FAILED,
        "group_key": group_key or row_id.hex,
        "state": PENDING,
        "created_at": at,
        "due_at": at,
    }
    with database.session() as session:
        session.add(Notification(**(columns | overrides)))
        session.commit()
    return row_id


def claim_next(
    database: Database, *, at: datetime = NOON, rate_limit: RateLimit = RATE_LIMIT
) -> ClaimedNotification | None:
    with database.session() as session:
        return outbox.claim_next(session, OPS, at=at, rate_limit=rate_limit)


def mark_sent(
    database: Database, claim: ClaimedNotification | None, *, at: datetime = NOON
) -> bool:
    assert claim is not None
    with database.session() as session:
        return outbox.mark_sent(session, claim, at=at)


def mark_failed(database: Database, claim: ClaimedNotification | None, *, at: datetime) -> None:
    assert claim is not None
    with database.session() as session:
        outbox.mark_failed(session, claim, OPS, error="It answered 500.", at=at)


def send_all(database: Database, *, at: datetime, rate_limit: RateLimit = RATE_LIMIT) -> int:
    """Send what can be sent at an instant; return how many messages went."""
    count = 0
    while (claim := claim_next(database, at=at, rate_limit=rate_limit)) is not None:
        mark_sent(database, claim, at=at)
        count += 1
    return count


def states(database: Database) -> list[str]:
    return [row.state.value for row in rows(database)]


def test_due_notifications_are_claimed_oldest_first_and_sent_once(database: Database) -> None:
    ids = [add(database, at=NOON + n * SECOND) for n in range(3)]

    claims = [claim_next(database, at=NOON + SECOND) for _ in range(3)]

    assert [claim and claim.id for claim in claims] == [*ids[:2], None]
    assert mark_sent(database, claims[0])
    assert not mark_sent(database, claims[0])
    assert states(database) == ["sent", "pending", "pending"]


def test_only_channels_with_something_due_are_served(database: Database) -> None:
    add(database)
    add(database, channel_id=2)
    add(database, channel_id=3, due_at=NOON + MINUTE)
    add(database, channel_id=4, state=SENT)

    with database.reading() as session:
        assert sorted(outbox.due_channels(session, at=NOON)) == [1, 2]


def test_the_claim_of_a_dead_sender_is_sent_again_under_the_same_id(database: Database) -> None:
    row_id = add(database)
    first = claim_next(database)

    early = claim_next(database, at=NOON + 59 * SECOND)
    again = claim_next(database, at=NOON + MINUTE)

    assert early is None
    assert (first, again) == (ClaimedNotification(row_id, 1), ClaimedNotification(row_id, 2))


def test_a_notification_that_kills_its_senders_fails_after_eight_tries(database: Database) -> None:
    add(database)
    other = add(database, at=NOON + 9 * MINUTE)

    claims = [claim_next(database, at=NOON + n * MINUTE) for n in range(10)]

    assert [claim and claim.tries for claim in claims] == [1, 2, 3, 4, 5, 6, 7, 8, None, 1]
    assert claims[-1] is not None
    assert claims[-1].id == other
    first = rows(database)[0]
    assert (first.state, first.error) == (NotificationState.FAILED, outbox.NO_OUTCOME)


def test_a_sender_that_comes_back_too_late_changes_nothing(database: Database) -> None:
    add(database)
    frozen, other = claim_next(database), claim_next(database, at=NOON + MINUTE)

    mark_failed(database, frozen, at=NOON + MINUTE)
    assert not mark_sent(database, frozen)

    assert mark_sent(database, other)
    assert states(database) == ["sent"]


def test_two_senders_never_claim_the_same_notification(database: Database) -> None:
    ids = {add(database) for _ in range(20)}

    with database.session() as one, database.session() as other:
        claims = []
        for _ in range(10):
            claims += [outbox.claim_next(one, OPS, at=NOON, rate_limit=RATE_LIMIT)]
            claims += [outbox.claim_next(other, OPS, at=NOON, rate_limit=RATE_LIMIT)]

    assert {claim.id for claim in claims if claim is not None} == ids


def test_concurrent_senders_never_claim_the_same_notification(database: Database) -> None:
    ids = [add(database) for _ in range(24)]
    claimed_ids: list[UUID] = []
    together = threading.Barrier(4)

    def claim_all() -> None:
        together.wait()
        while (claim := claim_next(database, rate_limit=RateLimit(per_minute=1000))) is not None:
            claimed_ids.append(claim.id)

    senders = [threading.Thread(target=claim_all) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert sorted(claimed_ids) == sorted(ids)


# ---- retries ----


def test_a_failed_try_is_repeated_after_growing_pauses_up_to_the_eighth(
    database: Database,
) -> None:
    add(database)
    at, pauses = NOON, []
    while (claim := claim_next(database, at=at)) is not None:
        mark_failed(database, claim, at=at)
        (row,) = rows(database)
        if row.due_at is None:
            break
        pauses.append((row.due_at - at) // SECOND)
        assert claim_next(database, at=row.due_at - SECOND) is None
        at = row.due_at

    assert pauses == [15, 45, 135, 405, 1215, 3600, 3600]
    assert (row.state, row.tries) == (NotificationState.FAILED, MAX_TRIES)
    assert row.error == "It answered 500."


def test_a_channel_that_is_down_is_tried_once_and_not_once_a_message(database: Database) -> None:
    for _ in range(5):
        add(database)

    mark_failed(database, claim_next(database), at=NOON)

    assert claim_next(database, at=NOON + 14 * SECOND) is None
    assert [row.tries for row in rows(database)] == [1, 0, 0, 0, 0]


def test_a_message_that_no_service_accepts_does_not_block_the_others(database: Database) -> None:
    poison = add(database)
    at = NOON
    for _ in range(4):
        mark_failed(database, claim_next(database, at=at), at=at)
        at = max(row.due_at for row in rows(database) if row.due_at)
    other = add(database, at=at)
    claim = claim_next(database, at=at)
    assert claim is not None
    assert claim.id == poison
    mark_failed(database, claim, at=at)

    claim = claim_next(database, at=at + MINUTE)

    assert claim is not None
    assert claim.id == other


def test_a_notification_that_is_a_day_old_is_not_sent(database: Database) -> None:
    add(database)
    add(database, at=NOON + HOUR)

    with database.session() as session:
        outbox.suppress_channel(session, OPS, error="old", created_before=NOON + MINUTE)

    assert [(row.state.value, row.error) for row in rows(database)] == [
        ("suppressed", "old"),
        ("pending", None),
    ]


# ---- grouping, rate limit ----


@sqlite_nightly
def test_five_hundred_equal_failures_make_two_messages(database: Database) -> None:
    for n in range(500):
        created_at = NOON + n * SECOND / 10
        add(database, at=created_at, group_key="disk full", due_at=created_at + 5 * SECOND)

    count = 0
    for second in range(900):
        count += send_all(database, at=NOON + second * SECOND)

    notifications = rows(database)
    assert count == 2
    assert [row.state for row in notifications].count(SENT) == 2
    assert [row.state for row in notifications].count(GROUPED) == 498
    leads = [row for row in notifications if row.state is SENT]
    assert {row.grouped_into for row in notifications if row.state is GROUPED} == {
        row.id for row in leads
    }
    assert [row.sent_at for row in leads] == [NOON + 5 * SECOND, NOON + 605 * SECOND]


def test_other_errors_of_the_job_do_not_wait_for_the_cool_down(database: Database) -> None:
    add(database, group_key="disk full")
    send_all(database, at=NOON)
    add(database, at=NOON + SECOND, group_key="disk full")
    add(database, at=NOON + SECOND, group_key="no route")

    assert send_all(database, at=NOON + SECOND) == 1
    assert send_all(database, at=NOON + 599 * SECOND) == 0
    assert send_all(database, at=NOON + 600 * SECOND) == 1


def test_equal_failures_of_two_channels_are_not_grouped(database: Database) -> None:
    add(database, group_key="disk full")
    other = add(database, group_key="disk full", channel_id=2)

    assert send_all(database, at=NOON) == 1
    assert {row.id: row.state for row in rows(database)}[other] is PENDING


def test_the_group_of_a_message_is_fixed_at_its_first_try(database: Database) -> None:
    lead = add(database, group_key="disk full")
    add(database, group_key="disk full")
    first = claim_next(database)
    mark_failed(database, first, at=NOON)
    late = add(database, at=NOON + SECOND, group_key="disk full")

    assert claim_next(database, at=NOON + SECOND) is None
    again = claim_next(database, at=NOON + 15 * SECOND)

    assert again == ClaimedNotification(lead, 2)
    by_id = {row.id: row for row in rows(database)}
    assert by_id[late].state is PENDING
    assert [row.grouped_into for row in by_id.values()].count(lead) == 1


def test_equal_notifications_wait_while_one_is_being_sent(database: Database) -> None:
    add(database, group_key="disk full")
    first = claim_next(database)
    add(database, at=NOON + SECOND, group_key="disk full")

    assert claim_next(database, at=NOON + SECOND) is None
    mark_sent(database, first, at=NOON + 2 * SECOND)
    assert claim_next(database, at=NOON + 601 * SECOND) is None
    assert claim_next(database, at=NOON + 602 * SECOND) is not None


def test_a_channel_has_a_rate_limit_and_the_last_message_lists_the_rest(
    database: Database,
) -> None:
    rate_limit = RateLimit(per_minute=3, cool_down_seconds=600)
    for _ in range(50):
        add(database)

    counts = [
        send_all(database, at=NOON + n * SECOND, rate_limit=rate_limit) for n in (0, 1, 59, 60)
    ]

    notifications = rows(database)
    assert counts == [3, 0, 0, 0]
    assert [row.state for row in notifications].count(GROUPED) == 47
    assert {row.grouped_into for row in notifications if row.grouped_into} == {notifications[2].id}


def test_notifications_over_the_rate_limit_wait_for_the_next_minute(database: Database) -> None:
    rate_limit = RateLimit(per_minute=2, cool_down_seconds=600)
    for n in (0, 10, 20, 30):
        add(database, at=NOON + n * SECOND)

    counts = [
        send_all(database, at=NOON + n * SECOND, rate_limit=rate_limit)
        for n in (0, 10, 30, 59, 60, 70)
    ]

    assert counts == [1, 1, 0, 0, 1, 0]
    assert [row.state for row in rows(database)] == [SENT, SENT, SENT, GROUPED]


def test_a_test_of_a_channel_waits_for_nothing_and_is_tried_once(database: Database) -> None:
    rate_limit = RateLimit(per_minute=1, cool_down_seconds=600)
    add(database)
    send_all(database, at=NOON, rate_limit=rate_limit)
    test_id = add(database, event=Event.TEST)

    claim = claim_next(database, at=NOON, rate_limit=rate_limit)
    mark_failed(database, claim, at=NOON)

    assert claim == ClaimedNotification(test_id, 1)
    assert states(database) == ["sent", "failed"]


def test_a_late_notification_that_is_not_due_is_not_grouped(
    database: Database,
) -> None:
    add(database, group_key="late", event=Event.LATE, run_id=new_run_id())
    later = add(
        database,
        group_key="late",
        event=Event.LATE,
        run_id=new_run_id(),
        due_at=NOON + timedelta(minutes=30),
    )

    send_all(database, at=NOON)

    assert {row.id: row.state for row in rows(database)}[later] is PENDING


@pytest.mark.parametrize("tries, seconds", [(1, 15), (2, 45), (6, 3600), (7, 3600)])
def test_pauses_grow_to_an_hour(tries: int, seconds: float) -> None:
    assert outbox.retry_pause(tries) == seconds
