"""The log of failed sign-ins: each kind once a minute, and bounded whatever comes."""

import logging

import pytest

from jobs_app.accounts.tokens import Refusal
from jobs_app.web.repeat_count import MAX_NAMED, WINDOW_SECONDS
from jobs_app.web.sign_in_log import FailedSignIn, SignInLog


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def failure(number: int = 0) -> FailedSignIn:
    return FailedSignIn(Refusal.UNKNOWN, f"192.0.2.{number}")


def test_a_failure_is_logged_at_once_and_its_repetitions_with_their_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    sign_ins = SignInLog(monotonic=clock)
    known = FailedSignIn(Refusal.EXPIRED, "::1", 7, "ci server")

    for _ in range(500):
        sign_ins.note(failure(1))
    sign_ins.note(known)
    clock.now += WINDOW_SECONDS
    sign_ins.report()
    sign_ins.report()

    assert caplog.messages == [
        "sign_in_failed address=192.0.2.1 reason=unknown",
        "sign_in_failed address=::1 reason=expired token=7 name='ci server'",
        "sign_in_failed_again count=499 address=192.0.2.1 reason=unknown",
    ]


def test_an_attack_from_many_addresses_fills_no_disk(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sign_ins = SignInLog(monotonic=clock)

    for _ in range(3):
        for number in range(1000):
            sign_ins.note(failure(number))
            sign_ins.note(failure(number))
        clock.now += WINDOW_SECONDS
    sign_ins.report()

    assert len(caplog.messages) <= 3 * (2 * MAX_NAMED + 1)
    assert caplog.messages[-1] == f"sign_in_failed_otherwise count={2 * (1000 - MAX_NAMED)}"
