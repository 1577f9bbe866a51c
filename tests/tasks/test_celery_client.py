"""Messages to RabbitMQ: to queues that it has, and confirmed."""

from uuid import UUID

import pytest

from jobs_app.core.network_allowlist import parse_allowlist
from jobs_app.tasks.celery_client import CeleryClient
from jobs_app.tasks.celery_message import TaskMessage
from jobs_app.tasks.celery_server import celery_server
from jobs_app.tasks.context import CeleryFailed
from jobs_app.tasks.network_policy import NetworkPolicy
from tests.tasks.amqp_broker import AmqpBroker

POLICY = NetworkPolicy(allowlist=parse_allowlist("127.0.0.1, localhost"))
RUN_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MESSAGE = TaskMessage(
    id=str(RUN_ID),
    run_id=RUN_ID,
    task="shop.add",
    args=[1],
    kwargs={"y": 2},
    queue="shop",
    origin="jobs-app@h",
    priority=7,
)


def client(url: str) -> CeleryClient:
    return CeleryClient(celery_server(url), POLICY)


def test_rabbitmq_gets_a_message_for_a_queue_that_it_has():
    with AmqpBroker({"shop"}).serving() as broker:
        client(f"amqp://me:pass@127.0.0.1:{broker.port}/shop").send(MESSAGE)

    (message,) = broker.published
    assert broker.logins == ["me\x00pass"]
    assert (message["exchange"], message["routing_key"]) == ("", "shop")
    assert (message["correlation_id"], message["delivery_mode"]) == (str(RUN_ID), 2)
    assert (message["content_type"], message["priority"]) == ("application/json", 7)
    assert message["headers"]["task"] == "shop.add"
    assert message["headers"]["root_id"] == message["headers"]["id"] == str(RUN_ID)
    assert message["body"][:2] == [[1], {"y": 2}]


def test_a_queue_that_rabbitmq_does_not_have_is_named_and_nothing_sent():
    with (
        AmqpBroker({"other"}).serving() as broker,
        pytest.raises(CeleryFailed, match=r"has no queue 'shop' in '/' .*: nothing was sent"),
    ):
        client(f"amqp://127.0.0.1:{broker.port}").send(MESSAGE)

    assert broker.published == []


def test_a_message_without_a_confirmation_may_have_been_sent_and_is_sent_once():
    with (
        AmqpBroker({"shop"}, confirms=False).serving() as broker,
        pytest.raises(CeleryFailed, match="may have been sent") as failure,
    ):
        client(f"amqp://127.0.0.1:{broker.port}").send(MESSAGE)

    assert not failure.value.may_pass
    assert len(broker.published) == 1


def test_the_order_to_revoke_goes_to_all_workers_of_rabbitmq():
    with AmqpBroker({"celery.pidbox"}).serving() as broker:
        client(f"amqp://127.0.0.1:{broker.port}").revoke("x", signal="SIGTERM")

    (message,) = broker.published
    assert (message["exchange"], message["routing_key"]) == ("celery.pidbox", "")
    assert message["body"]["method"] == "revoke"
    assert message["body"]["arguments"]["signal"] == "SIGTERM"


def test_without_any_worker_there_is_nobody_to_take_the_order():
    with (
        AmqpBroker(set()).serving() as broker,
        pytest.raises(CeleryFailed, match="did not take the order"),
    ):
        client(f"amqp://127.0.0.1:{broker.port}").revoke("x", signal=None)
