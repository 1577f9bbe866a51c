"""A broker that speaks AMQP 0-9-1 well enough for a producer, and delivers answers to it.

RabbitMQ is no package of Python. The frames and methods are those of the specification,
https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, read and written by py-amqp's functions.
"""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from amqp.serialization import dumps, loads

METHOD, HEADER, BODY, END = 1, 2, 3, b"\xce"
NOT_FOUND = 404

#: The properties of a message in the order of their flags, and how each is written.
PROPERTIES = (
    *(("content_type", "s"), ("content_encoding", "s"), ("headers", "F"), ("delivery_mode", "o")),
    *(("priority", "o"), ("correlation_id", "s"), ("reply_to", "s")),
)

#: Answers that say nothing but that a method was done: class and method, and the format.
PLAIN_ANSWERS: dict[tuple[int, int], tuple[tuple[int, int], str, list[Any]]] = {
    (20, 10): ((20, 11), "S", [""]),
    (20, 40): ((20, 41), "", []),
    (85, 10): ((85, 11), "", []),
    (10, 40): ((10, 41), "s", [""]),
    (60, 10): ((60, 11), "", []),
    (50, 40): ((50, 41), "l", [0]),
}


@dataclass
class AmqpBroker:
    """Keeps what was published; has the queues and exchanges in `names`.

    Each of `answers`, in JSON, is delivered to the queue that a message names for them.
    """

    names: set[str]
    certificate: Path | None = None
    confirms: bool = True
    answers: list[dict[str, Any]] = field(default_factory=list)
    content_type: str = "application/json"
    published: list[dict[str, Any]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    consumers: dict[str, Callable[[dict[str, Any]], None]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    clients: list[socket.socket] = field(default_factory=list)
    port: int = 0

    @contextmanager
    def serving(self) -> Iterator["AmqpBroker"]:
        """Serve on loopback, each connection in a thread of its own."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            yield self
            listener.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def disconnect(self) -> None:
        """Break all connections."""
        for client in self.clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), self._secured(client) as secured:
            _Connection(self, secured).serve()

    def _secured(self, client: socket.socket) -> socket.socket:
        if self.certificate is None:
            return client
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context.wrap_socket(client, server_side=True)


class _Connection:
    """The broker's side of a connection."""

    def __init__(self, broker: AmqpBroker, client: socket.socket) -> None:
        self._broker = broker
        self._client = client
        self._message: dict[str, Any] = {}

    def serve(self) -> None:
        if self._read(8) != b"AMQP\x00\x00\x09\x01":
            return
        self._answer(0, (10, 10), "ooFSS", [0, 9, {}, "PLAIN", "en_US"])
        while True:
            kind, channel, size = struct.unpack(">BHI", self._read(7))
            payload = self._read(size)
            assert self._read(1) == END
            if kind == METHOD:
                method = struct.unpack(">HH", payload[:4])
                if method == (10, 50):
                    self._answer(0, (10, 51), "", [])
                    return
                self._on_method(channel, method, payload[4:])
            elif kind == HEADER:
                self._message |= _properties(payload)
            elif kind == BODY:
                self._on_body(channel, payload)

    def _on_method(self, channel: int, method: tuple[Any, ...], arguments: bytes) -> None:
        if method == (60, 20):
            queue, tag = loads("Bss", arguments, 0)[0][1:]
            self._answer(channel, (60, 21), "s", [tag])
            self._broker.consumers[queue] = partial(self._deliver, channel, tag)
        elif method == (60, 30):
            self._answer(channel, (60, 31), "s", [loads("s", arguments, 0)[0][0]])
            self._broker.consumers.clear()
        elif method in PLAIN_ANSWERS:
            self._answer(channel, *PLAIN_ANSWERS[method])
            if method == (50, 40):
                name = loads("Bs", arguments, 0)[0][1]
                # RabbitMQ sends a cancel to those who consume a queue that somebody deletes.
                assert name not in self._broker.consumers
                self._broker.deleted.append(name)
        elif method == (10, 11):
            self._broker.logins.append(loads("FsS", arguments, 0)[0][2].strip("\x00"))
            self._answer(0, (10, 30), "BlB", [0, 131_072, 0])
        elif method in ((50, 10), (40, 10)):
            # The type of an exchange stands before the flags.
            values, offset = loads("Bs" if method == (50, 10) else "Bss", arguments, 0)
            name = values[1]
            is_passive = bool(arguments[offset] & 1)
            if is_passive and name not in self._broker.names:
                values = [NOT_FOUND, f"NOT_FOUND - no {name!r}", *method]
                self._answer(channel, (20, 40), "BsBB", values)
            elif method == (50, 10):
                self._answer(channel, (50, 11), "sll", [name, 0, 0])
            else:
                self._answer(channel, (40, 11), "", [])
        elif method == (60, 40):
            _, exchange, routing_key = loads("Bss", arguments, 0)[0]
            self._message = {"exchange": exchange, "routing_key": routing_key}

    def _on_body(self, channel: int, payload: bytes) -> None:
        self._broker.published.append({**self._message, "body": json.loads(payload)})
        if not self._broker.confirms:
            self._client.shutdown(socket.SHUT_RDWR)
        self._answer(channel, (60, 80), "Lb", [len(self._broker.published), False])
        if deliver := self._broker.consumers.get(self._message.get("reply_to", "")):
            for answer in self._broker.answers:
                deliver(answer)

    def _deliver(self, channel: int, tag: str, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self._answer(channel, (60, 60), "sLbss", [tag, 1, False, "", ""])
        properties = dumps("ss", (self._broker.content_type, "utf-8"))
        head = struct.pack(">HHQH", 60, 0, len(body), 0b11 << 14) + properties
        for kind, payload in ((HEADER, head), (BODY, body)):
            frame = struct.pack(">BHI", kind, channel, len(payload)) + payload + END
            self._client.sendall(frame)

    def _answer(self, channel: int, method: tuple[int, int], form: str, values: list[Any]) -> None:
        payload = struct.pack(">HH", *method) + dumps(form, tuple(values))
        head = struct.pack(">BHI", METHOD, channel, len(payload))
        self._client.sendall(head + payload + END)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._client.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data


def _properties(payload: bytes) -> dict[str, Any]:
    """Return the properties in the header of a message: flags from the highest bit down."""
    (flags,) = struct.unpack(">H", payload[12:14])
    named = [(name, form) for n, (name, form) in enumerate(PROPERTIES) if flags & 1 << (15 - n)]
    values = loads("".join(form for _, form in named), payload, 14)[0]
    return dict(zip((name for name, _ in named), values, strict=True))
