"""The fires of schedules under other zone data than that of this process.

zoneinfo takes its data from one place for the whole process, and keeps it. So another process
works the fires out: it reads a request as JSON from standard input, and writes the fires.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from jobs_app.core.text import rfc3339
from jobs_app.schedules import schedule_json
from jobs_app.schedules import union as schedules
from jobs_app.schedules.union import AnySchedule, parts_of, union

#: Fires of one schedule that are compared at most.
MOST_FIRES = 2000

#: How long the other process may take, seconds.
ANSWER_SECONDS = 60.0


def fires_with(
    zone_files: Mapping[str, bytes],
    wanted: Sequence[AnySchedule],
    *,
    after: datetime,
    until: datetime,
) -> list[list[datetime]]:
    """Return the fires of each schedule in (*after*, *until*], with *zone_files* as the zones.

    At most MOST_FIRES each. Raises OSError or subprocess.SubprocessError if that fails.
    """
    request = {
        "schedules": [
            {"parts": schedule_json.text_of(parts_of(one)), "seed": parts_of(one)[0].seed}
            for one in wanted
        ],
        "after": rfc3339(after),
        "until": rfc3339(until),
    }
    with tempfile.TemporaryDirectory(prefix="jobs-app-zones-") as folder:
        for name, data in zone_files.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "jobs_app.schedules.zone_fires"],
            input=json.dumps(request),
            # Its own zones first; those that it lacks come from the package tzdata.
            env={"PYTHONTZPATH": folder, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
            timeout=ANSWER_SECONDS,
        )
    return [list(map(datetime.fromisoformat, fires)) for fires in json.loads(answer.stdout)]


def fires_of(wanted: AnySchedule, *, after: datetime, until: datetime) -> list[datetime]:
    """Return the fires of a schedule in (*after*, *until*] by the zones of this process."""
    return list(islice(schedules.fires(wanted, after=after, until=until), MOST_FIRES))


def main() -> None:
    """Answer the request on standard input."""
    request: Any = json.load(sys.stdin)
    after, until = (datetime.fromisoformat(request[name]) for name in ("after", "until"))
    found = []
    for item in request["schedules"]:
        schedule = union(schedule_json.schedules_in(item["parts"], item["seed"]))
        fires = [] if schedule is None else fires_of(schedule, after=after, until=until)
        found.append(list(map(rfc3339, fires)))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
