"""The facts of the installation, read in one statement."""

from datetime import timedelta

import pytest

from jobs_app.db.engine import Database
from jobs_app.db.models.processes import Acknowledgement
from jobs_app.jobs import attention_installation
from jobs_app.jobs.attention_installation import installation
from tests.factories import NOON, make_job, make_worker


def test_the_newest_acknowledgements_come_with_the_queues(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_installation, "MOST_ACKNOWLEDGEMENTS", 2)
    make_worker(database)
    make_job(database, queue="slow")
    with database.session() as session:
        for number in range(3):
            at = NOON + timedelta(seconds=number)
            session.add(Acknowledgement(line=f"line{number}", actor="ana", at=at, note=None))
        session.commit()

        facts = installation(session, at=NOON)

    assert facts.unserved == {"slow": 1}
    assert set(facts.acknowledgements) == {"line1", "line2"}
    assert facts.acknowledgements["line2"].at == NOON + timedelta(seconds=2)
