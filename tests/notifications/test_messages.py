"""The title, text and document of a notification."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.run_error import RunError
from jobs_app.core.states import Event, RunState
from jobs_app.notifications.messages import (
    OUTPUT_LINES,
    MessageData,
    OtherNotifications,
    RunSummary,
    document,
    text,
    title,
)
from tests.factories import HOUR, MINUTE, NOON, SECOND

RUN = RunSummary(
    id=UUID(int=7),
    state=RunState.FAILED,
    trigger="schedule",
    scheduled_for=NOON,
    created_at=NOON,
    started_at=NOON + SECOND,
    finished_at=NOON + MINUTE,
    attempt=2,
    max_attempts=3,
    exit_code=2,
    reason=None,
    error=RunError("CommandFailed", "The command ended with exit code 2."),
    log="one\ntwo\n",
)
NOTICE = MessageData(
    id=UUID(int=1),
    event=Event.FAILED,
    channel="ops",
    at=NOON + MINUTE,
    job="nightly",
    timezone="Europe/Paris",
    run=RUN,
    detail={"failures": 3},
)


def notice(event: Event, **fields: Any) -> MessageData:
    return replace(NOTICE, event=event, **fields)


@pytest.mark.parametrize(
    "message, expected",
    [
        (NOTICE, "nightly failed (exit code 2)"),
        (replace(NOTICE, run=replace(RUN, exit_code=None)), "nightly failed"),
        (replace(NOTICE, run=replace(RUN, state=RunState.TIMED_OUT)), "nightly timed out"),
        (replace(NOTICE, run=None), "nightly failed"),
        (replace(NOTICE, same=37), "nightly failed (exit code 2), 38 times"),
        (notice(Event.RECOVERED), "nightly works again"),
        (notice(Event.LATE), "nightly is late"),
        (notice(Event.MISSED), "nightly missed a fire"),
        (notice(Event.MISSED, fires=1234), "nightly missed 1,234 fires"),
        (notice(Event.LOST), "nightly was lost"),
        (notice(Event.SUCCEEDED), "nightly succeeded"),
        (notice(Event.OVERRUN), "nightly takes much longer than usual"),
        (
            notice(Event.OUTPUT, run=replace(RUN, state=RunState.SUCCEEDED)),
            "nightly printed output",
        ),
        (notice(Event.OUTPUT), "nightly printed output, and failed (exit code 2)"),
        (
            notice(Event.OUTPUT, run=replace(RUN, state=RunState.LOST)),
            "nightly printed output, and was lost",
        ),
        (notice(Event.PAUSED, run=None), "nightly was paused"),
        (notice(Event.TEST, job=None, run=None), "Test of the channel ops"),
        (
            replace(
                NOTICE,
                others=[
                    OtherNotifications("a", Event.LOST, 2),
                    OtherNotifications(None, Event.LATE, 1),
                ],
            ),
            "nightly failed (exit code 2), and 3 more notifications",
        ),
        (
            replace(NOTICE, job="a\r\nBcc: all@example.org"),
            "a Bcc: all@example.org failed (exit code 2)",
        ),
    ],
)
def test_the_title_says_what_happened(message: MessageData, expected: str) -> None:
    assert title(message) == expected


def test_what_is_not_about_a_run_links_to_the_page_of_its_job() -> None:
    paused = replace(NOTICE, event=Event.PAUSED, run=None, public_url="https://jobs.example.org/")

    assert "https://jobs.example.org/jobs/nightly" in text(paused).splitlines()


def test_a_failure_says_what_a_colleague_needs_to_know() -> None:
    assert text(replace(NOTICE, public_url="https://jobs.example.org/")).splitlines() == [
        "Due: 2026-06-15 14:00:00 Europe/Paris (2026-06-15 12:00:00 UTC)",
        "Ended: 2026-06-15 14:01:00 Europe/Paris (2026-06-15 12:01:00 UTC)",
        "Attempt: 2 of 3",
        "In a row: 3 failures",
        "Run: 00000000-0000-0000-0000-000000000007",
        "https://jobs.example.org/runs/00000000-0000-0000-0000-000000000007",
        "jobs-app run show 00000000-0000-0000-0000-000000000007",
        "",
        "CommandFailed: The command ended with exit code 2.",
        "",
        "The end of its log:",
        "one",
        "two",
    ]


@pytest.mark.parametrize(
    "message, heading, first",
    [
        (notice(Event.OUTPUT), "Its output:", "0"),
        (notice(Event.RECOVERED, detail={"with_output": True}), "Its output:", "0"),
        (notice(Event.FAILED), "The end of its log:", "80"),
    ],
)
def test_who_wants_the_output_of_a_run_gets_more_than_its_last_lines(
    message: MessageData, heading: str, first: str
) -> None:
    run = replace(RUN, log="".join(f"{number}\n" for number in range(100)))

    lines = text(replace(message, run=run)).splitlines()

    assert lines[lines.index(heading) + 1 :] == [str(n) for n in range(int(first), 100)]


def test_output_that_is_too_long_for_a_message_is_cut_at_its_beginning() -> None:
    run = replace(RUN, log="".join(f"{number}\n" for number in range(10_000)))

    lines = text(notice(Event.OUTPUT, run=run)).splitlines()

    assert lines[lines.index("The end of its output:") + 1] == str(10_000 - OUTPUT_LINES)
    assert document(notice(Event.OUTPUT, run=run))["run"]["log_tail"].splitlines()[-1] == "9999"


@pytest.mark.parametrize(
    "message, sentence",
    [
        (
            notice(
                Event.RECOVERED,
                detail={"failures": 3, "failing_since": (NOON - 3 * HOUR).isoformat()},
            ),
            "It had failed 3 times in a row, for 3 h 1 min.",
        ),
        (
            notice(
                Event.MISSED,
                fires=3,
                detail={
                    "reasons": ["scheduler_down"],
                    "first": NOON.isoformat(),
                    "last": (NOON + 2 * HOUR).isoformat(),
                },
            ),
            "Because no scheduler was running.",
        ),
        (
            notice(Event.OVERRUN, detail={"seconds": 1200.4, "usual_seconds": 61.0}),
            "95 of 100 of its last successful runs took at most 1 min 1 s.",
        ),
        (
            notice(Event.PAUSED, run=None, detail={"by": "ann", "reason": "too loud"}),
            "Reason: too loud",
        ),
        (
            notice(Event.LATE, detail={"late_seconds": 3720.0}),
            "It starts 1 h 2 min after it should have.",
        ),
        (
            notice(Event.LATE, detail={"after_seconds": 300, "state": "queued"}),
            "It has not started 5 min after it should have.",
        ),
        (
            notice(
                Event.LOST,
                run=replace(RUN, reason="The worker stopped without a word."),
            ),
            "Reason: The worker stopped without a word.",
        ),
        (replace(NOTICE, works_again=True), "It has succeeded since."),
        (
            replace(NOTICE, same=1, last_at=NOON),
            "And 1 more like this, the last at 2026-06-15 14:00:00 Europe/Paris"
            " (2026-06-15 12:00:00 UTC).",
        ),
    ],
)
def test_the_text_has_the_sentence(message: MessageData, sentence: str) -> None:
    assert sentence in text(message).splitlines()


def test_the_text_names_ten_of_many_other_notifications() -> None:
    others = [OtherNotifications(f"job-{n}", Event.FAILED, 2) for n in range(12)]

    message = text(replace(NOTICE, others=others))

    assert "- job-9: failed (2)" in message
    assert "job-10" not in message
    assert "- and 4 more: see jobs-app notification list" in message


def test_a_long_error_and_a_long_log_are_cut() -> None:
    error = RunError("E", "\n".join(f"e{n}" for n in range(50)))
    run = replace(RUN, error=error, log="".join(f"l{n}\n" for n in range(50)))

    message = text(replace(NOTICE, run=run)).splitlines()

    assert [line for line in message if line.startswith("l")] == [f"l{n}" for n in range(30, 50)]
    assert [line for line in message if line.startswith("e")] == [f"e{n}" for n in range(1, 10)]
    assert "…" in message


def test_the_document_has_the_fields_for_programs() -> None:
    body = document(
        replace(NOTICE, same=2, detail={"failures": 3, "failing_since": NOON.isoformat()})
    )

    assert body["run"]["exit_code"] == 2
    assert body["run"]["scheduled_for"] == "2026-06-15T12:00:00Z"
    assert body["run"]["url"] is None
    assert body["failing_since"] == "2026-06-15T12:00:00Z"
    assert (body["count"], body["fires"], body["others"]) == (3, None, [])
