"""Scenarios: written courses of events, each for guards that random seeds seldom need.

A scenario plays the product's own functions under the same rules as a seed does, and adds
checks of its own: that a step must be refused, or must be done by now.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from jobs_app.core.errors import Conflict, NotFound, StaleVersion
from jobs_app.core.states import CancelMode, OverlapPolicy, RunState
from jobs_app.jobs import service
from jobs_app.runs import claim as runs_claim
from jobs_app.runs import concurrency, fires, job_groups, outbox, overlap
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.outcome import Outcome
from jobs_app.runs.planning import plan
from jobs_app.tasks.context import RunContext, TimedOut
from jobs_app.worker.liveness import heartbeat
from jobs_app.worker.liveness.active_runs import SLOTS
from tests.simulation.director import EVERY_MINUTE, RETRIED, Director
from tests.simulation.stage import BEGINNING, Operation, Violation
from tests.simulation.workers import SimulatedWorker
from tests.simulation.world import World

Scenario = Callable[[Director], None]

#: The scenarios by name, and the databases that each is for.
SCENARIOS: dict[str, Callable[[World], None]] = {}
ONLY_ON: dict[str, str] = {}


def scenario(function: Scenario) -> Scenario:
    """Add a scenario to the list."""
    SCENARIOS[function.__name__] = lambda world: function(Director(world))
    return function


def on_postgresql(function: Scenario) -> Scenario:
    """Add a scenario that needs two transactions at once to the list."""
    ONLY_ON[function.__name__] = "postgresql"
    return scenario(function)


# Workers that were given up


def _succeed(d: Director, worker: SimulatedWorker, claimed: ClaimedRun) -> None:
    d.succeed(worker, claimed)


def _succeed_with_progress(_d: Director, worker: SimulatedWorker, claimed: ClaimedRun) -> None:
    progress = {"attempt": claimed.attempt}
    worker.finish(claimed, Outcome(RunState.SUCCEEDED, result=claimed.attempt, progress=progress))


def _succeed_with_the_next_claim(d: Director, worker: SimulatedWorker, claimed: ClaimedRun) -> None:
    d.finish_and_claim(worker, claimed, d.start_task())


def _fail(d: Director, worker: SimulatedWorker, claimed: ClaimedRun) -> None:
    d.fail(worker, claimed)


def _tell(_d: Director, worker: SimulatedWorker, claimed: ClaimedRun) -> None:
    worker.tell_progress(claimed)


def _late(what: Callable[[Director, SimulatedWorker, ClaimedRun], None]) -> Scenario:
    def late(d: Director) -> None:
        """A worker that was frozen comes back, and its run may be in any state by then."""
        job, bystander = d.job(retry=RETRIED), d.job("beta", retry=RETRIED)
        late, alive = d.worker("late"), d.worker("alive")
        ids = [d.start(job) for _ in range(5)]
        claims = [d.claim(late, run_id) for run_id in ids]
        d.claim(alive, d.start(bystander))
        d.lose(late, alive)
        d.scheduler.janitor.finish_orphans(at=d.at())
        what(d, late, claims[4])
        d.retry()
        d.claim(alive, ids[1], attempt=2)
        again = d.claim(alive, ids[2], attempt=2)
        d.fail(alive, again)
        d.succeed(alive, d.claim(alive, ids[3], attempt=2))
        for claimed in claims:
            what(d, late, claimed)

    return late


for _name, _what in (
    ("late_success", _succeed),
    ("late_success_with_progress", _succeed_with_progress),
    ("late_success_with_the_next_claim", _succeed_with_the_next_claim),
    ("late_failure", _fail),
    ("late_progress", _tell),
):
    _scenario = _late(_what)
    _scenario.__name__ = _name
    scenario(_scenario)


@scenario
def late_notes(d: Director) -> None:
    """A late result is kept with its attempt, a repeated one is not."""
    job = d.job(retry=RETRIED)
    late, alive = d.worker("late"), d.worker("alive")
    run_id = d.start(job)
    first = d.claim(late, run_id)
    d.lose_and_retry(late, alive)
    d.claim(alive, run_id, attempt=2)
    d.lose_and_retry(alive)
    d.succeed(late, first)
    note = d.checker.attempts[run_id, 1].note
    d.hold(note is not None, "what a worker brought late is gone")
    other = d.worker("other")
    claimed = d.claim(other, d.start(job))
    d.fail(other, claimed)
    d.fail(other, claimed)


@scenario
def given_up_before_its_claim(d: Director) -> None:
    """A worker freezes between two statements of its claims, and is given up."""
    alive = d.worker("alive")
    for place, key, limit in (("claim_plain", None, None), ("claim", "key", 1)):
        run_id, frozen = d.start_task(key, limit), d.worker("frozen")
        d.before(f"runs.claim.{place}", partial(d.lose, frozen, alive))
        d.hold(frozen.claim(run_id, 1) is None, f"{place} is for workers that were given up")
    with d.session() as session, d.stage.on(Operation(claims=(run_id, 1))):
        run_id, gone = d.start_task(), frozen.lease.worker_id
        claimed = runs_claim.claim(session, run_id, 1, worker_id=gone, at=d.at())
        d.hold(claimed is None, "a claim is for workers that were given up")


@scenario
def ended_with_the_next_claim(d: Director) -> None:
    """A busy worker ends one run with the claim of another, which it gets or does not get."""
    worker, frozen = d.worker("worker"), d.worker("frozen")
    job = d.job(retry=RETRIED)
    again = d.claim(worker, d.start(job))
    d.fail(worker, again)
    d.retry()
    worker.beat()
    frozen.beat()
    first, second = d.claim(worker, d.start(job)), d.start(job)
    for run_id in (again.run_id, first.run_id, d.start_task("key", 1)):
        claimed = d.claim(worker, d.start(job))
        d.hold(
            d.finish_and_claim(worker, claimed, run_id) is None, "what is not to be had is claimed"
        )
        d.is_in(claimed.run_id, RunState.SUCCEEDED)
    d.hold(
        d.finish_and_claim(worker, first, second) is not None, "what is to be had is not claimed"
    )
    late = d.claim(frozen, d.start(job))
    d.lose(frozen, worker)
    left = d.start(job)
    d.hold(d.finish_and_claim(frozen, late, left) is None, "a claim is for who was given up")


@scenario
def recovered_with_the_next_claim(d: Director) -> None:
    """A success that recovers its job is not written together with the next claim."""
    worker = d.worker("worker")
    job = d.job()
    d.fail(worker, d.claim(worker, d.start(job)))
    claimed = d.claim(worker, d.start(job))
    d.finish_and_claim(worker, claimed, d.start_task())
    d.is_in(claimed.run_id, RunState.RUNNING)


@scenario
def claimed_without_lease(d: Director) -> None:
    """A worker takes a message after its lease has run out, before its next heartbeat."""
    worker, run_id = d.worker("worker"), d.start_task()
    d.passes(25)
    d.hold(worker.claim(run_id, 1) is None, "a run is claimed without a lease")
    worker.beat()
    d.claim(worker, run_id)


@scenario
def claimed_twice_in_a_moment(d: Director) -> None:
    """Two messages for one run reach two slots of a worker at the same instant."""
    worker, run_id = d.worker("worker"), d.start_task()
    d.claim(worker, run_id)
    d.hold(worker.claim(run_id, 1) is None, "a run is claimed twice")


@scenario
def claim_without_answer(d: Director) -> None:
    """The answer to a claim gets lost: the attempt belongs to the worker all the same."""
    worker = d.worker("worker")
    for place in ("claim_plain", "claim"):
        key, limit = (None, None) if place == "claim_plain" else ("key", 1)
        d.loses_answer(f"runs.claim.{place}")
        d.succeed(worker, d.claim(worker, d.start_task(key, limit)))


@scenario
def claimed_back(d: Director) -> None:
    """A worker that did not learn of its claim gets that attempt back, and no other."""
    worker, other = d.worker("worker"), d.worker("other")
    d.job("alpha")
    job, at = d.job("beta"), d.at()
    run_id = d.start(job)
    d.claim(worker, run_id)
    d.claim(worker, d.start(job))
    ended = d.claim(worker, d.start(job))
    d.succeed(worker, ended)
    mine = worker.lease.worker_id
    with d.session() as session:
        claimed = runs_claim.reclaim(session, run_id, 1, worker_id=mine, at=at)
        d.hold(claimed is not None and claimed.job == "beta", "a claim is lost")
        for wrong, attempt, worker_id, instant in (
            (ended.run_id, 1, mine, at),
            (run_id, 2, mine, at),
            (run_id, 1, other.lease.worker_id, at),
            (run_id, 1, mine, at + timedelta(seconds=1)),
        ):
            answer = runs_claim.reclaim(session, wrong, attempt, worker_id=worker_id, at=instant)
            d.hold(answer is None, "somebody gets the claim of another one")


@scenario
def heartbeats(d: Director) -> None:
    """A heartbeat counts for its own worker only, and not after that was given up."""
    first, second = d.worker("first"), d.worker("second")
    known = first.lease.worker_id
    d.passes(5)
    first.beat()
    second.beat()
    d.hold(first.lease.worker_id == known, "a worker that beats takes another id")
    d.lose(first, second)
    # The worker signs off without knowing that it was given up.
    d.lose(first, second)
    first.beat()
    d.hold(first.lease.worker_id != known, "a worker that was given up goes on under its id")


@scenario
def silence(d: Director) -> None:
    """Two janitors judge workers: some beat, one is silent, and one comes back."""
    other = d.world.scheduler("scheduler-2")
    alive, silent, back = d.worker("alive"), d.worker("silent"), d.worker("back")

    def look(janitor: Any) -> None:
        janitor.give_up_workers(at=d.at(), monotonic=d.stage.monotonic())

    for _ in range(4):
        # It has beaten as often as the other one at the last look.
        silent.beat()
    for _ in range(4):
        look(d.scheduler.janitor)
        look(other.janitor)
        d.passes(8)
        alive.beat()
    for janitor in (d.scheduler.janitor, other.janitor):
        # Between its look at the counters and its decision.
        d.before("runs.workers.give_up", back.beat)
        look(janitor)
    d.hold(d.checker.workers[silent.lease.worker_id].gone_at is not None, "nobody is given up")


@scenario
def a_slow_look(d: Director) -> None:
    """A janitor freezes in the middle of a look, before it reads the counters."""
    worker = d.worker("worker")
    janitor = d.scheduler.janitor

    def freeze() -> None:
        for _ in range(8):
            d.passes(5)
            worker.beat()

    d.before("runs.workers.living", freeze)
    for _ in range(2):
        janitor.give_up_workers(at=d.at(), monotonic=d.stage.monotonic())
        d.passes(1)


@scenario
def two_janitors(d: Director) -> None:
    """Two janitors give up the same worker at the same moment."""
    other = d.world.scheduler("scheduler-2").janitor
    janitor = d.scheduler.janitor
    d.worker("silent")
    for _ in range(4):
        for actor in (janitor, other):
            actor.give_up_workers(at=d.at(), monotonic=d.stage.monotonic())
        d.passes(9)

    def overtake() -> None:
        d.passes(1)
        other.give_up_workers(at=d.at(), monotonic=d.stage.monotonic())

    d.before("runs.workers.give_up", overtake)
    janitor.give_up_workers(at=d.at(), monotonic=d.stage.monotonic())


@scenario
def worked_under_two_names(d: Director) -> None:
    """A worker is given up and comes back under another id, while a task of it is at work."""
    worker = d.worker("worker")

    def during(context: RunContext) -> None:
        d.lose(worker)
        worker.beat()
        worker.asks(context)

    d.work(worker, d.start_task(), during=during)


@scenario
def worked_without_lease(d: Director) -> None:
    """A task asks whether it may go on: it may with a lease, and may not without."""
    worker = d.worker("worker")

    def during(context: RunContext) -> None:
        worker.asks(context)
        d.passes(25)
        worker.asks(context)

    d.work(worker, d.start_task(), during=during)


@scenario
def worked_for_too_long(d: Director) -> None:
    """A task asks whether it may go on: not past the time limit of its run."""
    worker = d.worker("worker")

    def during(context: RunContext) -> None:
        context.stop_if_asked(elapsed_seconds=3599)
        with d.refused(TimedOut, "a task works on past its time limit"):
            context.stop_if_asked(elapsed_seconds=3600)

    d.work(worker, d.start_task(), during=during)


# Runs that are to end


@scenario
def cancelled_at_work(d: Director) -> None:
    """A task learns that it is cancelled, and is not tried again."""
    worker = d.worker("worker")
    run_id = d.start(d.job(retry=RETRIED))

    def during(context: RunContext) -> None:
        d.cancel(run_id)
        worker.asks(context)
        raise Violation("a task works on that was cancelled")

    d.work(worker, run_id, during=during)
    d.is_in(run_id, RunState.CANCELLED)


@scenario
def cancelled_and_failed(d: Director) -> None:
    """A run that was asked to end fails before it learns of that: it has ended."""
    worker = d.worker("worker")
    job = d.job(retry=RETRIED)
    claimed = d.claim(worker, d.start(job))
    d.cancel(claimed.run_id)
    d.fail(worker, claimed)
    d.is_in(claimed.run_id, RunState.FAILED)


@scenario
def cancelled_and_dead(d: Director) -> None:
    """Two processes die: the run of one was asked to end, the run of the other was not."""
    worker = d.worker("worker")
    job = d.job(retry=RETRIED)
    beside = d.claim(worker, d.start(job))
    d.cancel(beside.run_id)
    for is_cancelled in (True, False):
        claimed = d.claim(worker, d.start(job))
        if is_cancelled:
            d.cancel(claimed.run_id)
        d.bury(worker, claimed)
        d.is_in(claimed.run_id, RunState.CANCELLED if is_cancelled else RunState.RETRYING)
    # This process had written its result before it died.
    claimed = d.claim(worker, d.start(job))
    d.succeed(worker, claimed)
    d.bury(worker, claimed)


@scenario
def asked_to_end_over_and_over(d: Director) -> None:
    """A request to kill stays, and a run that has ended gets no request to end."""
    worker = d.worker("worker")
    job, other = d.job(), d.job("beta")
    claimed, beside = d.claim(worker, d.start(job)), d.claim(worker, d.start(other))
    d.cancel(claimed.run_id, CancelMode.KILL)
    d.cancel(claimed.run_id, CancelMode.GRACEFUL)
    d.start(job, OverlapPolicy.CANCEL_OTHER)
    worker.finish(claimed, Outcome(RunState.CANCELLED))
    d.cancel(claimed.run_id)
    d.succeed(worker, beside)
    d.cancel(beside.run_id)


@scenario
def stopped_and_looked_at(d: Director) -> None:
    """A worker that stops has asked its tasks to end: a look at the rows takes nothing back."""
    worker = d.worker("worker")

    def during(context: RunContext) -> None:
        # The tasks go on all the same.
        worker.cancel_listener._is_stopping = True
        worker.cancel_listener.stop_all()
        worker.cancel_listener.look(context.run_id)
        d.hold(context.is_cancelled() is CancelMode.GRACEFUL, "a task is not to end any more")

    d.work(worker, d.start_task(), during=during)


@scenario
def given_another_attempt(d: Director) -> None:
    """A task finds out that a newer attempt of its run is at work."""
    late, alive = d.worker("late"), d.worker("alive")
    run_id = d.start(d.job(retry=RETRIED))

    def during(context: RunContext) -> None:
        d.lose_and_retry(late, alive)
        d.claim(alive, run_id, attempt=2)
        late.cancel_listener.look(run_id)
        d.hold(
            context.is_cancelled() is CancelMode.KILL, "a task works beside a newer attempt of it"
        )

    d.work(late, run_id, during=during)


@scenario
def ended_while_something_lives(d: Director) -> None:
    """A process died, and the command that it had started has not."""
    worker = d.worker("worker")
    claimed = d.claim(worker, d.start_task())
    d.checker.leave((claimed.run_id, 1))
    seen = d.stage.monotonic()
    dead = heartbeat.DeadAttempt(
        claimed.run_id, 1, claimed.worker_id, "simulated", RunState.LOST, seen
    )
    with patch.object(heartbeat, "is_still_ending", lambda *_: True):
        worker.heartbeat._dead_attempts.append(dead)
        worker.beat()
        d.is_in(claimed.run_id, RunState.RUNNING)
        d.passes(11)
        worker.beat()
        d.is_in(claimed.run_id, RunState.LOST)


@scenario
def stalled(d: Director) -> None:
    """A process dies unnoticed: its worker finds the run of that process, and no other."""
    worker, other = d.worker("worker"), d.worker("other")
    job = d.job(retry=RETRIED)
    stalled, once = d.claim(worker, d.start(job)), d.claim(worker, d.start_task())
    for claimed in (stalled, once):
        d.checker.leave((claimed.run_id, 1))
    theirs, over = d.claim(other, d.start(job)), d.claim(worker, d.start(job))
    worked_on = d.claim(worker, d.start(job))
    d.succeed(worker, over)
    # A process dies with a second message about a run that has ended: here, or elsewhere.
    over_there = d.claim(other, d.start(job))
    d.succeed(other, over_there)
    worker.active_runs.begin(over.run_id, 1)
    for claimed in (over, over_there):
        worker.heartbeat.report_dead(claimed.run_id, 1, "simulated")
    worker.beat()
    worker.active_runs.begin(worked_on.run_id, 1)
    worker.in_hand[d.stage.main] = (worked_on.run_id, 1)
    for _ in range(3):
        worker.look()
        d.passes(5)
        for worker_ in (worker, other):
            worker_.beat()
        d.is_in(stalled.run_id, RunState.RUNNING)
    worker.look()
    d.is_in(stalled.run_id, RunState.RETRYING)
    d.is_in(once.run_id, RunState.LOST)
    for claimed in (theirs, worked_on):
        d.is_in(claimed.run_id, RunState.RUNNING)
    for _ in range(2):
        d.passes(5)
        worker.beat()
        other.beat()
        worker.look()


@scenario
def looked_for_stalled_runs_too_soon(d: Director) -> None:
    """A heartbeat wakes without a look at the runs; a run that begins then is not stalled."""
    worker = d.worker("worker")
    claimed = d.claim(worker, d.start_task())
    worker.look()
    for _ in range(12):
        d.passes(1)
        worker.heartbeat._report_stalled()
    worker.beat()
    d.is_in(claimed.run_id, RunState.RUNNING)


@scenario
def too_many_processes_to_know(d: Director) -> None:
    """A pool has more processes than the shared table has rows: no run counts as stalled."""
    worker = d.worker("worker")
    worker.active_runs._used.value = SLOTS + 1
    claimed = d.claim(worker, d.start_task())
    for _ in range(5):
        worker.heartbeat._report_stalled()
        d.passes(5)
        worker.beat()
    d.is_in(claimed.run_id, RunState.RUNNING)


@scenario
def waited_for_the_end_that_is_held_back(d: Director) -> None:
    """A run that waits for a slot gets it, also where the outcome comes with the next claim."""
    worker = d.worker("worker")
    worker.threads.can_hold_finish = True
    job = d.job(overlap_policy=OverlapPolicy.BUFFER_ALL)
    d.work(worker, d.start_task())
    first, waiting = d.start(job), d.start(job)
    d.work(worker, first)
    d.is_in(first, RunState.RUNNING)
    d.is_in(waiting, RunState.WAITING)
    following = d.start_task()
    d.work(worker, following)
    d.is_in(first, RunState.SUCCEEDED)
    d.is_in(waiting, RunState.QUEUED)
    worker.write_held_finish()
    d.is_in(following, RunState.SUCCEEDED)


@scenario
def not_held_back(d: Director) -> None:
    """A worker holds back no failure, and no success of a run with a key."""
    worker = d.worker("worker")
    worker.threads.can_hold_finish = True
    job = d.job(retry=RETRIED)

    def fail(_: RunContext) -> None:
        raise ValueError("simulated")

    d.work(worker, d.start_task())
    keyed, failing = d.start_task("key", 1), d.start(job)
    d.work(worker, keyed)
    d.is_in(keyed, RunState.SUCCEEDED)
    d.work(worker, failing, during=fail)
    d.is_in(failing, RunState.RETRYING)


@scenario
def died_with_a_message_in_vain(d: Director) -> None:
    """A process dies that had a second message about the run of another process."""
    worker, other = d.worker("worker"), d.worker("other")
    job = d.job(retry=RETRIED)
    mine, theirs = d.claim(worker, d.start(job)), d.claim(other, d.start(job))
    worker.active_runs.begin(mine.run_id, 1)
    for claimed in (mine, theirs):
        worker.heartbeat.report_dead(claimed.run_id, 1, "simulated")
    worker.beat()
    d.passes(11)
    worker.beat()
    # No other process holds that run back any more.
    worker.active_runs.end()
    worker.beat()
    for claimed in (mine, theirs):
        d.is_in(claimed.run_id, RunState.RUNNING)


@scenario
def died_before_its_claim(d: Director) -> None:
    """A process dies with a message in hand; another one takes the next while that is looked at."""
    worker, run_id = d.worker("worker"), d.start_task()

    def claim() -> None:
        worker.active_runs.begin(run_id, 1)
        d.claim(worker, run_id)

    worker.heartbeat.report_dead(run_id, 1, "simulated")
    d.before("worker.liveness.heartbeat.Heartbeat._finish_dead", claim)
    worker.beat()
    d.is_in(run_id, RunState.RUNNING)


# Jobs that may not overlap


def _one_place(d: Director, policy: OverlapPolicy) -> None:
    """Runs of one job end, wait and are promoted beside those of another job."""
    worker = d.worker("worker")
    job, other = d.job(overlap_policy=policy), d.job("beta", overlap_policy=policy)
    d.succeed(worker, d.claim(worker, d.start(job)))
    others = [d.start(other) for _ in range(3)]
    d.claim(worker, others[0])
    d.claim(worker, d.start(other, OverlapPolicy.ALLOW_ALL))
    first = d.claim(worker, d.start(job))
    d.is_in(first.run_id, RunState.RUNNING)
    waiting = [d.start(job) for _ in range(2)]
    d.succeed(worker, first)
    d.is_in(waiting[0], RunState.QUEUED)
    second = d.claim(worker, waiting[0])
    # A run that is started beside others blocks the next one too.
    beside = d.claim(worker, d.start(job, OverlapPolicy.ALLOW_ALL))
    d.succeed(worker, second)
    d.is_in(waiting[1], RunState.WAITING)
    d.succeed(worker, beside)
    d.is_in(waiting[1], RunState.QUEUED)


@scenario
def one_active_run(d: Director) -> None:
    _one_place(d, OverlapPolicy.BUFFER_ALL)


@scenario
def promoted_beside_one_that_is_let_in(d: Director) -> None:
    """A janitor promotes a run while another one is promoted: only one of the two starts."""
    worker = d.worker("worker")
    job = d.job(overlap_policy=OverlapPolicy.BUFFER_ALL)
    d.claim(worker, d.start(job))
    d.start(job)
    d.promote(job)


def _give_way(d: Director, policy: OverlapPolicy) -> None:
    worker = d.worker("worker")
    job, other = d.job(), d.job("beta")
    d.succeed(worker, d.claim(worker, d.start(job)))
    for job_ in (job, other):
        d.claim(worker, d.start(job_))
        d.start(job_)
        d.start(job_, OverlapPolicy.BUFFER_ALL)
    d.start(job, policy)


@scenario
def others_give_way(d: Director) -> None:
    """A new run ends the others of its job: no run of another job, and none that has ended."""
    _give_way(d, OverlapPolicy.CANCEL_OTHER)


@scenario
def fires_find_no_active_run(d: Director) -> None:
    """A tick counts the unfinished runs of the job itself only."""
    worker = d.worker("worker")
    job = d.job(overlap_policy=OverlapPolicy.BUFFER_ONE, **EVERY_MINUTE)
    other = d.job("beta")
    # One run of each kind has ended: of the exclusive ones, and of those beside them.
    for policy in (OverlapPolicy.ALLOW_ALL, OverlapPolicy.BUFFER_ONE):
        d.succeed(worker, d.claim(worker, d.start(job, policy)))
    d.claim(worker, d.start(other, OverlapPolicy.BUFFER_ALL))
    d.claim(worker, d.start(other))
    d.start(other, OverlapPolicy.BUFFER_ALL)
    d.passes(61)
    d.scheduler.tick()
    d.passes(60)
    # The first run is active now: this one waits, even if runs of another job wait too.
    d.scheduler.tick()
    waiting = [run for run in d.checker.runs.values() if run.state is RunState.WAITING]
    d.hold(any(run.job_id == job.id for run in waiting), "a fire is not buffered")


@scenario
def a_change_finds_no_active_run(d: Director) -> None:
    """A change records the fires that were due before it; runs that have ended block none."""
    worker = d.worker("worker")
    job = d.job(overlap_policy=OverlapPolicy.SKIP, **EVERY_MINUTE)
    d.job("beta", **EVERY_MINUTE)
    d.succeed(worker, d.claim(worker, d.start(job)))
    d.passes(61)
    worker.beat()
    d.pause(job)


@scenario
def a_start_finds_no_active_run(d: Director) -> None:
    """A run that has ended keeps no other run waiting."""
    worker = d.worker("worker")
    job = d.job(overlap_policy=OverlapPolicy.BUFFER_ONE)
    d.succeed(worker, d.claim(worker, d.start(job)))
    d.is_in(d.start(job), RunState.QUEUED)


# Failures in a row


@scenario
def failures_of_two_jobs(d: Director) -> None:
    """One job is paused at its limit; another one is past its own, but has no new failure."""
    worker = d.worker("worker")
    job, other = d.job(pause_after_failures=2, **EVERY_MINUTE), d.job("beta", **EVERY_MINUTE)
    for _ in range(2):
        d.fail(worker, d.claim(worker, d.start(other)))
    d.change(other, pause_after_failures=2, **EVERY_MINUTE)
    d.succeed(worker, d.claim(worker, d.start(job)))
    # The last run of a job that is paused by then.
    for _ in range(3):
        d.passes(1)
        d.fail(worker, d.claim(worker, d.start(job)))
    d.resume(job)
    d.fail(worker, d.claim(worker, d.start(job)))
    d.succeed(worker, d.claim(worker, d.start(job)))


@scenario
def failure_with_a_fire_due(d: Director) -> None:
    """A job reaches its limit of failures while a fire is due: the fire is recorded first."""
    worker = d.worker("worker")
    job = d.job(pause_after_failures=1, **EVERY_MINUTE)
    claimed = d.claim(worker, d.start(job))
    d.passes(61)
    d.fail(worker, claimed)


@scenario
def failure_of_a_deleted_job(d: Director) -> None:
    """A run fails whose job was deleted meanwhile: it is not tried again, nor paused."""
    worker = d.worker("worker")
    job = d.job(pause_after_failures=1, **EVERY_MINUTE)
    claimed = d.claim(worker, d.start(job))
    again = d.job("beta", retry=RETRIED)
    retried = d.claim(worker, d.start(again))
    left = d.start(again)
    d.remove(job)
    d.is_in(left, RunState.QUEUED)
    living = d.claim(worker, left)
    d.fail(worker, claimed)
    d.fail(worker, living)
    d.remove(again)
    d.fail(worker, retried)


# Changes


@scenario
def changes_at_once(d: Director) -> None:
    """Two people change or delete the same job, one just before the other."""
    job = d.job()
    d.change(job, version=1)
    d.before("jobs.service.lock", lambda: d.change(job, retry=RETRIED))
    with d.refused(StaleVersion, "a newer version is overwritten"):
        d.change(job, version=2)
    d.before("jobs.service.lock", lambda: d.remove(job))
    with d.refused(NotFound, "a deleted job is paused"):
        d.pause(job)


@scenario
def two_of_one_name(d: Director) -> None:
    """A name is taken until its job is deleted."""
    job = d.job()
    with d.refused(Conflict, "two living jobs have one name"):
        d.job()
    d.remove(job)
    d.job()


@scenario
def paused_and_resumed_twice(d: Director) -> None:
    """A repeated pause or resume changes nothing."""
    job = d.job(**EVERY_MINUTE)
    for change in (d.pause, d.resume):
        change(job)
        version = d.checker.jobs[job.id].version
        d.passes(61)
        change(job)
        d.hold(d.checker.jobs[job.id].version == version, "the same is done twice")


@scenario
def resumed_and_caught_up(d: Director) -> None:
    """The fires of a pause run if the person who resumes the job asks for them."""
    job, _other = d.job(**EVERY_MINUTE), d.job("beta", **EVERY_MINUTE)
    d.pause(job)
    d.passes(125)
    d.resume(job, "all")
    d.hold(d.checker.jobs[job.id].state == "active", "a job is resumed, and is not active")
    caught_up = [run for run in d.checker.runs.values() if run.job_id == job.id]
    d.hold(len(caught_up) == 2, "what a pause has left out is not caught up")


@scenario
def pauses_that_end(d: Director) -> None:
    """A pause that ends is over then; a longer one, and other jobs, are not changed."""
    job, longer, other = (d.job(name, **EVERY_MINUTE) for name in ("alpha", "beta", "gamma"))
    d.job("delta", **EVERY_MINUTE)
    d.pause(job, seconds=90)
    d.pause(longer, seconds=60)
    d.pause(longer, seconds=600)
    d.pause(other)
    d.passes(89)
    d.hold(d.scheduler.janitor.end_pauses(at=d.at()) == 0, "a pause ends too early")
    d.passes(2)
    d.hold(d.scheduler.janitor.end_pauses(at=d.at()) == 1, "not the one pause ends")
    states = [d.checker.jobs[paused.id].state for paused in (job, longer, other)]
    d.hold(states == ["active", "paused", "paused"], "the wrong job is resumed")
    d.passes(30)
    d.scheduler.tick()


@scenario
def pause_whose_end_is_seen_late(d: Director) -> None:
    """No janitor is there when a pause ends: the fires since then are late, not left out."""
    job = d.job(**EVERY_MINUTE)
    d.pause(job, seconds=30)
    d.passes(125)
    d.hold(d.scheduler.janitor.end_pauses(at=d.at()) == 1, "a pause does not end")
    d.scheduler.tick()
    fires = [run for run in d.checker.runs.values() if run.job_id == job.id]
    d.hold(len(fires) > 0, "the fires after a pause are left out")


@scenario
def pauses_that_end_meanwhile(d: Director) -> None:
    """Between the look of the janitor and its resume, a person resumes, prolongs or deletes."""
    resumed, longer, removed = (d.job(name) for name in ("alpha", "beta", "gamma"))
    for job in (resumed, longer, removed):
        d.pause(job, seconds=60)
    d.passes(61)
    for change in (
        lambda: d.resume(resumed),
        lambda: d.pause(longer, seconds=600),
        lambda: d.remove(removed),
    ):
        begin = "BEGIN" if d.store.is_sqlite else "SELECT"
        d.before("jobs.pause_end.end_pause", change, statement=begin)
    d.hold(d.scheduler.janitor.end_pauses(at=d.at()) == 0, "a pause ends twice, or too early")


@on_postgresql
def prolonged_while_a_pause_ends(d: Director) -> None:
    """A person prolongs a pause while the janitor ends it: one of them waits for the other."""
    job = d.job(**EVERY_MINUTE)
    d.pause(job, seconds=30)
    d.passes(31)
    prolong = partial(d.pause, job, seconds=600)
    d.before("jobs.pause_end.end_pause", lambda: d.tries(prolong), statement="UPDATE")
    d.hold(d.scheduler.janitor.end_pauses(at=d.at()) == 1, "a pause does not end")


@scenario
def pause_after_the_end(d: Director) -> None:
    """A job whose schedule has ended cannot be paused."""
    job = d.job(once_at=BEGINNING + timedelta(seconds=30))
    d.passes(60)
    d.scheduler.tick()
    with d.refused(Conflict, "a job that has ended is paused"):
        d.pause(job)


# Fires


@scenario
def clock_set_back(d: Director) -> None:
    """The clock is set back behind fires that are on record; a resume makes them due again."""
    job = d.job(**EVERY_MINUTE)
    d.passes(125)
    d.scheduler.tick()
    d.stage.main.process.skew = -70
    d.pause(job)
    d.resume(job)
    d.passes(66)
    d.scheduler.tick()
    d.passes(60)
    d.scheduler.tick()


@scenario
def clock_set_back_before_a_change(d: Director) -> None:
    """The clock is set back, and the next change of the job records the fire again."""
    job = d.job(**EVERY_MINUTE)
    d.passes(65)
    d.scheduler.tick()
    d.stage.main.process.skew = -10
    d.pause(job)
    d.resume(job)
    d.passes(6)
    d.pause(job)


@scenario
def neighbours(d: Director) -> None:
    """One of two equal jobs is recorded, postponed or paused: the other one is unchanged."""
    job, _other = d.job(**EVERY_MINUTE), d.job("beta", **EVERY_MINUTE)
    d.job("gamma", cron="0 * * * *")
    d.passes(61)
    with d.session() as session:
        fires.record_due(session, [job.id], at=d.at())
    with patch.object(fires, "plan", side_effect=LookupError("simulated")), d.session() as session:
        d.passes(60)
        fires.record_due(session, [job.id], at=d.at())


@scenario
def put_off_and_paused(d: Director) -> None:
    """A fire cannot be planned and is postponed; its job is paused before the next look."""
    job = d.job(**EVERY_MINUTE)
    d.passes(61)
    with patch.object(fires, "plan", side_effect=LookupError("simulated")), d.session() as session:
        fires.record_due(session, [job.id], at=d.at())
    d.pause(job)


@scenario
def neighbours_and_a_change(d: Director) -> None:
    """A change of a job records a fire that cannot be planned."""
    job, _other = d.job(**EVERY_MINUTE), d.job("beta", **EVERY_MINUTE)
    d.passes(61)
    d.pause(job)


def _stale(d: Director, change: Callable[[Any], object]) -> Any:
    """Return the group of a due job, and its plan, as they were before *change*."""
    job = d.job(interval_seconds=20, anchor_at=BEGINNING)
    d.passes(21)
    with d.session() as session:
        [group] = job_groups.groups(session, [job.id])
        planned = plan(group.plan_input(scheduler_spans=None), at=d.at())
    change(job)
    return group, planned


@scenario
def plans_grown_old(d: Director) -> None:
    """Two schedulers carry out their plans of one fire, the second one too late."""
    group, planned = _stale(d, lambda job: d.scheduler.tick())
    with (
        d.refused(RuntimeError, "a job is moved on by a plan that was carried out"),
        d.session() as session,
    ):
        job_groups.advance(session, [job_groups.GroupPlan.of(group, planned)])
        session.commit()


@scenario
def plans_grown_old_by_a_change(d: Director) -> None:
    """A job is changed, still due at the same instant, after its fire was planned."""
    group, planned = _stale(d, lambda job: _same_fire(d, job))
    with (
        d.refused(RuntimeError, "a job is moved on by a plan from before its change"),
        d.session() as session,
    ):
        job_groups.advance(session, [job_groups.GroupPlan.of(group, planned)])
        session.commit()


def _same_fire(d: Director, job: Any) -> None:
    """Change a job without its schedule: it stays due at the same instant."""
    d.change(job, interval_seconds=20, anchor_at=BEGINNING, retry=RETRIED)


# Slots of a key


@scenario
def slots_of_a_key(d: Director) -> None:
    """Three slots of a key are taken, freed and taken again, beside those of another key."""
    worker = d.worker("worker")
    beside = [d.claim(worker, d.start_task("beside", 3)) for _ in range(2)]
    ids = [d.start_task("key", 3) for _ in range(5)]
    first, _second, _third = (d.claim(worker, run_id) for run_id in ids[:3])
    d.hold(worker.claim(ids[3], 1) is None, "a fourth run has one of three places")
    d.succeed(worker, first)
    d.claim(worker, ids[3])
    d.hold(worker.claim(ids[4], 1) is None, "a fifth run has one of three places")
    for run in beside:
        d.succeed(worker, run)


@scenario
def slots_of_a_key_again(d: Director) -> None:
    """Runs that have ended, and runs of another key, take no slot."""
    worker = d.worker("worker")
    for _ in range(2):
        d.succeed(worker, d.claim(worker, d.start_task("key", 2)))
    d.claim(worker, d.start_task("beside", 3))
    first, second = (d.claim(worker, d.start_task("key", 3)) for _ in range(2))
    # Above the two slots of this key; those of the other key do not count.
    third = d.claim(worker, d.start_task("key", 3))
    d.succeed(worker, second)
    d.claim(worker, d.start_task("key", 3))
    d.succeed(worker, first)
    d.succeed(worker, third)
    d.claim(worker, d.start_task("key", 3))


@scenario
def keyed_and_retried(d: Director) -> None:
    """Old messages, for a run that has a key."""
    worker = d.worker("worker")
    job = d.job(retry=RETRIED, concurrency_key="key", concurrency_limit=2)
    run_id = d.start(job)
    d.fail(worker, d.claim(worker, run_id))
    d.hold(worker.claim(run_id, 1) is None, "an attempt is claimed that is over")
    d.passes(6)
    worker.beat()
    d.scheduler.janitor.queue_retries(at=d.at())
    d.hold(worker.claim(run_id, 1) is None, "an attempt is claimed that is over")
    d.claim(worker, run_id, attempt=2)


@scenario
def messages_for_parked_runs(d: Director) -> None:
    """Only a free slot gets a parked run a new message."""
    worker = d.worker("worker")
    d.claim(worker, d.start_task("full", 1))
    parked, sent = d.start_task("full", 1), d.start_task()
    worker.claim(parked, 1)
    held = d.claim(worker, d.start_task("key", 1))
    d.hold(worker.claim(d.start_task("key", 1), 1) is None, "a second run has the only place")
    with d.session() as session:
        outbox.mark_unsent(session, [sent, held.run_id], at=d.at())
        session.commit()
    d.world.redis.queue.clear()
    d.scheduler.janitor.resend(at=d.at())
    d.passes(16)
    worker.beat()
    d.scheduler.janitor.resend(at=d.at())
    d.scheduler.janitor.take_over(at=d.at())
    d.scheduler.janitor.recover(at=d.at())
    d.succeed(worker, held)


# Two transactions at once


@on_postgresql
def retries_at_once(d: Director) -> None:
    """A retry is cancelled, or queued by another janitor, after it was found to be due."""
    worker = d.worker("worker")
    job = d.job(retry=RETRIED)
    cancelled = d.claim(worker, d.start(job))
    d.fail(worker, cancelled)
    d.before(
        "runs.due_retries.queue_due_retries",
        lambda: d.cancel(cancelled.run_id),
        statement="UPDATE runs",
    )
    d.retry()
    again = d.claim(worker, d.start(job))
    d.fail(worker, again)

    def others_do() -> None:
        d.retry()
        d.fail(worker, d.claim(worker, again.run_id, attempt=2))

    d.before("runs.due_retries.queue_due_retries", others_do, statement="UPDATE runs")
    d.retry()


@on_postgresql
def resent_and_claimed(d: Director) -> None:
    """A message is to be sent again, and its run is claimed in the same moment."""
    worker, run_id = d.worker("worker"), d.start_task()
    d.world.redis.queue.clear()
    d.passes(16)
    worker.beat()
    d.before("runs.outbox.take_unsent", lambda: d.claim(worker, run_id), statement="UPDATE runs")
    d.scheduler.janitor.resend(at=d.at())


@on_postgresql
def resent_and_parked(d: Director) -> None:
    """A message is to be sent again, and its run is parked in the same moment."""
    worker = d.worker("worker")
    d.claim(worker, d.start_task("key", 1))
    waiting = d.start_task("key", 1)
    d.world.redis.queue.clear()
    d.passes(16)
    worker.beat()
    d.before(
        "runs.outbox.take_unsent", lambda: d.claim_once(worker, waiting), statement="UPDATE runs"
    )
    d.scheduler.janitor.resend(at=d.at())
    d.hold(d.run(waiting).send_at is None, "a run is called that finds no place")


@on_postgresql
def unparked_and_cancelled(d: Director) -> None:
    """A run is unparked, and cancelled at the same moment."""
    worker = d.worker("worker")
    held = d.claim(worker, d.start_task("key", 1))
    parked = d.start_task("key", 1)
    worker.claim(parked, 1)
    d.before("runs.concurrency._unpark_queue", lambda: d.cancel(parked), statement="UPDATE runs")
    d.succeed(worker, held)


@on_postgresql
def cancelled_before_it_has_its_slot(d: Director) -> None:
    """A run is cancelled while its claim looks for a slot, and while it is parked."""
    worker = d.worker("worker")
    place = "runs.concurrency.claim_slot"
    for is_full in (False, True):
        run_id = d.start_task("key", 1)

        def cancel(run_id: Any = run_id) -> None:
            d.cancel(run_id)

        if is_full:
            d.claim(worker, d.start_task("key", 1))
            d.before(
                place, partial(d.before, place, cancel, statement="UPDATE"), statement="UPDATE"
            )
        else:
            d.before(place, cancel, statement="UPDATE")
        d.hold(d.claim_once(worker, run_id) is None, "a cancelled run is claimed")


@on_postgresql
def retried_before_it_has_its_slot(d: Director) -> None:
    """An attempt ends, and the next one is queued, while an old message looks for a slot."""
    slow, quick = d.worker("slow"), d.worker("quick")
    job = d.job(retry=RETRIED, concurrency_key="key", concurrency_limit=1)
    run_id = d.start(job)

    def overtake() -> None:
        claimed = d.claim_once(quick, run_id)
        if claimed is not None:
            d.fail(quick, claimed)
            d.retry()

    place = "runs.concurrency.claim_slot"
    d.before(place, lambda: d.tries(overtake), statement="UPDATE")
    d.claim_once(slow, run_id)


@on_postgresql
def tried_again_before_it_is_parked(d: Director) -> None:
    """An attempt ends, and the next one is queued, after an old message has found no slot."""
    slow, quick = d.worker("slow"), d.worker("quick")
    job = d.job(retry=RETRIED, concurrency_key="key", concurrency_limit=1)
    run_id = d.start(job)
    holder = d.claim(quick, d.start(job))

    def overtake() -> None:
        with d.session() as session:
            concurrency.unpark(session, "key", at=d.at())
        claimed = d.claim_once(quick, run_id)
        if claimed is not None:
            d.fail(quick, claimed)
            d.retry()

    def leave() -> None:
        d.succeed(quick, holder)
        d.tries(overtake)

    place = "runs.concurrency.claim_slot"
    d.before(place, partial(d.before, place, leave, statement="UPDATE"), statement="UPDATE")
    d.claim_once(slow, run_id)
    run = d.run(run_id)
    d.hold(run.attempt == 1 or run.send_at is not None, "an old message parks a newer attempt")


@on_postgresql
def parked_while_a_slot_is_freed(d: Director) -> None:
    """The only slot of a key is freed at the moment in which a claim finds it taken."""
    worker, other = d.worker("worker"), d.worker("other")
    held = d.claim(worker, d.start_task("key", 1))
    run_id = d.start_task("key", 1)
    is_handed_over = []

    def unpark() -> None:
        with d.session() as session:
            concurrency.unpark(session, "key", at=d.at())
        is_handed_over.append(True)

    def leave() -> None:
        d.succeed(worker, held)
        d.tries(unpark)

    place = "runs.concurrency.claim_slot"
    d.before(place, partial(d.before, place, leave, statement="UPDATE"), statement="UPDATE")
    d.hold(d.claim_once(other, run_id) is None, "a second run has the only place")
    if not is_handed_over:
        # It had to wait for the claim.
        unpark()
    d.hold(d.run(run_id).send_at is not None, "a place is free, and nobody called to it")


@on_postgresql
def buffered_while_the_active_run_finishes(d: Director) -> None:
    """The active run of a job ends at the moment in which a new run finds it active."""
    worker = d.worker("worker")
    job = d.job(overlap_policy=OverlapPolicy.BUFFER_ALL)
    first = d.claim(worker, d.start(job))
    is_promoted = []

    def leave() -> None:
        d.succeed(worker, first)
        is_promoted.append(d.tries(lambda: d.promote(job)))

    d.before("runs.insert.insert_runs", leave)
    second = d.start(job)
    if not is_promoted[0]:
        # It had to wait for the start.
        d.promote(job)
    d.is_in(second, RunState.QUEUED)


@on_postgresql
def promoted_while_it_is_cancelled(d: Director) -> None:
    """A waiting run is cancelled at the moment in which it is promoted."""
    job = d.job(overlap_policy=OverlapPolicy.BUFFER_ALL)
    first, waiting = d.start(job), d.start(job)
    d.cancel(first)

    def let_in() -> None:
        with d.session() as session:
            overlap.promote(session, job.id, at=BEGINNING)

    with d.store.meanwhile(let_in) as begin:
        d.before("runs.cancel.cancel", begin, statement="COMMIT")
        d.cancel(waiting)
    # The result is visible with the next commit.
    d.start_task()
    d.is_in(waiting, RunState.CANCELLED)


@on_postgresql
def held_by_somebody(d: Director) -> None:
    """Another transaction locks one of the due jobs: the other jobs do not wait."""
    job, other = d.job(**EVERY_MINUTE), d.job("beta", **EVERY_MINUTE)
    d.passes(61)

    def record() -> None:
        with d.stage.aside(), d.session() as beside:
            fires.record_due(beside, [job.id, other.id], at=d.at())

    with d.session() as session:
        service.lock(session, job)
        d.tries(record)
    recorded = [run.job_id for run in d.checker.runs.values()]
    d.hold(recorded == [other.id], "a job that somebody holds keeps others waiting")


@on_postgresql
def two_starts(d: Director) -> None:
    """Two people start a job that may run once, at the same moment."""
    job = d.job(overlap_policy=OverlapPolicy.SKIP)
    d.before("runs.insert.insert_runs", lambda: d.tries(lambda: d.start(job)))
    d.tries(lambda: d.start(job))


@on_postgresql
def two_recorders(d: Director) -> None:
    """Two schedulers have planned the same fire, each from what it has read."""
    job = d.job(overlap_policy=OverlapPolicy.ALLOW_ALL, **EVERY_MINUTE)
    other = d.world.scheduler("scheduler-2")
    d.passes(61)
    d.before("runs.insert._insert_by_arrays", lambda: d.tries(other.tick))
    d.tries(d.scheduler.tick)
    d.hold(any(run.job_id == job.id for run in d.checker.runs.values()), "a fire is lost")


@on_postgresql
def deleted_while_it_fails(d: Director) -> None:
    """A job is deleted in the moment in which its run is to be tried again."""
    worker = d.worker("worker")
    job = d.job(retry=RETRIED)
    claimed = d.claim(worker, d.start(job))
    d.before("runs.finish.finish", lambda: d.tries(lambda: d.remove(job)), statement="COMMIT")
    d.fail(worker, claimed)


SCENARIOS = dict(sorted(SCENARIOS.items()))
