"""Sends messages to the queue of `noops`: python fill_noops.py WARM_UP COUNT.

A `mark` follows the first WARM_UP messages, and another one the COUNT messages after them.
"""

import sys

from noops import app, mark, noop


def main(*counts: int) -> None:
    """Send as many messages as each of *counts* says, with a mark after each group."""
    with app.producer_pool.acquire(block=True) as producer:
        for count in counts:
            with producer.batch():
                for _ in range(count):
                    noop.apply_async(producer=producer)
                mark.apply_async(producer=producer)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
