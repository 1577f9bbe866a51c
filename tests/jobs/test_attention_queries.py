"""The statements behind the list of what needs a person read no history."""

import re

from jobs_app.db.engine import Database
from jobs_app.jobs import attention_installation, attention_queries
from tests.factories import DAY, NOON
from tests.plans import plans
from tests.profiles import sqlite_nightly


@sqlite_nightly
def test_no_statement_reads_the_whole_history(long_history: Database) -> None:
    looks = {
        "jobs": lambda session: attention_queries.jobs(session, at=NOON, paused_before=NOON - DAY),
        "installation": lambda session: attention_installation.installation(session, at=NOON),
        "running": attention_queries.running_with_past,
    }

    for name, look in looks.items():
        plan = plans(long_history, look)
        assert not re.search(r"Seq Scan on runs|SCAN runs(?! USING)", plan), f"{name}: {plan}"
        if name in {"jobs", "running"}:
            assert "ix_runs_outcome" in plan, f"{name}: {plan}"
