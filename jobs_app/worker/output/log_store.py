"""Stores a run's output in the database: the store behind `RunLog`."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects import postgresql, sqlite

from jobs_app.db.engine import Database
from jobs_app.db.models.runs import LogChunk, Run
from jobs_app.worker.output.run_log import Flush


class SqlChunkStore:
    """The chunks of one attempt, in the table `run_logs`."""

    def __init__(self, database: Database, run_id: UUID, attempt: int) -> None:
        self._database = database
        self._run_id = run_id
        self._attempt = attempt

    def apply(self, flush: Flush) -> None:
        """Delete the chunks to cut and insert the new ones, in one transaction.

        Idempotent. Raises the errors of the database.
        """
        with self._database.session() as session, session.begin():
            dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
            if flush.delete_through >= flush.delete_from:
                cut = LogChunk.seq.between(flush.delete_from, flush.delete_through)
                session.execute(delete(LogChunk).where(*self._of_this_attempt(), cut))
            if flush.chunks:
                rows = [self._row(chunk) for chunk in flush.chunks]
                session.execute(dialect.insert(LogChunk).on_conflict_do_nothing(), rows)
            session.execute(
                update(Run)
                .where(Run.id == self._run_id, Run.attempt == self._attempt)
                .values(log_bytes=flush.total_bytes, log_truncated=flush.cut_bytes > 0)
            )

    def _of_this_attempt(self) -> tuple[Any, ...]:
        return (LogChunk.run_id == self._run_id, LogChunk.attempt == self._attempt)

    def _row(self, chunk: Any) -> dict[str, Any]:
        return {
            "run_id": self._run_id,
            "attempt": self._attempt,
            "seq": chunk.seq,
            "stream": chunk.stream,
            "at": chunk.at,
            "text": chunk.text,
            "lengths": chunk.lengths,
        }
