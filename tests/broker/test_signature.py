"""The signature of a message: over everything that decides what it does."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from kombu.utils import json

from jobs_app.broker.signature import SENT_AT, SIGNATURES, is_signed, sign
from jobs_app.core.settings import Settings
from jobs_app.secrets.signing import Signer

SIGNER = Signer(Settings(secret_key=Fernet.generate_key().decode()))


class Received:
    """A message as kombu hands it over."""

    def __init__(self, message: dict[str, Any], exchange: str, routing_key: str) -> None:
        message = json.loads(json.dumps(message))
        self.headers = message["headers"]
        self.body = message["body"]
        self.content_type = message["content-type"]
        self.content_encoding = message["content-encoding"]
        self.delivery_info = {"exchange": exchange, "routing_key": routing_key}


def signed(**headers: Any) -> Received:
    message: dict[str, Any] = {
        "headers": headers,
        "body": "[1]",
        "content-type": "application/json",
        "content-encoding": "utf-8",
    }
    sign(message, "", "default", SIGNER)
    return Received(message, "", "default")


def fits(message: Received) -> bool:
    return is_signed(message, message.headers[SIGNATURES], SIGNER)


@pytest.mark.parametrize(
    "value",
    [None, "ü%s\0", 1.5, float("inf"), (1, (2,)), {"b": 1, "a": {2: None, 10: True}}, 10**30],
)
def test_headers_of_any_kind_are_signed(value: Any) -> None:
    assert fits(signed(task="a", header=value))


def test_the_order_of_headers_and_a_redelivery_change_nothing() -> None:
    message = signed(task="a", id="b")
    message.headers = dict(reversed(message.headers.items())) | {"redelivered": True}

    assert fits(message)


@pytest.mark.parametrize("field", ["body", "content_type", "content_encoding"])
def test_a_change_of_a_field_is_noticed(field: str) -> None:
    message = signed(task="a")
    setattr(message, field, "other")

    assert not fits(message)


@pytest.mark.parametrize("name", ["task", SENT_AT, "new"])
def test_a_change_of_a_header_is_noticed(name: str) -> None:
    message = signed(task="a")
    message.headers[name] = "other"

    assert not fits(message)


def test_a_part_of_the_headers_cannot_become_a_part_of_the_body() -> None:
    message = signed(task="a")
    message.body = "\0[1]"

    assert not fits(message)
