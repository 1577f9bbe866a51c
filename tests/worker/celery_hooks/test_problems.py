"""The problems that a worker knows of itself."""

from dataclasses import dataclass, field

import pytest
from celery.worker import state
from cryptography.fernet import Fernet

from jobs_app.broker.gate import Gate, Refusal
from jobs_app.core.settings import Settings
from jobs_app.secrets.signing import Signer
from jobs_app.tasks.user_apps import BrokenModule
from jobs_app.worker.celery_hooks.problems import MISSES, OTHER_KEY, Problems


@dataclass
class Tasks:
    """The part of Celery's consumer that knows its queues."""

    queues: set[str]

    def consuming_from(self, queue: str) -> bool:
        return queue in self.queues


@dataclass
class Consumer:
    task_consumer: Tasks | None


@dataclass
class Worker:
    consumer: Consumer = field(default_factory=lambda: Consumer(Tasks({"a", "b"})))


def gate() -> Gate:
    return Gate(Signer(Settings(secret_key=Fernet.generate_key().decode())), ageless_task="run")


def test_a_queue_that_is_missing_once_is_no_problem_and_for_longer_it_is_one() -> None:
    worker = Worker()
    problems = Problems(worker, gate(), ("a", "b"))
    assert problems() is None

    worker.consumer.task_consumer = Tasks({"a"})
    answers = [problems() for _ in range(MISSES)]
    worker.consumer.task_consumer = None
    without_connection = problems()
    worker.consumer.task_consumer = Tasks({"a", "b"})

    assert answers == [None, "It does not consume its queues: b."]
    assert without_connection == "It does not consume its queues: a, b."
    assert problems() is None


def test_messages_of_another_key_are_a_problem() -> None:
    refusing = gate()
    refusing.note(Refusal.UNSIGNED)
    assert Problems(Worker(), refusing, ())() is None

    refusing.note(Refusal.OTHER_KEY)

    assert Problems(Worker(), refusing, ())() == OTHER_KEY


def test_a_module_that_cannot_be_loaded_is_a_problem_without_the_text_of_its_error() -> None:
    broken = {"shop": BrokenModule("shop", ValueError("a password"))}

    assert Problems(Worker(), gate(), (), broken)() == (
        "The module 'shop' of JOBS_IMPORTS cannot be loaded (ValueError), so the runs of its tasks"
        " fail."
    )


def test_a_worker_that_is_stopping_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(Consumer(None))
    problems = Problems(worker, gate(), ("a",))
    before = [problems() for _ in range(MISSES)]

    # The exit code of a warm shutdown is 0.
    monkeypatch.setattr(state, "should_stop", 0)

    assert before[-1] == "It does not consume its queues: a."
    assert problems() is None
