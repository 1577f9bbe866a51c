"""Redis commands, each sent in one piece.

redis-py sends a long command in pieces of 6 kB. A thousand messages are 150 pieces, and
another thread may run between any two of them.
"""

from collections.abc import Iterable, Sequence
from inspect import Parameter, signature
from typing import Any

from redis.connection import ConnectionPool

#: Before version 5.3, redis-py wants the name of a command with it, which it does not use.
_WANTS_NAME = (
    signature(ConnectionPool.get_connection).parameters["command_name"].default is Parameter.empty
)


def packed(words: Sequence[str]) -> bytes:
    """Return the command of these *words* in the Redis protocol (RESP)."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        encoded = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(encoded), encoded))
    return b"".join(parts)


def execute(pool: Any, commands: Iterable[Sequence[str]]) -> None:
    """Run *commands* over one connection of redis-py's *pool*, one after the other.

    Nothing is retried. Raises the errors of redis-py.
    """
    connection = pool.get_connection("LPUSH") if _WANTS_NAME else pool.get_connection()
    try:
        for words in commands:
            connection.send_packed_command([packed(words)])
            connection.read_response()
    finally:
        pool.release(connection)
