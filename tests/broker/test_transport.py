"""The transport: it signs each message that our application sends, and delivers no other."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from cryptography.fernet import Fernet
from kombu import Exchange, Queue

from jobs_app.broker.signature import SENT_AT, SIGNATURES
from jobs_app.celery_app import RUN_TASK, JobsCelery
from tests.broker.conftest import QUEUE, change, key, received, send
from tests.servers import ValkeyServer


def test_a_message_of_our_application_is_delivered(app: JobsCelery) -> None:
    send(app, countdown=5, expires=60, headers={"trace": {"b": 1.5, "a": [None, "ü%"], "7": ()}})

    assert received(app) == ["reports.make"]
    assert app.gate.refused == 0


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda message: message["headers"].pop(name)


def put(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda message: message["headers"].update({name: value})


def address(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda message: message["properties"]["delivery_info"].update(values)


def field(**values: Any) -> Callable[[dict[str, Any]], None]:
    names = {name.replace("_", "-"): value for name, value in values.items()}
    return lambda message: message.update(names)


def signatures(value: Any) -> Callable[[dict[str, Any]], None]:
    """Put *value* in place of each signature."""

    def edit(message: dict[str, Any]) -> None:
        message["headers"][SIGNATURES] = dict.fromkeys(message["headers"][SIGNATURES], value)

    return edit


FORGERIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no signature": drop(SIGNATURES),
    "no signatures": put(SIGNATURES, {}),
    "a text as signature": put(SIGNATURES, "x"),
    "a number as signature": lambda m: put(SIGNATURES, dict.fromkeys(m["headers"][SIGNATURES], 1))(
        m
    ),
    "a wrong signature": signatures("0" * 64),
    "no ASCII": signatures("ü" * 64),
    "another key": put(SIGNATURES, {"00000000": "0" * 64}),
    "another task": put("task", "reports.delete"),
    "a run": put("task", RUN_TASK),
    "another id": put("id", str(uuid4())),
    "no expiry": put("expires", None),
    "an earlier eta": put("eta", "2020-01-01T00:00:00"),
    "no limits": put("timelimit", [None, None]),
    "another time": put(SENT_AT, time.time() + 3600),
    "one more header": put("ignore_result", False),
    "one header less": drop("lang"),
    "another body": field(body="W1siZnIiXSwge30sIHt9XQ=="),
    "an empty body": field(body=""),
    "pickle": field(content_type="application/x-python-serialize"),
    "another encoding": field(content_encoding="binary"),
    "another queue": address(routing_key="other"),
    "an exchange": address(exchange="x.default", routing_key=""),
    "compressed": put("compression", "application/x-gzip"),
    "compressed by nobody": put("compression", "no-such-thing"),
    "no properties": lambda m: m.pop("properties"),
    "no headers": lambda m: m.pop("headers"),
    "headers of another kind": field(headers=["task"]),
    "headers as text": field(headers="task"),
    "no tag": lambda m: m["properties"].pop("delivery_tag"),
    "a list as tag": lambda m: m["properties"].update(delivery_tag=["x"]),
    "no address": lambda m: m["properties"].pop("delivery_info"),
    "an empty address": lambda m: m["properties"].update(delivery_info={}),
    "a number as address": lambda m: m["properties"].update(delivery_info=7),
    "a body that is no Base64": field(body="?"),
    "a body of another kind": field(body={"x": 1}),
    "a list": lambda m: [1, 2],
    "a text": lambda m: "x",
    "nothing": lambda m: {},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_message_that_was_changed_is_dropped(
    app: JobsCelery, valkey: ValkeyServer, forgery: str
) -> None:
    send(app, expires=60, countdown=1, time_limit=9)
    change(app, valkey, FORGERIES[forgery])

    assert received(app) == []
    assert app.gate.refused == 1


def test_a_message_that_came_to_another_queue_is_dropped(
    app: JobsCelery, valkey: ValkeyServer
) -> None:
    send(app)
    with valkey.client() as client:
        client.rename(key(app), key(app).replace(QUEUE, "other"))

    assert received(app, "other") == []
    assert app.gate.refused == 1


def test_a_message_that_was_redelivered_is_delivered(app: JobsCelery, valkey: ValkeyServer) -> None:
    send(app)

    def redeliver(message: dict[str, Any]) -> None:
        message["headers"]["redelivered"] = True
        message["properties"]["delivery_info"]["redelivered"] = True

    change(app, valkey, redeliver)

    assert received(app) == ["reports.make"]


def test_a_message_of_another_installation_is_dropped_and_remembered(
    app: JobsCelery, make_app: Callable[..., JobsCelery]
) -> None:
    send(make_app(Fernet.generate_key().decode()))

    assert received(app) == []
    assert app.gate.has_other_key


def test_our_application_sends_nothing_compressed(app: JobsCelery, valkey: ValkeyServer) -> None:
    send(app, compression="gzip")
    producer: Any
    with app.producer_pool.acquire() as producer, producer.batch():
        producer.publish("batched", routing_key=QUEUE, headers={"task": "x"}, compression="bzip2")

    assert received(app) == ["reports.make", "x"]


def test_messages_by_an_exchange_belong_in_queues_with_its_name(app: JobsCelery) -> None:
    exchange = Exchange("reply.celery.pidbox", "direct")
    found: list[Any] = []
    with app.connection_for_write() as connection:
        queue = Queue("me.reply.celery.pidbox", exchange, "me")
        with connection.Consumer([queue], callbacks=[lambda body, _: found.append(body)]):
            connection.Producer().publish({"ok": "pong"}, exchange=exchange, routing_key="me")
            connection.drain_events(timeout=5)

    assert found == [{"ok": "pong"}]


def test_an_application_of_the_user_is_not_affected(app: JobsCelery, valkey: ValkeyServer) -> None:
    theirs = Celery("theirs", broker=app.conf.broker_url, set_as_current=False)
    theirs.conf.broker_transport_options = {"global_keyprefix": app.settings.redis_prefix}
    theirs.send_task("theirs.task", queue="theirs", compression="gzip")

    tasks: list[str] = []
    with theirs.connection_for_read() as connection:
        channel: Any = connection.default_channel
        message = channel.basic_get("theirs")
        tasks.append(message.headers["task"])
        assert SIGNATURES not in message.headers
    theirs.close()
    assert tasks == ["theirs.task"]
