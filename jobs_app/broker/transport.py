"""kombu's transport for Redis, which signs what it sends and checks what it receives.

Only connections of our own application use it: a user's Celery application with a broker of
its own is not affected. Each method here is a public one of kombu.
"""

from itertools import count
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.compression import decompress
from kombu.connection import ConnectionPool, PooledConnection
from kombu.transport import redis, virtual

from jobs_app.broker.gate import Gate, Refusal
from jobs_app.broker.signature import sign
from jobs_app.secrets.signing import Signer

#: Errors of a message that is no object, or lacks what each message has.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

_numbers = count(1)


class Message(virtual.Message):
    """A received message. It is never decompressed, and its making raises no error.

    `refusal` says what is wrong with it, None if it can be checked.
    """

    refusal: Refusal | None = None

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            if payload["headers"].get("compression"):
                # It is not known yet who sent it, and a small message can become a large one.
                headers = {**payload["headers"], "compression": None}
                payload, self.refusal = {**payload, "headers": headers}, Refusal.COMPRESSED
            super().__init__(payload, channel=channel, **options)
            self._check()
        except MALFORMED:
            super().__init__(_nothing(), channel=channel, **options)
            self.refusal = Refusal.UNREADABLE

    def _check(self) -> None:
        """Raise an error if something is missing that kombu reads before the gate does."""
        address = (self.delivery_info["exchange"], self.delivery_info["routing_key"])
        if not all(isinstance(part, str) for part in (*address, self.delivery_tag)):
            raise TypeError("the address and the tag of a message are texts")
        headers: Any = self.headers
        if self.errors or not isinstance(headers, dict):
            raise TypeError("the headers or the body of a message cannot be read")


def _nothing() -> dict[str, Any]:
    delivery = {"exchange": "", "routing_key": ""}
    return {"headers": {}, "properties": {"delivery_tag": str(uuid4()), "delivery_info": delivery}}


class Channel(redis.Channel):
    """kombu's channel, which signs what it sends and drops what does not pass the gate."""

    Message = Message

    @property
    def signer(self) -> Signer:
        """The signer of our application."""
        connection: Any = self.connection.client
        signer: Signer = connection.signer
        return signer

    @property
    def gate(self) -> Gate:
        """The gate of our application."""
        connection: Any = self.connection.client
        gate: Gate = connection.gate
        return gate

    def basic_publish(
        self, message: dict[str, Any], exchange: str, routing_key: str, **options: Any
    ) -> Any:
        """Send a message, signed and not compressed."""
        if compression := message["headers"].pop("compression", None):
            message["body"] = decompress(message["body"], compression)
        sign(message, exchange or "", routing_key or "", self.signer)
        return super().basic_publish(message, exchange or "", routing_key or "", **options)

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,
        callback: Any,
        consumer_tag: str | None,
        **options: Any,
    ) -> Any:
        """Deliver the messages of a queue that pass the gate to *callback*; drop the others."""

        def receive(message: Any) -> Any:
            if self.gate.passes(message, queue):
                return callback(message)
            if not no_ack:
                message.ack()
            return None

        return super().basic_consume(queue, no_ack, receive, consumer_tag, **options)


class Transport(redis.Transport):
    """kombu's transport for Redis, with our channel."""

    Channel = Channel


class SentinelChannel(Channel, redis.SentinelChannel):
    """Our channel to the Redis that Sentinels name."""


class SentinelTransport(redis.SentinelTransport):
    """kombu's transport for Sentinels, with our channel."""

    Channel = SentinelChannel


#: Our transports by those of kombu that they replace.
TRANSPORTS = {redis.Transport: Transport, redis.SentinelTransport: SentinelTransport}


class _Signed:
    """What our connections have beside those of kombu."""

    signer: Signer
    gate: Gate

    def get_transport_cls(self) -> Any:
        """Return our transport in place of kombu's for Redis or Sentinels."""
        transport = super().get_transport_cls()  # type: ignore[misc]  # of kombu's Connection
        return TRANSPORTS.get(transport, transport)


class SignedPooledConnection(_Signed, PooledConnection):
    """A connection of our application that returns to its pool."""


class SignedConnection(_Signed, Connection):
    """A connection of our application; its pools hold such connections too."""

    pooled: type[SignedPooledConnection]

    def Pool(self, limit: int | None = None, **options: Any) -> Any:  # noqa: N802 (kombu's name)
        """Return a pool of connections like this one."""
        return SignedPool(self, limit, **options)


class SignedPool(ConnectionPool):
    """A pool of our connections."""

    def new(self) -> Any:
        """Return a new connection."""
        connection: Any = self.connection
        return connection.pooled(self, **connection.info())


class SignedAMQP(AMQP):
    """Celery's way to the broker, over our connections.

    The application has `signer` and `gate`.
    """

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        parts = {"signer": app.signer, "gate": app.gate}  # type: ignore[attr-defined]  # JobsCelery
        pooled = type("PooledConnection", (SignedPooledConnection,), parts)
        own = type("Connection", (SignedConnection,), parts | {"pooled": pooled})
        self.Connection = self.BrokerConnection = own


def own_pool() -> dict[str, Any]:
    """Return a transport option that keeps other applications out of our pool of connections.

    kombu shares a pool between connections with equal addresses and options.
    """
    return {"jobs_app_number": next(_numbers)}
