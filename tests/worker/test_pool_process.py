"""What a pool process has: enough connections for all that it runs at once."""

from contextlib import ExitStack

from sqlalchemy import event, text

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.worker.pool_process import Process

THREADS = 12


def test_among_threads_no_run_opens_a_connection_anew(database_url: str) -> None:
    settings = Settings(
        database_url=database_url,
        redis_url="redis://127.0.0.1:1/0",
        worker_pool="threads",
        worker_concurrency=THREADS,
    )
    process = Process(make_celery(settings), settings, "worker@test", is_prefork=False)
    opened: list[object] = []
    event.listen(process.database.engine, "connect", lambda *given: opened.append(given))

    for _ in range(3):
        with ExitStack() as lent:
            for _ in range(THREADS):
                connection = lent.enter_context(process.database.reading())
                connection.execute(text("SELECT 1"))

    # The first connection of all is the dialect's own look at the server.
    assert len(opened) in {THREADS, THREADS + 1}
    process.database.close()
