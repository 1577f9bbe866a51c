"""The policies of a job in words. Pure, no IO."""

from jobs_app.core.states import CatchupPolicy, OverlapPolicy
from jobs_app.core.text import counted
from jobs_app.jobs.document import Definition
from jobs_app.web.pages.zones import duration

OVERLAP = {
    OverlapPolicy.SKIP: "If the run before has not ended, a fire is skipped.",
    OverlapPolicy.BUFFER_ONE: "If the run before has not ended, one fire waits for it.",
    OverlapPolicy.BUFFER_ALL: "If the run before has not ended, all fires wait for it.",
    OverlapPolicy.CANCEL_OTHER: "If the run before has not ended, it is cancelled.",
    OverlapPolicy.TERMINATE_OTHER: "If the run before has not ended, it is killed.",
    OverlapPolicy.ALLOW_ALL: "Runs may overlap.",
}

#: The same for a start by hand, as answers to: if a run of it has not ended.
START_OVERLAP = {
    OverlapPolicy.SKIP: "start nothing",
    OverlapPolicy.BUFFER_ONE: "wait for it, unless another one waits",
    OverlapPolicy.BUFFER_ALL: "wait for it, and for those that wait",
    OverlapPolicy.CANCEL_OTHER: "cancel it, then start",
    OverlapPolicy.TERMINATE_OTHER: "kill it, then start",
    OverlapPolicy.ALLOW_ALL: "start beside it",
}

CATCHUP = {
    CatchupPolicy.NONE: "Later ones do not run.",
    CatchupPolicy.LAST: "Of later ones, the last one runs.",
    CatchupPolicy.ALL: "Of later ones, all run.",
}


def schedule_words(definition: Definition) -> list[str]:
    """Return what happens to fires that are late or overlap, and when the schedule ends."""
    if definition.schedule is None:
        return [OVERLAP[definition.fire_policy.overlap_policy]]
    policy = definition.fire_policy
    deadline = duration(policy.starting_deadline_seconds)
    words = [f"A fire counts as on time up to {deadline} late."]
    words.append(CATCHUP[policy.catchup_policy])
    words.append(OVERLAP[policy.overlap_policy])
    if definition.max_runs is not None:
        words.append(f"It ends after {counted(definition.max_runs, 'run')}.")
    if definition.pause_after_failures is not None:
        failures = counted(definition.pause_after_failures, "failure")
        words.append(f"It pauses itself after {failures} in a row.")
    return words


def facts(definition: Definition) -> dict[str, str]:
    """Return how runs of a job are carried out, each with its name."""
    limits = definition.limits
    retry = definition.retry
    shown = {
        "Queue": definition.queue,
        "Time limit": _limit(limits.time_limit_seconds),
        "Soft time limit": _limit(limits.soft_time_limit_seconds),
        "Attempts": str(retry.max_attempts) if retry.max_attempts > 1 else "1, no retries",
        "Priority": str(definition.priority),
    }
    if definition.concurrency_key is not None:
        limit = definition.concurrency_limit or 1
        shown["Concurrency key"] = f"{definition.concurrency_key}, {counted(limit, 'run')} at once"
    if definition.confirm:
        shown["Run now"] = "asks for its name"
    if definition.origin is not None:
        shown["Imported from"] = definition.origin
    if definition.notify is not None:
        shown["Notifies"] = ", ".join(rule.channel for rule in definition.notify) or "nobody"
    return shown


def _limit(seconds: int | None) -> str:
    return "none" if seconds is None else duration(seconds)
