"""Commands as Redis reads them, in one piece.

redis-py sends a long command in pieces of 6 kB. A thousand messages are 150 of them,
and between any two another thread may take its turn.
"""

from collections.abc import Iterable, Sequence
from typing import Any


def packed(words: Sequence[str]) -> bytes:
    """Return the command of these *words*."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        encoded = word.encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(encoded), encoded))
    return b"".join(parts)


def execute(pool: Any, commands: Iterable[Sequence[str]]) -> None:
    """Run *commands* over a connection of redis-py's *pool*, one after the other.

    Nothing is repeated on an error, whose class is redis-py's own.
    """
    connection = pool.get_connection()
    try:
        for words in commands:
            connection.send_packed_command([packed(words)])
            connection.read_response()
    finally:
        pool.release(connection)
