"""Results come from a queue of the broker, also after an outage."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from jobs_app.core.network_allowlist import parse_allowlist
from jobs_app.tasks.celery_client import CeleryClient
from jobs_app.tasks.celery_message import TaskMessage, TaskState
from jobs_app.tasks.celery_results import QueuedResults
from jobs_app.tasks.celery_server import celery_server
from jobs_app.tasks.context import CeleryFailed
from jobs_app.tasks.network_policy import NetworkPolicy
from tests.servers import wait_until
from tests.tasks.amqp_broker import AmqpBroker

POLICY = NetworkPolicy(allowlist=parse_allowlist("127.0.0.1"))
RUN_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MESSAGE = TaskMessage(str(RUN_ID), RUN_ID, "shop.add", [1], {}, "shop", "jobs-app@h")


def test_results_come_in_a_queue_of_rabbitmq_that_is_deleted_afterwards():
    states: list[dict[str, Any]] = [{"status": "STARTED"}, {"status": "SUCCESS", "result": 3}]
    with AmqpBroker({"shop"}, answers=states).serving() as broker:
        server = celery_server(f"amqp://127.0.0.1:{broker.port}")
        results = QueuedResults(server, POLICY, str(RUN_ID))
        results.open()
        assert results.state() is None
        CeleryClient(server, POLICY).send(replace(MESSAGE, reply_to=results.reply_to))
        wait_until(lambda: results.state() == TaskState("SUCCESS", 3), "the result has come")
        results.close(is_over=True)

    assert broker.deleted == [results.reply_to]
    assert broker.published[0]["reply_to"] == results.reply_to


@pytest.mark.parametrize(
    "answer, content_type",
    [
        ({"result": 3}, "application/json"),
        ({"status": "SUCCESS", "result": 3}, "application/x-python-serialize"),
    ],
)
def test_a_result_in_the_queue_that_is_no_json_of_one_is_an_error_that_says_so(
    answer, content_type
):
    answers = AmqpBroker({"shop"}, answers=[answer], content_type=content_type)
    with answers.serving() as broker:
        server = celery_server(f"amqp://127.0.0.1:{broker.port}")
        results = QueuedResults(server, POLICY, str(RUN_ID))
        results.open()
        CeleryClient(server, POLICY).send(replace(MESSAGE, reply_to=results.reply_to))
        with pytest.raises(CeleryFailed, match="result_serializer"):
            wait_until(lambda: results.state() is not None, "the result has come")
        results.close(is_over=True)


def test_after_an_outage_the_queue_is_consumed_again():
    with AmqpBroker({"shop"}, answers=[{"status": "SUCCESS", "result": 3}]).serving() as broker:
        server = celery_server(f"amqp://127.0.0.1:{broker.port}")
        results = QueuedResults(server, POLICY, str(RUN_ID))
        results.open()
        broker.disconnect()
        with pytest.raises(CeleryFailed, match="does not answer") as failure:
            results.state()
        assert results.state() is None
        CeleryClient(server, POLICY).send(replace(MESSAGE, reply_to=results.reply_to))
        wait_until(lambda: results.state() == TaskState("SUCCESS", 3), "the result has come")
        results.close(is_over=True)

    assert failure.value.may_pass


def test_the_queue_of_a_run_that_lost_its_worker_stays_for_the_next_attempt():
    with AmqpBroker({"shop"}, answers=[{"status": "SUCCESS", "result": 3}]).serving() as broker:
        server = celery_server(f"amqp://127.0.0.1:{broker.port}")
        results = QueuedResults(server, POLICY, str(RUN_ID))
        results.open()

        results.close(is_over=False)

        assert broker.deleted == []
        results.open()
        CeleryClient(server, POLICY).send(replace(MESSAGE, reply_to=results.reply_to))
        wait_until(lambda: results.state() == TaskState("SUCCESS", 3), "the result has come")
        results.close(is_over=True)
