"""A later attempt waits for the task of a lost one, and sends a new one after any other."""

from typing import Any
from uuid import UUID

import pytest

from jobs_app.tasks.celery_message import TaskMessage, task_id
from jobs_app.tasks.celery_sending import Sending
from tests.running import a_run

RUN_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MESSAGE = TaskMessage(str(RUN_ID), RUN_ID, "shop.report", [], {}, "celery", "jobs-app")


class Kept:
    """What the attempt before has sent, and whether it was lost."""

    def __init__(self, sent: dict[str, Any] | None = None, *, is_lost: bool = False) -> None:
        self._before = (sent, is_lost)

    def before(self) -> tuple[dict[str, Any] | None, bool]:
        return self._before

    def keep(self, sent: dict[str, Any]) -> None:
        raise AssertionError(sent)

    def is_handed_on(self) -> bool:
        return False


def test_the_first_attempt_sends_its_task_under_the_id_of_the_run() -> None:
    sending = Sending.of(a_run(run_id=RUN_ID, sent_task=Kept()))

    assert (sending.id, sending.is_sent, sending.line(MESSAGE)) == (str(RUN_ID), False, "")


def test_an_attempt_after_a_lost_one_waits_for_the_task_of_that() -> None:
    kept = Kept({"id": str(RUN_ID)}, is_lost=True)

    sending = Sending.of(a_run(run_id=RUN_ID, attempt=3, sent_task=kept))

    assert (sending.id, sending.is_sent) == (str(RUN_ID), True)
    assert sending.line(MESSAGE) == (
        f"Attempt 3 waits for shop.report, which was sent as {RUN_ID} before this run lost its"
        " worker. It is not sent again."
    )


@pytest.mark.parametrize(
    "kept, id_before",
    [
        (Kept({"id": "of-attempt-1"}), "of-attempt-1"),
        (Kept(is_lost=True), task_id(RUN_ID, 2)),
        (None, task_id(RUN_ID, 2)),
    ],
    ids=["failed", "lost before it was kept", "nobody keeps"],
)
def test_any_other_attempt_sends_anew_and_names_the_task_before(
    kept: Kept | None, id_before: str
) -> None:
    sending = Sending.of(a_run(run_id=RUN_ID, attempt=3, sent_task=kept))

    assert (sending.id, sending.is_sent) == (task_id(RUN_ID, 3), False)
    assert f"Attempt 3 sends shop.report anew. The attempt before sent it as {id_before}," in (
        sending.line(MESSAGE)
    )
