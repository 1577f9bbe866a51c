"""Judges a history, in the manner of Jepsen's checker for Chronos: what was owed, what was done.

What was owed is worked out from the definitions of the jobs alone. What was done is
told by the rows of the product and, apart from it, by lines that the jobs themselves
appended to a file. Everything that does not fit is a finding, with the ids to look for.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from shlex import quote

from tests.schedule_oracle import fires_between

#: States from which a run does not move on.
FINAL = frozenset(
    {"succeeded", "failed", "timed_out", "cancelled", "lost", "skipped", "missed"},
)

#: A fire that nothing disturbs has started after this time, seconds.
ON_TIME_SECONDS = 2.0

#: Clocks of one machine, read by two processes: an overlap has to be longer than this, seconds.
OVERLAP_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Owed:
    """What the definition of a job promises: every fire of a span.

    `optional` are fires that may be on record or not: they came while the definition was
    being changed. `is_exclusive` says that no two attempts may run at the same time; no two
    of all jobs that have the same `key` may either, whose limit is 1.
    """

    job_id: int
    name: str
    fires: tuple[datetime, ...]
    max_attempts: int = 1
    is_exclusive: bool = False
    optional: frozenset[datetime] = frozenset()
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A run as the product has it on record; `fires` counts those that a missed row stands for."""

    run_id: str
    job_id: int | None
    scheduled_for: datetime | None
    state: str
    attempt: int = 1
    reason: str | None = None
    finished_at: datetime | None = None
    fires: int = 1


@dataclass(frozen=True, slots=True)
class Effect:
    """A line that a job wrote: `start`, `alive` or `end` of one attempt, at its own clock."""

    what: str
    run_id: str
    attempt: int
    scheduled_for: datetime | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """A disturbance, and what it excuses.

    A fire that it touches may be late until `recovery_seconds` after its end; a run that
    it touches may have ended in one of the states of `excuses`.
    """

    name: str
    began_at: datetime
    ended_at: datetime
    recovery_seconds: float
    excuses: frozenset[str] = frozenset()

    @property
    def over_at(self) -> datetime:
        """When everything has to be as if nothing had happened."""
        return self.ended_at + timedelta(seconds=self.recovery_seconds)

    def touches(self, begin: datetime, end: datetime) -> bool:
        """Tell whether something that lasted from *begin* to *end* met the disturbance."""
        return begin <= self.over_at and end >= self.began_at


@dataclass(frozen=True, slots=True)
class Finding:
    """A counterexample."""

    what: str
    job: str
    scheduled_for: datetime | None
    run_id: str | None
    detail: str

    def __str__(self) -> str:
        fire = "-" if self.scheduled_for is None else self.scheduled_for.isoformat()
        return f"{self.what}: job {self.job}, fire {fire}, run {self.run_id or '-'}: {self.detail}"


@dataclass(slots=True)
class Verdict:
    """What a check has found, and how late the fires were that started."""

    owed: int = 0
    started: int = 0
    lateness: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.owed} fires owed, {self.started} started, {len(self.findings)} findings"]
        if self.lateness:
            late = sorted(self.lateness)
            p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
            lines.append(f"lateness p50 {p50:.3f} s, p99 {p99:.3f} s, most {late[-1]:.3f} s")
        lines += [
            f"fault: {fault.name}, {fault.began_at.isoformat()} to {fault.ended_at.isoformat()}, "
            f"over within {fault.recovery_seconds:g} s"
            for fault in self.faults
        ]
        return "\n".join([*lines, *map(str, self.findings)])


def interval_fires(
    anchor_at: datetime, seconds: int, *, after: datetime, until: datetime
) -> tuple[datetime, ...]:
    """Return the fires of an interval in (after, until]."""
    step = timedelta(seconds=seconds)
    count = max((after - anchor_at) // step + 1, 1)
    found = []
    while anchor_at + count * step <= until:
        found.append(anchor_at + count * step)
        count += 1
    return tuple(found)


def cron_fires(
    expression: str, zone: str, *, after: datetime, until: datetime
) -> tuple[datetime, ...]:
    """Return the fires of a cron expression in (after, until], by brute force."""
    return tuple(fires_between(expression, zone, after, until))


def recording_command(file: Path, *, seconds: float = 0.0) -> str:
    """Return a shell command that writes its start, its life and its end to *file*.

    Each line is one write to a file opened for appending; a command that is killed
    leaves what it had written.
    """
    line = '"$JOBS_RUN_ID" "$JOBS_ATTEMPT" "${JOBS_SCHEDULED_FOR:--}" "$(date +%s.%N)"'
    say = f"printf '%s %s %s %s %s\\n' WHAT {line} >> {quote(str(file))}"
    steps = [say.replace("WHAT", "start", 1)]
    if seconds:
        alive = say.replace("WHAT", "alive", 1)
        steps.append(f"for i in $(seq {round(seconds / 0.1)}); do sleep 0.1; {alive}; done")
    return "; ".join([*steps, say.replace("WHAT", "end", 1)])


def read_effects(file: Path) -> list[Effect]:
    """Return what the jobs wrote to *file*, in the order in which it arrived."""
    if not file.exists():
        return []
    found = []
    for line in file.read_text().splitlines():
        what, run_id, attempt, fire, at = line.split()
        scheduled_for = None if fire == "-" else datetime.fromisoformat(fire)
        wrote_at = datetime.fromtimestamp(float(at), UTC)
        found.append(Effect(what, run_id, int(attempt), scheduled_for, wrote_at))
    return found


def check(
    owed: Sequence[Owed],
    rows: Iterable[Row],
    effects: Iterable[Effect],
    *,
    faults: Sequence[Fault] = (),
    on_time_seconds: float = ON_TIME_SECONDS,
) -> Verdict:
    """Compare what was owed with what was done; take the history after all is quiet."""
    history = _History(list(rows), list(effects), list(faults), timedelta(seconds=on_time_seconds))
    verdict = Verdict(faults=list(faults), owed=sum(len(promise.fires) for promise in owed))
    for promise in owed:
        verdict.findings += history.judge_fires(promise, verdict)
        verdict.findings += history.judge_runs(promise)
        if promise.is_exclusive:
            verdict.findings += history.judge_overlaps([promise])
    for key in sorted({promise.key for promise in owed if promise.key is not None}):
        verdict.findings += history.judge_overlaps([each for each in owed if each.key == key])
    verdict.findings += history.find_unexpected_runs(owed)
    return verdict


class _History:
    """The rows and effects of a test, by run."""

    def __init__(
        self, rows: list[Row], effects: list[Effect], faults: list[Fault], on_time: timedelta
    ) -> None:
        self._faults = faults
        self._on_time = on_time
        self._rows: dict[int | None, list[Row]] = defaultdict(list)
        for row in rows:
            self._rows[row.job_id].append(row)
        self._known = {row.run_id for row in rows}
        self._effects: dict[str, list[Effect]] = defaultdict(list)
        for effect in effects:
            self._effects[effect.run_id].append(effect)

    def judge_fires(self, promise: Owed, verdict: Verdict) -> Iterator[Finding]:
        """One row a fire, and its first start in time."""
        by_fire: dict[datetime, list[Row]] = defaultdict(list)
        for row in self._rows[promise.job_id]:
            if row.scheduled_for is not None:
                by_fire[row.scheduled_for].append(row)
        for fire in sorted({*promise.fires, *promise.optional}):
            rows = by_fire.pop(fire, [])
            if not rows and fire not in promise.optional:
                yield Finding("missed", promise.name, fire, None, "no run is on record")
            for row in rows[1:]:
                detail = f"the fire has a run already, {rows[0].run_id}"
                yield Finding("doubled", promise.name, fire, row.run_id, detail)
            for row in rows:
                yield from self._judge_start(promise, fire, row, verdict)
        for fire, rows in by_fire.items():
            # A fire after the span is of no concern; one in it, or before it, was never due.
            if promise.fires and fire > promise.fires[-1]:
                continue
            for row in rows:
                yield Finding("no such fire", promise.name, fire, row.run_id, f"it is {row.state}")

    def _judge_start(
        self, promise: Owed, fire: datetime, row: Row, verdict: Verdict
    ) -> Iterator[Finding]:
        starts = [each for each in self._effects[row.run_id] if each.what == "start"]
        if not starts:
            return
        verdict.started += 1
        late = min(each.at for each in starts) - fire
        verdict.lateness.append(late.total_seconds())
        if late < timedelta(milliseconds=-1):
            detail = f"it started {-late.total_seconds():.3f} s before its fire"
            yield Finding("early", promise.name, fire, row.run_id, detail)
        due = [fire, *(f.over_at for f in self._faults if f.touches(fire, fire + self._on_time))]
        if fire + late > max(due) + self._on_time:
            allowed = (max(due) + self._on_time - fire).total_seconds()
            detail = f"it started {late.total_seconds():.3f} s late, allowed are {allowed:.3f} s"
            yield Finding("late", promise.name, fire, row.run_id, detail)

    def judge_runs(self, promise: Owed) -> Iterator[Finding]:
        """Each run has ended, in a state that is explained, and did what the row says."""
        fires = {*promise.fires, *promise.optional}
        for row in self._rows[promise.job_id]:
            if row.scheduled_for is not None and row.scheduled_for not in fires:
                continue
            for what, detail in self._faults_of(promise, row):
                yield Finding(what, promise.name, row.scheduled_for, row.run_id, detail)

    def _faults_of(self, promise: Owed, row: Row) -> Iterator[tuple[str, str]]:
        effects = self._effects[row.run_id]
        if row.state not in FINAL:
            yield "not terminal", f"it is still {row.state}, attempt {row.attempt}"
        elif row.state != "succeeded" and not self._is_excused(row):
            yield "unexplained", f"it is {row.state} ({row.reason}), and no fault excuses that"
        if row.attempt > promise.max_attempts:
            yield "too many attempts", f"attempt {row.attempt} of {promise.max_attempts}"
        starts = [each.attempt for each in effects if each.what == "start"]
        for attempt in sorted(set(starts)):
            if starts.count(attempt) > 1:
                yield "doubled", f"attempt {attempt} started {starts.count(attempt)} times"
        ended = {each.attempt for each in effects if each.what == "end"}
        if row.state == "succeeded" and row.attempt not in ended:
            yield "no effect", f"attempt {row.attempt} succeeded, and its command never ended"
        if row.state in ("skipped", "missed") and starts:
            yield "doubled", f"it is {row.state}, and it started"

    def _is_excused(self, row: Row) -> bool:
        begin = row.scheduled_for or row.finished_at
        if begin is None:
            return False
        end = row.finished_at or begin
        return any(
            row.state in fault.excuses and fault.touches(begin, max(begin, end))
            for fault in self._faults
        )

    def judge_overlaps(self, promises: Sequence[Owed]) -> Iterator[Finding]:
        """No two attempts of the jobs at the same time, by what they wrote themselves."""
        spans = []
        names: dict[int | None, str] = {each.job_id: each.name for each in promises}
        for row in (row for job_id in names for row in self._rows[job_id]):
            by_attempt: dict[int, list[datetime]] = defaultdict(list)
            for effect in self._effects[row.run_id]:
                by_attempt[effect.attempt].append(effect.at)
            spans += [
                (min(times), max(times), row, attempt) for attempt, times in by_attempt.items()
            ]
        spans.sort(key=lambda span: span[:2])
        for (_, ended, first, number), (began, _, row, attempt) in pairwise(spans):
            seconds = (ended - began).total_seconds()
            if seconds > OVERLAP_SECONDS:
                detail = (
                    f"attempt {attempt} began {seconds:.3f} s before "
                    f"attempt {number} of run {first.run_id} had ended"
                )
                yield Finding(
                    "overlapping", names[row.job_id], row.scheduled_for, row.run_id, detail
                )

    def find_unexpected_runs(self, owed: Sequence[Owed]) -> Iterator[Finding]:
        """Nothing ran that nobody asked for."""
        for run_id, effects in self._effects.items():
            if effects and run_id not in self._known:
                fire = effects[0].scheduled_for
                yield Finding("no run", "?", fire, run_id, "it started and is not on record")
