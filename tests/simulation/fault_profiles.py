"""Fault profiles in which the guards are needed most: each makes one kind of race likely."""

from jobs_app.core.states import OverlapPolicy
from jobs_app.runs.retry import RetryPolicy
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules
from tests.simulation.stage import FaultRates
from tests.simulation.world import ANY_FAULT_PROFILE, FaultProfile

_PLAIN = {"pause_after_failures": None, "max_runs": None}
_RETRIED = RetryPolicy(max_attempts=3, delay_seconds=5, backoff="constant", jitter=False)
#: Jobs that only people start, with retries.
_BY_HAND = _PLAIN | {"schedule": None, "overlap_policy": OverlapPolicy.ALLOW_ALL, "retry": _RETRIED}
_WORKERS_CHORES = ("give_up_workers", "finish_orphans", "queue_retries", "resend")
_BY_CRON = {"cron": "* * * * *", "interval_seconds": None, "jitter_seconds": 0}

#: Workers freeze at work for longer than their leases, and messages come again.
FROST = FaultProfile(
    FaultRates(freeze=0.004, freeze_at_work=0.5, doubled=0.3),
    steps=450,
    names=("alpha",),
    schedulers=1,
    chores=_WORKERS_CHORES,
    idle_seconds=(2.0, 4.0),
    workers=2,
    slots=2,
    wishes=("start",),
    work_seconds=(0.0, 20.0, 60.0),
    says=_BY_HAND,
)

#: Two actors of each kind, which hardly ever have two turns in a row.
CROWD = FaultProfile(
    FaultRates(freeze=0.005),
    steps=250,
    names=("alpha", "beta"),
    schedulers=2,
    workers=2,
    wishes=("start", "start", "start_task", "cancel", "remove", "create"),
    says=_PLAIN | {"retry": _RETRIED},
)

#: Jobs fail and are paused for it, while people pause, resume and delete them.
FAILURE = FaultProfile(
    FaultRates(freeze=0.005),
    steps=500,
    names=("alpha", "beta"),
    schedulers=1,
    chores=("tick", "promote_waiting"),
    idle_seconds=(2.0, 4.0),
    workers=2,
    wishes=("start", "start", "start", "pause", "resume", "resume", "remove", "create"),
    people=2,
    rests=(0.0, 1.0, 5.0),
    work_seconds=(0.0, 0.0, 2.0, 10.0),
    says=_PLAIN
    | {
        "cron": None,
        "interval_seconds": 20,
        "jitter_seconds": 0,
        "pause_after_failures": 2,
        "overlap_policy": OverlapPolicy.ALLOW_ALL,
        "retry": RetryPolicy(),
    },
)

#: The same two jobs are changed over and over, by two people at once.
CHANGE = FaultProfile(
    FaultRates(freeze=0.005, jump=0.02, no_plan=0.05),
    steps=300,
    names=("alpha", "beta"),
    chores=("tick",),
    idle_seconds=(1.0, 4.0, 20.0),
    wishes=("start", "edit", "edit", "pause", "resume", "remove", "create"),
    people=2,
    rests=(0.0, 0.0, 2.0),
    says=_PLAIN | _BY_CRON,
)

#: Many runs share few slots, on workers that die and freeze, and all must get one.
KEYS = FaultProfile(
    FaultRates(freeze=0.01, freeze_at_work=0.05, crash=0.005, doubled=0.1, lost=0.1),
    steps=400,
    names=("alpha", "beta"),
    schedulers=2,
    workers=2,
    slots=3,
    wishes=("start", "start", "start_task", "start_task", "edit", "cancel"),
    work_seconds=(0.0, 2.0, 20.0),
    keys=(("key", 1), ("key", 2), ("other", 1)),
    says=_BY_HAND,
)

#: All actors use the one job at once: locks are needed, where the database has them.
RUSH = FaultProfile(
    FaultRates(freeze=0.01, lost=0.3),
    steps=200,
    names=("alpha",),
    schedulers=2,
    chores=("tick", "queue_retries", "resend", "promote_waiting"),
    idle_seconds=(0.2, 1.0),
    workers=2,
    wishes=("start", "start", "edit", "pause", "resume", "resume", "cancel"),
    people=2,
    rests=(0.0, 1.0, 5.0),
    work_seconds=(0.0, 2.0),
    says=_PLAIN
    | {"cron": None, "interval_seconds": 3, "jitter_seconds": 0}
    | {"retry": RetryPolicy(max_attempts=9, delay_seconds=0, backoff="constant", jitter=False)},
)

#: Messages are there when a worker has ended a run: it writes that end with the next claim.
BUSY = FaultProfile(
    FaultRates(
        crash=0.001,
        freeze=0.004,
        no_database=0.01,
        unanswered_commit=0.02,
        pool_crash=0.01,
        unseen=0.3,
        doubled=0.1,
        stay=0.9,
    ),
    steps=500,
    names=("alpha",),
    schedulers=1,
    chores=("tick", "resend", "queue_retries", "finish_orphans", "give_up_workers"),
    idle_seconds=(0.2, 1.0),
    workers=2,
    slots=2,
    wishes=("start", "start", "start_task"),
    people=2,
    rests=(0.0, 0.0, 0.0, 1.0),
    work_seconds=(0.0, 0.0, 0.0, 2.0),
    says=_BY_HAND,
)

#: Processes of a pool die, and their workers often do not see it.
UNSEEN = FaultProfile(
    FaultRates(freeze=0.002, no_database=0.01, pool_crash=0.03, unseen=0.7, doubled=0.1),
    steps=400,
    names=("alpha",),
    schedulers=1,
    chores=_WORKERS_CHORES,
    idle_seconds=(2.0, 4.0),
    workers=2,
    slots=2,
    pools=("prefork",),
    wishes=("start",),
    rests=(1.0, 5.0, 20.0),
    work_seconds=(0.0, 20.0, 60.0),
    says=_BY_HAND,
)

#: Each job has three schedules, which share some of their fires.
SEVERAL = FaultProfile(
    says={
        "schedule": Schedules(
            (
                Schedule(interval_seconds=20),
                Schedule(cron="* * * * *"),
                Schedule(interval_seconds=30, jitter_seconds=5),
            )
        )
    }
)

#: By their names in the table of kills.
FAULT_PROFILES = {
    "any": ANY_FAULT_PROFILE,
    "rush": RUSH,
    "failure": FAILURE,
    "change": CHANGE,
    "crowd": CROWD,
    "keys": KEYS,
    "frost": FROST,
    "busy": BUSY,
    "unseen": UNSEEN,
}

#: Everything may happen, and a channel gets every event.
NOTIFIED = FaultProfile(has_channel=True)
