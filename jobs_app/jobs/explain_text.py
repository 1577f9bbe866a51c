"""Explains in one sentence why a job did, did not or will not run at an instant: pure, no IO.

`explain` gathers the context; `explain_fire` alone interprets it and words the answer.
"""

from datetime import datetime, timedelta

from jobs_app.core.states import RunState, Trigger
from jobs_app.core.text import counted
from jobs_app.jobs.explain_context import ExplainedRun, FireContext, Pause, Verdict
from jobs_app.jobs.explain_words import by, clock_note, of_which, span, stamp, watches
from jobs_app.schedules import description, union
from jobs_app.schedules.union import AnySchedule

#: A run that starts within this time of its due instant is on time.
ON_TIME = timedelta(seconds=2)

#: A scheduler is still recording a fire that came due less than this ago.
JUST_NOW = timedelta(seconds=5)


def explain_fire(context: FireContext) -> tuple[Verdict, str]:
    """Return the verdict on the instant, and the sentence that gives the reason."""
    verdict, sentence = _explain_without_clock(context)
    return verdict, " ".join(filter(None, [clock_note(context), sentence, of_which(context)]))


def _explain_without_clock(context: FireContext) -> tuple[Verdict, str]:
    if context.run is not None:
        return _of_run(context, context.run)
    instant = context.instant if context.fire is None else context.fire.at
    if instant <= context.created_at:
        return Verdict.NOT_YET_CREATED, (
            f"The job did not exist yet: it was created at {stamp(context, context.created_at)}"
            f"{by(context.created_by)}."
        )
    if context.deleted_at is not None and context.deleted_at < instant:
        deleted_at = stamp(context, context.deleted_at)
        return Verdict.DELETED, f"The job was deleted at {deleted_at}{by(context.deleted_by)}."
    if context.rules.schedule is None:
        text = "The job has no schedule: it runs only when it is started."
        runs = _by_hand(context) if context.has_runs else " No run of it is on record."
        return Verdict.NOT_A_FIRE, text + runs
    if context.fire is None:
        if _waits_for_start(context, context.rules.schedule):
            return _at_next_start(context)
        return Verdict.NOT_A_FIRE, _not_a_fire(context, context.rules.schedule)
    if context.pause is not None:
        return Verdict.PAUSED, _paused(context, context.pause)
    return _without_row(context, context.fire.at, context.rules.schedule)


def _without_row(
    context: FireContext, fire: datetime, schedule: AnySchedule
) -> tuple[Verdict, str]:
    """Explain a fire of an active job that has no row: it is to come, or should have one."""
    if context.pruned_until is not None and fire <= context.pruned_until:
        until = stamp(context, context.pruned_until)
        return Verdict.FORGOTTEN, (
            "It came due, and its record is no longer kept: retention has deleted runs of this"
            f" job up to that of {until}."
        )
    is_ahead = union.due_at(schedule, fire) > context.at
    pause = context.pause_now
    if is_ahead and pause is not None and pause.planned_end is None:
        return Verdict.PAUSED, _paused(context, pause)
    if context.is_over:
        why = "its schedule is over by then"
        if context.max_runs is not None:
            come = "it comes" if context.max_runs == 1 else "they come"
            why = f"max_runs allows {counted(context.max_runs, 'run')}, and {come} earlier"
        return Verdict.ENDED, f"The job {'will have' if is_ahead else 'had'} ended: {why}."
    if is_ahead and context.is_over is None:
        allowed = "no limit" if context.max_runs is None else counted(context.max_runs, "run")
        return Verdict.UNKNOWN, (
            "Whether it will run cannot be said so far ahead: more fires come before it than"
            f" are counted, and max_runs allows {allowed}."
        )
    if is_ahead:
        jitter = _jitter(context, fire)
        if context.rules.observes:
            when = f"{stamp(context, fire)}{jitter}"
            return (
                Verdict.OBSERVED,
                f"It will be observed at {when}, and not run: {watches(context)}.",
            )
        return Verdict.WILL_RUN, f"It will run at {stamp(context, fire)}{jitter}."
    if context.at - union.due_at(schedule, fire) <= JUST_NOW:
        return Verdict.UNRECORDED, "It is due just now: a scheduler is about to record it."
    last_tick = context.ticked_at
    if last_tick is None:
        why = "no scheduler is on record"
    elif last_tick < union.due_at(schedule, fire):
        why = f"no scheduler has looked since {stamp(context, last_tick)}"
    else:
        why = "it is older than the history that is kept, or the job changed in that moment"
    return Verdict.UNRECORDED, f"It came due, and nothing is on record of it: {why}."


def _of_run(context: FireContext, run: ExplainedRun) -> tuple[Verdict, str]:
    match run.state:
        case RunState.SKIPPED:
            return Verdict.SKIPPED, _skipped(context, run)
        case RunState.MISSED:
            return Verdict.MISSED, _missed(context, run)
        case RunState.OBSERVED:
            at = stamp(context, run.created_at)
            why = watches(context, is_past=True)
            return Verdict.OBSERVED, f"It was observed at {at}, and not run: {why}."
        case RunState.WAITING:
            behind = f"run {context.other.id}" if context.other else "another run"
            return Verdict.WILL_RUN, (
                f"It waits as run {run.id} behind {behind}, which has not ended"
                f" (overlap_policy is {context.rules.policy.overlap_policy})."
            )
        case RunState.QUEUED if run.attempt == 1:
            since = stamp(context, run.created_at)
            return Verdict.WILL_RUN, (
                f"It is queued as run {run.id} since {since} and has not started:"
                f" {_why_queued(context)}."
            )
        case RunState.CANCELLED if run.started_at is None:
            return Verdict.CANCELLED, _cancelled(context, run)
    return Verdict.RAN, f"{_punctuality(context, run)}: run {run.id} {_course(context, run)}."


def _punctuality(context: FireContext, run: ExplainedRun) -> str:
    """Return "It ran on time", or how late it ran and why, or who started it."""
    if run.trigger in {Trigger.MANUAL, Trigger.RETRY_OF}:
        return f"It was started by hand{by(run.triggered_by)}"
    if run.scheduled_for is None or run.started_at is None:
        return "It ran"
    due_at = run.scheduled_for
    if context.rules.schedule is not None:
        due_at = union.due_at(context.rules.schedule, due_at)
    late = run.started_at - due_at
    if run.trigger is Trigger.CATCHUP:
        return f"It was caught up with, {span(late)} late"
    if run.trigger is Trigger.BACKFILL:
        return "It was filled in afterwards"
    if run.attempt > 1:
        # The row has the start of the newest attempt only.
        return "It ran"
    return "It ran on time" if late <= ON_TIME else f"It ran {span(late)} late"


def _course(context: FireContext, run: ExplainedRun) -> str:
    """Return how a run that was started went: "started at 03:00:01 and succeeded after 2 s"."""
    started = (
        "was started" if run.started_at is None else f"started at {stamp(context, run.started_at)}"
    )
    attempts = f" (attempt {run.attempt})" if run.attempt > 1 else ""
    after = ""
    if run.started_at is not None and run.finished_at is not None:
        after = f" after {span(run.finished_at - run.started_at)}"
    ended = {
        RunState.QUEUED: f"failed before and is queued for attempt {run.attempt}",
        RunState.RUNNING: "is still running",
        RunState.SUCCEEDED: f"succeeded{after}",
        RunState.FAILED: f"failed{after}{_why_failed(run)}",
        RunState.TIMED_OUT: f"was stopped at its time limit{after}",
        RunState.CANCELLED: f"was cancelled{after}{_cancelled_why(context, run)}",
        RunState.LOST: f"was lost{after}: {_why_lost(run)}",
        RunState.RETRYING: f"failed in attempt {run.attempt}",
    }[run.state]
    if run.state is RunState.RETRYING and run.not_before is not None:
        ended += f"; the next one is due at {stamp(context, run.not_before)}"
    if run.state is RunState.QUEUED:
        return ended
    if run.cancelled_by and run.state is not RunState.CANCELLED:
        return f"{started}{attempts}, was asked to end{by(run.cancelled_by)}, and {ended}"
    return f"{started}{attempts} and {ended}"


def _why_failed(run: ExplainedRun) -> str:
    if run.exit_code is not None:
        return f" with exit code {run.exit_code}"
    if run.error:
        first = run.error.partition("\n")[0].rstrip(".")
        return f": {first if len(first) <= 200 else first[:200] + '…'}"
    return ""


def _why_lost(run: ExplainedRun) -> str:
    """Return the reason of a lost run, which is a sentence unless it is a single word."""
    reason = (run.reason or "").rstrip(".")
    if " " not in reason:
        return "its worker vanished"
    return reason[0].lower() + reason[1:]


def _why_queued(context: FireContext) -> str:
    """Return why a queued run has not been taken by a worker."""
    workers, run = context.queue_workers, context.run
    if workers is None or run is None:
        return "a worker is about to take it"
    if workers.count == 0:
        return f"no worker serves the queue {run.queue!r}"
    limit = run.concurrency_limit
    if limit is not None and workers.same_key >= limit:
        are = "is" if workers.same_key == 1 else "are"
        return (
            f"{workers.same_key} of {counted(limit, 'run')} with the concurrency key"
            f" {run.concurrency_key!r} {are} running"
        )
    if workers.busy >= workers.slots:
        others = counted(workers.busy, "other run")
        return f"the workers of the queue {run.queue!r} are busy with {others}"
    return "a worker is about to take it"


def _skipped(context: FireContext, run: ExplainedRun) -> str:
    if run.reason == "superseded":
        return "It was skipped: a newer fire took its place while it waited."
    policy = context.rules.policy.overlap_policy
    other = context.other
    if other is None:
        return f"It was skipped: another run had not ended (overlap_policy is {policy})."
    if other.started_at is None:
        course = f"queued since {stamp(context, other.created_at)}"
    elif other.finished_at is None:
        course = f"running since {stamp(context, other.started_at)}"
    else:
        start, end = stamp(context, other.started_at), stamp(context, other.finished_at)
        course = f"it ran from {start} to {end}"
    return f"It was skipped: run {other.id} had not ended, {course} (overlap_policy is {policy})."


def _missed(context: FireContext, run: ExplainedRun) -> str:
    policy = context.rules.policy
    scan = f"a scheduler looked only at {stamp(context, run.created_at)}"
    # A folded row stands for many fires: the lateness is that of the fire in question.
    fire_at = run.scheduled_for if context.fire is None else context.fire.at
    if fire_at is not None:
        scan += f", {span(run.created_at - fire_at)} after the fire"
    instead = ""
    if context.other is not None and context.other.scheduled_for is not None:
        instead = (
            f", that of {stamp(context, context.other.scheduled_for)} (run {context.other.id})"
        )
    match run.reason:
        case "scheduler_down":
            deadline = span(timedelta(seconds=policy.starting_deadline_seconds))
            why = f"no scheduler was running within its deadline of {deadline}; {scan}"
        case "deadline":
            deadline = span(timedelta(seconds=policy.starting_deadline_seconds))
            why = f"{scan}, later than the deadline of {deadline}, with nothing to be caught up"
        case "catchup_last":
            why = f"{scan}, and catchup_policy last runs only the newest fire{instead}"
        case "catchup_limit":
            most = counted(policy.catchup_max_runs, "fire")
            why = f"{scan}, and catchup_max_runs allows the newest {most} only"
        case "catchup_window":
            window = span(timedelta(seconds=policy.catchup_window_seconds))
            why = f"{scan}, and catchup_window_seconds reaches back {window} only"
        case "outage_folded":
            why = (
                f"{scan}; run {run.id} stands for {counted(run.fires, 'fire')} of that outage"
                if run.fires > 1
                else scan
            )
        case _:
            why = run.reason or scan
    return f"It was missed: {why}."


def _cancelled(context: FireContext, run: ExplainedRun) -> str:
    when = f" at {stamp(context, run.finished_at)}" if run.finished_at is not None else ""
    why = _cancelled_why(context, run)
    return f"Run {run.id} was cancelled{when}{why}, before it started."


def _cancelled_why(context: FireContext, run: ExplainedRun) -> str:
    """Return who or what cancelled a run, begun or not."""
    if run.reason == "superseded":
        policy = context.rules.policy.overlap_policy
        return f": a newer run took its place (overlap_policy is {policy})"
    return by(run.cancelled_by) + (
        " when the job was deleted" if run.reason == "job_deleted" else ""
    )


def _paused(context: FireContext, pause: Pause) -> str:
    who = by(pause.by) + (f" ({pause.reason.rstrip('.')})" if pause.reason else "")
    since = stamp(context, pause.since)
    if pause.planned_end is not None:
        end = stamp(context, pause.planned_end)
        return f"The job is paused since {since}{who}, until {end}: nothing fires until then."
    if pause.until is None:
        return f"The job is paused since {since}{who}: nothing fires until it is resumed."
    until = f"{stamp(context, pause.until)}{by(pause.resumed_by)}"
    return f"The job was paused from {since}{who} until {until}."


def _waits_for_start(context: FireContext, schedule: AnySchedule) -> bool:
    """Tell whether nothing but a start of jobs-app makes the job fire from now on."""
    is_now = context.day is None and context.instant == context.at
    return is_now and context.next is None and union.fires_on_start(schedule)


def _at_next_start(context: FireContext) -> tuple[Verdict, str]:
    if context.pause_now is not None:
        return Verdict.PAUSED, _paused(context, context.pause_now)
    if context.is_over:
        return Verdict.ENDED, "The job has ended."
    if context.rules.observes:
        text = "The next start of jobs-app will be observed, and nothing will run"
        return Verdict.OBSERVED, f"{text}: {watches(context)}."
    return Verdict.WILL_RUN, "It will run when jobs-app starts next."


def _not_a_fire(context: FireContext, schedule: AnySchedule) -> str:
    then = "" if context.rules.is_present else ", as it was then"
    if context.day is None:
        text = f"{stamp(context, context.instant)} is not a fire of the schedule{then}:"
    else:
        text = f"The schedule{then} has no fire on {context.day}:"
    text += f" {description.describe(schedule)}."
    around = []
    if context.previous is not None:
        around.append(f"before it, {stamp(context, context.previous.at)}")
    if context.next is not None:
        around.append(f"after it, {stamp(context, context.next.at)}")
    if around:
        fires = "fires are" if len(around) > 1 else "fire is"
        text += f" The nearest {fires} {', and '.join(around)}."
    return text + _by_hand(context)


def _by_hand(context: FireContext) -> str:
    run = context.by_hand
    if run is None:
        return ""
    when = stamp(context, run.created_at)
    return f" Run {run.id} was started by hand at {when}{by(run.triggered_by)}."


def _jitter(context: FireContext, fire: datetime) -> str:
    schedule = context.rules.schedule
    if schedule is None or not schedule.jitter_seconds:
        return ""
    return f", put off by its jitter to {stamp(context, union.due_at(schedule, fire))}"
