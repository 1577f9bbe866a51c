"""Times single messages to an idle worker of `noops`: python time_noop.py TRIALS PAUSE.

Prints, as JSON, pairs of milliseconds: from the message to the start of the task, and
from there to the moment at which its result can be read.
"""

import json
import sys
import time

from noops import instant

#: Celery's own default is half a second, which would measure nothing but itself.
LOOK_SECONDS = 0.0005


def main(trials: int, pause: float) -> None:
    """Send *trials* messages, one after the other."""
    found = []
    for _ in range(trials):
        sent = time.time()
        began = instant.delay().get(interval=LOOK_SECONDS, timeout=10)
        found.append(((began - sent) * 1000, (time.time() - began) * 1000))
        time.sleep(pause)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
