"""A pickle is read without running its code, or refused."""

import os
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobs_app.jobs.importers.apscheduler_pickles import MOST_BYTES, read_state
from jobs_app.jobs.importers.drafts import Refused
from tests.jobs.importers.apscheduler_states import TRIGGERS


def test_a_state_of_apscheduler_is_read_with_its_trigger() -> None:
    state = read_state(TRIGGERS[0][1])

    assert (state["func"], state["name"], state["misfire_grace_time"]) == (
        "shop.jobs:report",
        "report",
        1,
    )
    trigger = state["trigger"]
    assert (trigger.kind, trigger.state["jitter"]) == ("CronTrigger", None)
    assert [field.state["name"] for field in trigger.state["fields"]][:2] == ["year", "month"]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_and_times_are_read(protocol: int) -> None:
    value = {
        "args": (1, 2.5, "a", None, [True], {"b": b"\xff"}),
        "at": datetime(2026, 1, 1, 3, tzinfo=ZoneInfo("Europe/Paris")),
        "utc": datetime(2026, 1, 1, tzinfo=UTC),
        "every": timedelta(seconds=3),
    }

    assert read_state(pickle.dumps(value, protocol)) == value


def test_a_zone_of_pytz_is_read_as_it_wrote_it() -> None:
    # pytz reduces to the call of `pytz._p`, and `pytz._UTC`.
    paris = b"cpytz\n_p\n(VEurope/Paris\nK\x00K\x00VLMT\ntR"
    data = b"\x80\x02}(Va\n" + paris + b"Vb\ncpytz\n_UTC\n)Ru."

    assert read_state(data) == {"a": ZoneInfo("Europe/Paris"), "b": ZoneInfo("UTC")}


class Call:
    """Pickles to the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize(
    "value, words",
    [
        (Call(os.system, "touch made"), "names posix.system"),
        (Call(eval, "open('made', 'w')"), "names __builtin__.eval"),
        (Call(getattr, datetime, "now"), "reads an attribute 'now'"),
        (Call(getattr, ZoneInfo, "from_file"), "reads an attribute 'from_file'"),
        (Path("made"), "names pathlib.PosixPath"),
        (object(), r"builtin.*\.object"),
    ],
)
def test_a_pickle_that_names_other_code_is_refused_and_runs_nothing(
    value: object, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"args": [value]}, 2)

    with pytest.raises(Refused, match=words):
        read_state(data)

    assert not list(tmp_path.iterdir())


def test_names_of_apscheduler_are_no_way_to_other_code() -> None:
    # The stand-in takes the place of any name there, also of one that leads elsewhere.
    for name in (b"cron\nCronTrigger.__init__", b"cron\nos.system"):
        with pytest.raises(Refused, match="A pickle may run any code"):
            read_state(b"\x80\x04capscheduler.triggers." + name + b"\n.")


def test_zones_come_from_this_machine_by_their_names() -> None:
    for name in (b"../../etc/passwd", b"Europe/Atlantis"):
        data = b"\x80\x04czoneinfo\nZoneInfo._unpickle\n(V" + name + b"\ntR."
        with pytest.raises(Refused, match="not one of this machine"):
            read_state(data)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "cannot be read .ValueError"),
        (b"\x80\x04garbage", "cannot be read"),
        (pickle.dumps([1]), "not that of a job"),
        (b"\x80\x04P1\n.", "the operation PERSID"),
        # These would take gigabytes before they fail.
        (b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".", "cannot be read"),
        (b"\x80\x05\x96" + (1).to_bytes(8, "little") + b"a.", "the operation BYTEARRAY8"),
        (b"\x80\x04}r\xff\xff\xff\x7f.", "the operation LONG_BINPUT"),
        (b"}p999999999\n.", "the operation PUT"),
        (b"\0" * (MOST_BYTES + 1), "longer than 1 MB"),
    ],
)
def test_bytes_that_are_no_state_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        read_state(data)
