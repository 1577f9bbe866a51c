"""Job states as APScheduler 3.11 pickled them, and the store that it made of some."""

import base64
import json
import sqlite3
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

_TABLES: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text())


def _state(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


#: A trigger in words, the state of a job with it, and its fires from 2026 on, as APScheduler
#: itself computed them.
TRIGGERS: list[tuple[str, bytes, list[datetime]]] = [
    (words, _state(state), [datetime.fromisoformat(fire) for fire in fires])
    for words, state, fires in _TABLES["triggers"]
]

#: Rows of the table: the id, the next run, the state of a job of the function shop_jobs:t.
ROWS: list[tuple[str, float | None, bytes]] = [
    (job_id, next_run, _state(state)) for job_id, next_run, state in _TABLES["store"]
]

#: As the store creates it.
TABLE = """
CREATE TABLE apscheduler_jobs (
    id VARCHAR(191) NOT NULL, next_run_time FLOAT, job_state BLOB NOT NULL, PRIMARY KEY (id))
"""


def make_store(path: Path) -> None:
    """Write the store, with its rows, to a file of SQLite."""
    connection = sqlite3.connect(path)
    connection.execute(TABLE)
    connection.executemany("INSERT INTO apscheduler_jobs VALUES (?, ?, ?)", ROWS)
    connection.commit()
    connection.close()
