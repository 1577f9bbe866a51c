"""A run says what it waits for at set times, and not more often."""

from uuid import uuid4

from jobs_app.tasks.celery_message import TaskMessage
from jobs_app.tasks.celery_waiting import LONG_SECONDS, UNTAKEN_SECONDS, Waiting
from tests.running import Reports

MESSAGE = TaskMessage("1", uuid4(), "shop.report", [], {}, "celery", "jobs-app")


def test_a_long_wait_is_named_after_five_minutes_and_then_at_twice_the_time() -> None:
    lines: list[str] = []
    reports = Reports()
    waiting = Waiting(MESSAGE, lambda: True, lines.append, reports)

    waiting.look(UNTAKEN_SECONDS - 1, has_state=False)
    assert lines == []
    for seconds in range(int(UNTAKEN_SECONDS), int(LONG_SECONDS * 5), 10):
        waiting.look(seconds, has_state=False)

    first, *later = lines
    assert first == (
        "After 30 s nobody has taken the message from the queue 'celery' yet: do your workers"
        " consume it?"
    )
    assert [line.partition(", after ")[2].partition(".")[0] for line in later] == [
        "5 min",
        "10 min",
        "20 min",
    ]
    assert set(reports.messages) == {
        "nobody has taken the message from the queue 'celery' yet",
        "waiting for the result of shop.report",
    }


def test_a_task_that_reports_a_state_was_taken_and_keeps_its_own_progress() -> None:
    lines: list[str] = []
    reports = Reports()
    waiting = Waiting(MESSAGE, lambda: True, lines.append, reports)

    waiting.look(LONG_SECONDS, has_state=True)

    assert [line.partition(" of ")[0] for line in lines] == ["Still waiting for the result"]
    assert reports.messages == []
