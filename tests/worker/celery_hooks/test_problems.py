"""The problems that a worker knows of itself."""

from dataclasses import dataclass, field

from cryptography.fernet import Fernet

from jobs_app.broker.gate import Gate, Refusal
from jobs_app.core.settings import Settings
from jobs_app.secrets.signing import Signer
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
