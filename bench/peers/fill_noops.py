"""Puts messages for `noops` into its queue: python fill_noops.py WARM_UP COUNT.

A mark stands after the first WARM_UP of them and one after the COUNT that follow.
"""

import sys

from noops import app, mark, noop


def main(*counts: int) -> None:
    """Send so many of them, with a mark after each of the *counts*."""
    with app.producer_pool.acquire(block=True) as producer:
        for count in counts:
            with producer.batch():
                for _ in range(count):
                    noop.apply_async(producer=producer)
                mark.apply_async(producer=producer)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
