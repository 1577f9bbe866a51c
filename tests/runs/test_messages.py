"""Messages: written as kombu writes them, many at once."""

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet
from redis import Redis

from jobs_app.broker.signature import SENT_AT, SIGNATURES
from jobs_app.celery_app import RUN_TASK, JobsCelery, make_celery
from jobs_app.core.errors import BrokerUnavailable
from jobs_app.core.settings import Settings
from jobs_app.runs.messages import Message, publish

SHAPES = [
    Message(uuid4(), 1, "shell", "default"),
    Message(uuid4(), 3, "reports.make", "slow & 100 %", priority=9, time_limit_seconds=90),
    Message(uuid4(), 12, "sleep", "default", priority=0, soft_time_limit_seconds=5),
]


@pytest.fixture
def app(redis_url: str) -> Iterator[JobsCelery]:
    settings = Settings(
        redis_url=redis_url,
        redis_prefix=f"test-{uuid4()}:",
        secret_key=Fernet.generate_key().decode(),
    )
    made = make_celery(settings)
    yield made
    made.close()


@pytest.fixture
def broker(redis_url: str) -> Iterator["Redis"]:
    client = Redis.from_url(redis_url, decode_responses=True)
    yield client
    client.close()


def lying(app: JobsCelery, broker: "Redis") -> dict[str, list[dict[str, Any]]]:
    """Take every message out of the broker, by the key of its list, oldest first."""
    prefix = app.settings.redis_prefix
    found: dict[str, list[dict[str, Any]]] = {}
    for key in broker.scan_iter(f"{prefix}*"):
        if broker.type(key) == "list":
            found[key] = [json.loads(text) for text in broker.lrange(key, 0, -1)][::-1]
            broker.delete(key)
    return found


def publish_by_celery(app: JobsCelery, message: Message) -> None:
    """Send one message as Celery itself does."""
    run_id = str(message.run_id)
    app.send_task(
        RUN_TASK,
        args=(run_id, message.attempt),
        task_id=run_id,
        shadow=message.task,
        queue=message.queue,
        exchange="",
        routing_key=message.queue,
        priority=message.priority,
        soft_time_limit=message.soft_time_limit_seconds,
        time_limit=message.time_limit_seconds,
        ignore_result=True,
    )


@pytest.mark.parametrize("message", SHAPES)
def test_a_message_is_what_celery_itself_would_send(
    app: JobsCelery, broker: "Redis", message: Message
) -> None:
    publish_by_celery(app, message)
    ((celerys_key, (celerys,)),) = lying(app, broker).items()

    # Another run first, so that the compared message comes from its template.
    publish(app, [message._replace(run_id=uuid4()), message])

    ((key, (_, ours)),) = lying(app, broker).items()
    for each in (celerys, ours):
        each["body"] = json.loads(b64decode(each["body"]))
        assert each["properties"].pop("delivery_tag")
        # No result backend: nobody listens there.
        each["properties"].pop("reply_to")
        assert len(each["headers"].pop(SIGNATURES)) == 1
    # Runs are of any age.
    assert celerys["headers"].pop(SENT_AT)
    assert (key, ours) == (celerys_key, celerys)


@pytest.mark.parametrize("number", [1, 2])
def test_a_message_passes_the_gate_of_a_worker_in_its_own_queue_only(
    redis_url: str, number: int
) -> None:
    keys = ",".join(Fernet.generate_key().decode() for _ in range(number))
    app = make_celery(Settings(redis_url=redis_url, redis_prefix=f"{uuid4()}:", secret_key=keys))
    shapes = [shape._replace(task="größe 100 %") for shape in SHAPES]
    for message in [*SHAPES, *shapes]:
        publish(app, [message])

        with app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            received = channel.basic_get(message.queue)
            assert received.headers["id"] == str(message.run_id)
            assert app.gate.passes(received, message.queue)
            assert not app.gate.passes(received, "other")
            received.ack()
    app.close()


def test_every_message_has_its_own_run_and_delivery_tag(app: JobsCelery, broker: "Redis") -> None:
    messages = [SHAPES[0]._replace(run_id=uuid4()) for _ in range(2500)]

    publish(app, messages[:2000])
    publish(app, messages[2000:])

    ((_, texts),) = lying(app, broker).items()
    assert [UUID(text["headers"]["id"]) for text in texts] == [each.run_id for each in messages]
    assert [json.loads(b64decode(text["body"]))[0][0] for text in texts] == [
        str(each.run_id) for each in messages
    ]
    assert len({text["properties"]["delivery_tag"] for text in texts}) == 2500


def test_queues_and_priorities_have_lists_of_their_own(app: JobsCelery, broker: "Redis") -> None:
    publish(app, SHAPES)

    found = lying(app, broker)
    queues = {
        key.removeprefix(app.settings.redis_prefix): [each["headers"]["shadow"] for each in texts]
        for key, texts in found.items()
    }
    assert queues == {
        "default\x06\x163": ["shell"],
        "slow & 100 %\x06\x169": ["reports.make"],
        "default": ["sleep"],
    }


def test_a_broker_that_cannot_be_reached_is_said_to_be_so() -> None:
    nowhere = make_celery(Settings(redis_url="redis://127.0.0.1:1/0"))

    with pytest.raises(BrokerUnavailable):
        publish(nowhere, [SHAPES[0]])
