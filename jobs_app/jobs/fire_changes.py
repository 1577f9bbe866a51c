"""The fires that a change of a job adds, takes away and moves."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs_app.schedules.schedule import Fire


@dataclass(frozen=True, slots=True)
class FireChanges:
    """Fires that come, that go, and that move: pairs of where a fire was and where it will be."""

    come: list[Fire]
    go: list[Fire]
    moved: list[tuple[Fire, Fire]]


def fire_changes(before: Sequence[Fire], after: Sequence[Fire], *, most: int) -> FireChanges:
    """Compare the next fires before and after a change, at most *most* on each side.

    A list with *most* fires goes on, so fires later than its last one are left out. Where as
    many come as go, each moves.
    """
    ends = [fires[-1].at for fires in (before, after) if len(fires) >= most]
    end = min(ends, default=None)
    old, new = ({fire.at: fire for fire in fires} for fires in (before, after))
    go = [fire for at, fire in old.items() if at not in new and (end is None or at <= end)]
    come = [fire for at, fire in new.items() if at not in old and (end is None or at <= end)]
    pairs = list(zip(go, come, strict=False))
    longer = max(come, go, key=len)
    # The last one of a cut list may have its counterpart beyond the cut.
    is_cut = end is not None and len(longer) == len(pairs) + 1 and bool(pairs)
    if is_cut and longer[-1].at > max(pairs[-1][0].at, pairs[-1][1].at):
        longer = longer[:-1]
    if len(longer) == len(pairs):
        return FireChanges([], [], pairs)
    return FireChanges(come, go, [])
