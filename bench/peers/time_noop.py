"""Times single messages to an idle worker of `noops`: python time_noop.py TRIALS PAUSE.

Prints a JSON list of pairs of milliseconds: from the send to the start of the task, and
from there until its result can be read.
"""

import json
import sys
import time

from noops import instant

#: Celery's default is half a second, longer than the latency that is measured.
POLL_SECONDS = 0.0005


def main(trials: int, pause_seconds: float) -> None:
    """Send *trials* messages, one after the other."""
    times = []
    for _ in range(trials):
        sent = time.time()
        began = instant.delay().get(interval=POLL_SECONDS, timeout=10)
        times.append(((began - sent) * 1000, (time.time() - began) * 1000))
        time.sleep(pause_seconds)
    print(json.dumps(times))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
