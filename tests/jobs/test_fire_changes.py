"""Which fires a change adds, takes away and moves."""

from datetime import timedelta

from jobs_app.jobs.fire_changes import fire_changes
from jobs_app.schedules.schedule import Fire
from tests.factories import DAY, HOUR, NOON


def fires(*hours: float) -> list[Fire]:
    instants = [NOON + timedelta(hours=hour) for hour in hours]
    return [Fire(at=instant, local=instant, dst=None) for instant in instants]


def test_as_many_that_come_as_go_are_moves() -> None:
    changes = fire_changes(fires(1, 25), fires(2, 26), most=10)

    assert [(old.at, new.at) for old, new in changes.moved] == [
        (NOON + HOUR, NOON + 2 * HOUR),
        (NOON + HOUR + DAY, NOON + 2 * HOUR + DAY),
    ]
    assert (changes.come, changes.go) == ([], [])


def test_a_move_past_the_cut_is_still_one() -> None:
    changes = fire_changes(fires(1, 25, 49), fires(2, 26, 50), most=3)

    assert len(changes.moved) == 2
    assert (changes.come, changes.go) == ([], [])


def test_more_fires_than_before_are_no_moves() -> None:
    changes = fire_changes(fires(1, 25, 49), fires(2, 3, 4), most=3)

    assert [fire.at for fire in changes.come] == [NOON + n * HOUR for n in (2, 3, 4)]
    assert [fire.at for fire in changes.go] == [NOON + HOUR]


def test_fires_later_than_the_end_of_a_cut_list_are_not_compared() -> None:
    changes = fire_changes(fires(1, 2, 3), fires(1, 3, 5), most=3)

    assert [fire.at for fire in changes.go] == [NOON + 2 * HOUR]
    assert changes.come == []


def test_a_list_that_ends_is_compared_as_a_whole() -> None:
    changes = fire_changes(fires(1, 2, 3), fires(1), most=10)

    assert [fire.at for fire in changes.go] == [NOON + 2 * HOUR, NOON + 3 * HOUR]
