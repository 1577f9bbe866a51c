"""A source has each entry once: with its draft, refused, or left out."""

from typing import Any

from jobs_app.cli.import_sources import BEAT
from jobs_app.cli.periodic_sources import source_of
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry, Timing

TASKS: dict[str, Any] = {"t": {"positional": []}}


def test_each_entry_is_an_item_of_its_own_kind() -> None:
    every = Timing({"interval_seconds": 30})
    disabled = PeriodicEntry("off", "off", "t", timing=every)
    disabled.disable()

    source = source_of(
        [
            PeriodicEntry("a", "a", "t", timing=every, fields={"queue": "slow"}),
            disabled,
            PeriodicEntry("b", "b", "t", problem="No."),
            PeriodicEntry("c", "c", "unknown", timing=every),
            PeriodicEntry("d", "d", "t", left_out="It is nobody's."),
        ],
        title="x",
        form="y",
        origin="beat x",
        manner=BEAT,
        tasks=TASKS,
        prefix="",
        like_source={},
    )

    assert [(item.number, item.kind, item.action) for item in source.items] == [
        (1, "entry", ""),
        (2, "entry", ""),
        (3, "entry", "refuse"),
        (4, "entry", "refuse"),
        (5, "left out", ""),
    ]
    first, second = (item.draft for item in source.items[:2])
    assert first is not None
    assert second is not None
    assert (first.fields, first.is_paused, second.is_paused) == ({"queue": "slow"}, False, True)
    assert "out of use" in source.items[1].note
