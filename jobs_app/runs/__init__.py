"""What happens to runs: the only package that writes a run's state.

Each move is one conditional UPDATE whose row count is read. Losing is normal: the run
was cancelled, the message came twice, or the worker was given up in the meantime.
"""

from jobs_app.runs.attempts import (
    Claimed,
    Outcome,
    claim,
    claim_plain,
    finish,
    finish_plain,
    queue_due_retries,
    reclaim,
    report_progress,
)
from jobs_app.runs.births import (
    Births,
    Draft,
    among,
    array,
    draft,
    first_messages,
    insert_births,
    insert_drafts,
    stored,
)
from jobs_app.runs.concurrency import MOST_PLACES, hand_over, keys_with_room
from jobs_app.runs.dead import end_dead, orphans
from jobs_app.runs.ends import (
    CancelRequest,
    cancel,
    cancel_requests,
    cancel_unstarted,
    purge,
    running_at,
)
from jobs_app.runs.forgotten import (
    NO_JOB,
    Logged,
    Span,
    count_of,
    forget,
    forget_logs,
    forgotten_until,
    logged,
    newest,
    nth_oldest,
    spans,
)
from jobs_app.runs.outbox import (
    KEEPS_OWN_LIMITS,
    hurry,
    send_soon,
    take_unsent,
    unsent_by_queue,
)
from jobs_app.runs.places import give_way, promotable_jobs, promote
from jobs_app.runs.succession import end_and_claim

__all__ = [
    "KEEPS_OWN_LIMITS",
    "MOST_PLACES",
    "NO_JOB",
    "Births",
    "CancelRequest",
    "Claimed",
    "Draft",
    "Logged",
    "Outcome",
    "Span",
    "among",
    "array",
    "cancel",
    "cancel_requests",
    "cancel_unstarted",
    "claim",
    "claim_plain",
    "count_of",
    "draft",
    "end_and_claim",
    "end_dead",
    "finish",
    "finish_plain",
    "first_messages",
    "forget",
    "forget_logs",
    "forgotten_until",
    "give_way",
    "hand_over",
    "hurry",
    "insert_births",
    "insert_drafts",
    "keys_with_room",
    "logged",
    "newest",
    "nth_oldest",
    "orphans",
    "promotable_jobs",
    "promote",
    "purge",
    "queue_due_retries",
    "reclaim",
    "report_progress",
    "running_at",
    "send_soon",
    "spans",
    "stored",
    "take_unsent",
    "unsent_by_queue",
]
