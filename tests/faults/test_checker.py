"""The judge of the other tests here can say no: each kind of finding is provoked once."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from subprocess import run as run_program

import pytest

from tests.factories import NOON, SECOND
from tests.faults.checker import (
    Effect,
    Fault,
    Owed,
    Row,
    Verdict,
    check,
    cron_fires,
    interval_fires,
    read_effects,
    recording_command,
)

FIRES = tuple(NOON + n * 10 * SECOND for n in range(1, 4))
OWED = Owed(7, "backup", FIRES, is_exclusive=True)


def good_rows() -> list[Row]:
    return [Row(f"run-{n}", 7, fire, "succeeded") for n, fire in enumerate(FIRES)]


def good_effects() -> list[Effect]:
    return [
        Effect(what, f"run-{n}", 1, fire, fire + seconds * SECOND)
        for n, fire in enumerate(FIRES)
        for what, seconds in (("start", 0.1), ("end", 4))
    ]


def found(verdict: Verdict) -> list[tuple[str, str | None]]:
    return [(finding.what, finding.run_id) for finding in verdict.findings]


def test_a_history_as_it_should_be_has_no_finding() -> None:
    verdict = check([OWED], good_rows(), good_effects())

    assert found(verdict) == []
    assert (verdict.owed, verdict.started) == (3, 3)


def test_a_fire_without_a_row_is_missed() -> None:
    rows = [row for row in good_rows() if row.run_id != "run-1"]
    effects = [effect for effect in good_effects() if effect.run_id != "run-1"]

    verdict = check([OWED], rows, effects)

    assert found(verdict) == [("missed", None)]
    assert FIRES[1].isoformat() in str(verdict)


def test_a_fire_with_two_rows_is_doubled() -> None:
    verdict = check([OWED], [*good_rows(), Row("other", 7, FIRES[2], "succeeded")], good_effects())

    assert ("doubled", "other") in found(verdict)


def test_an_attempt_that_started_twice_is_doubled() -> None:
    again = Effect("start", "run-2", 1, FIRES[2], FIRES[2] + 3 * SECOND)

    verdict = check([OWED], good_rows(), [*good_effects(), again])

    assert found(verdict) == [("doubled", "run-2")]


def test_a_second_attempt_is_not_a_double() -> None:
    rows = [*good_rows()[:2], replace(good_rows()[2], attempt=2)]
    second = [
        Effect(what, "run-2", 2, FIRES[2], FIRES[2] + seconds * SECOND)
        for what, seconds in (("start", 5), ("end", 6))
    ]

    assert not check([replace(OWED, max_attempts=2)], rows, [*good_effects(), *second]).findings
    assert found(check([OWED], rows, [*good_effects(), *second])) == [
        ("too many attempts", "run-2")
    ]


def test_a_late_start_is_late_unless_a_fault_explains_it() -> None:
    late = [
        replace(effect, at=effect.at + 3 * SECOND) if effect.run_id == "run-0" else effect
        for effect in good_effects()
    ]
    outage = Fault("kill", FIRES[0] - SECOND, FIRES[0], recovery_seconds=4)
    earlier = Fault("kill", FIRES[0] - 30 * SECOND, FIRES[0] - 20 * SECOND, recovery_seconds=4)

    assert found(check([OWED], good_rows(), late)) == [("late", "run-0")]
    assert found(check([OWED], good_rows(), late, faults=[earlier])) == [("late", "run-0")]
    assert found(check([OWED], good_rows(), late, faults=[outage])) == []


def test_a_start_before_its_fire_is_early() -> None:
    effects = [replace(effect, at=effect.at - SECOND) for effect in good_effects()]

    assert {what for what, _ in found(check([OWED], good_rows(), effects))} == {"early"}


def test_a_run_without_a_fire_is_a_finding() -> None:
    unexpected = Row("stray", 7, FIRES[1] + SECOND, "succeeded")

    assert ("no such fire", "stray") in found(
        check([OWED], [*good_rows(), unexpected], good_effects())
    )


def test_a_fire_in_the_middle_of_an_edit_may_be_on_record_or_not() -> None:
    unsure = replace(OWED, fires=FIRES[:1] + FIRES[2:], optional=frozenset({FIRES[1]}))
    again = Row("again", 7, FIRES[1], "succeeded")

    assert found(check([unsure], good_rows(), good_effects())) == []
    assert (
        found(check([unsure], good_rows()[::2], [*good_effects()[:2], *good_effects()[4:]])) == []
    )
    assert ("doubled", "again") in found(check([unsure], [*good_rows(), again], good_effects()))


def test_a_start_that_no_row_knows_is_a_finding() -> None:
    unexpected = Effect("start", "stray", 1, FIRES[1], FIRES[1])

    assert found(check([OWED], good_rows(), [*good_effects(), unexpected])) == [("no run", "stray")]


@pytest.mark.parametrize("state", ["waiting", "queued", "running", "retrying"])
def test_a_run_that_has_not_ended_is_a_finding(state: str) -> None:
    rows = [*good_rows()[:2], replace(good_rows()[2], state=state)]

    assert found(check([OWED], rows, good_effects())) == [("not terminal", "run-2")]


@pytest.mark.parametrize("state", ["lost", "failed", "skipped", "missed"])
def test_a_run_that_did_not_succeed_needs_a_fault_that_excuses_it(state: str) -> None:
    rows = [*good_rows()[:2], replace(good_rows()[2], state=state, finished_at=FIRES[2] + SECOND)]
    effects = good_effects()[:4]
    fault = Fault("kill", FIRES[2], FIRES[2], recovery_seconds=5)
    excused = replace(fault, excuses=frozenset({state}))

    assert found(check([OWED], rows, effects)) == [("unexplained", "run-2")]
    assert found(check([OWED], rows, effects, faults=[fault])) == [("unexplained", "run-2")]
    assert found(check([OWED], rows, effects, faults=[excused])) == []


def test_success_without_the_end_of_the_command_is_a_finding() -> None:
    assert found(check([OWED], good_rows(), good_effects()[:-1])) == [("no effect", "run-2")]


def test_two_attempts_at_the_same_time_overlap() -> None:
    effects = [
        replace(effect, at=effect.at + 7 * SECOND)
        if (effect.what, effect.run_id) == ("end", "run-1")
        else effect
        for effect in good_effects()
    ]

    assert found(check([OWED], good_rows(), effects)) == [("overlapping", "run-2")]
    assert not check([replace(OWED, is_exclusive=False)], good_rows(), effects).findings


def test_jobs_that_share_a_key_of_one_place_overlap_though_neither_does_so_by_itself() -> None:
    first = replace(OWED, key="db-main")
    second = replace(OWED, job_id=8, name="vacuum", key="db-main")
    others = [replace(row, job_id=8, run_id=f"other-{row.run_id}") for row in good_rows()]
    rows = good_rows() + others

    def both(seconds: float) -> list[Effect]:
        shift = seconds * SECOND
        return good_effects() + [
            replace(effect, run_id=f"other-{effect.run_id}", at=effect.at + shift)
            for effect in good_effects()
        ]

    def verdict_on(effects: list[Effect], *owed: Owed) -> Verdict:
        return check(owed, rows, effects, on_time_seconds=10)

    assert found(verdict_on(both(5), first, second)) == []
    overlapping = found(verdict_on(both(2), first, second))
    assert overlapping == [("overlapping", f"other-run-{n}") for n in range(3)]
    # Another key is another matter.
    assert found(verdict_on(both(2), first, replace(second, key="web"))) == []


def test_fires_are_worked_out_from_the_definition() -> None:
    seconds = [0, 10, 20]
    assert interval_fires(NOON, 10, after=NOON - SECOND, until=NOON + 25 * SECOND) == tuple(
        NOON + n * SECOND for n in seconds[1:]
    )
    assert interval_fires(NOON, 10, after=NOON + 10 * SECOND, until=NOON + 20 * SECOND) == (
        NOON + 20 * SECOND,
    )
    assert cron_fires("*/30 * * * *", "UTC", after=NOON, until=NOON + timedelta(hours=1)) == (
        NOON + timedelta(minutes=30),
        NOON + timedelta(hours=1),
    )


def test_a_command_records_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "it's a file"
    monkeypatch.setenv("JOBS_RUN_ID", "run-1")
    monkeypatch.setenv("JOBS_ATTEMPT", "2")
    monkeypatch.setenv("JOBS_SCHEDULED_FOR", "2026-06-15T12:00:00Z")

    run_program(["/bin/sh", "-c", recording_command(file, seconds=0.2)], check=True)

    effects = read_effects(file)
    assert [effect.what for effect in effects] == ["start", "alive", "alive", "end"]
    assert {(effect.run_id, effect.attempt, effect.scheduled_for) for effect in effects} == {
        ("run-1", 2, NOON)
    }
    assert [effect.at for effect in effects] == sorted(effect.at for effect in effects)
