"""The fires of a schedule as a table."""

from collections.abc import Sequence
from datetime import UTC, datetime

from jobs_app.cli.client import Json
from jobs_app.cli.format import relative
from jobs_app.cli.output import Columns, print_items, print_note
from jobs_app.core import clock

# The clock change at a fire, by the API's mark. A fire in the gap moves to the first moment
# after it; the offset of a fire in the repeated hour says which of the two hours it is.
CLOCKS = {"gap": "go forward", "repeat": "go back"}


def print_fires(fires: Sequence[Json], *, on_start: bool = False) -> None:
    """Print the time of each fire: in the schedule's zone, in UTC and relative to now.

    With *on_start* there is one more, when jobs-app starts.
    """
    at = clock.now()
    columns: Columns = {
        "LOCAL TIME": lambda fire: _local(fire["local"]),
        "UTC": lambda fire: str(datetime.fromisoformat(fire["at"]).astimezone(UTC))[:19],
        "WHEN": lambda fire: relative(fire["at"], at=at),
    }
    if any(fire.get("dst") for fire in fires):
        columns["CLOCKS"] = lambda fire: CLOCKS.get(fire.get("dst") or "", fire.get("dst") or "")
    empty = "When jobs-app starts." if on_start else "It never fires again."
    print_items(fires, columns, empty=empty)
    if on_start and fires:
        print_note("And when jobs-app starts.")


def _local(value: str) -> str:
    moment = datetime.fromisoformat(value)
    return f"{moment:%a %Y-%m-%d %H:%M:%S} {moment.isoformat()[-6:]}"
