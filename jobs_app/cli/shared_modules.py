"""What the worker, the scheduler and the web server of `jobs-app up` share in memory.

The process that forks them imports this module before; `up` itself does not.
"""

import celery.app.log
import celery.apps.beat
import celery.fixups.django  # noqa: F401 (they are only to be in memory)
from sqlalchemy.orm import configure_mappers

import jobs_app.cli.commands.processes
import jobs_app.notifications.sender
import jobs_app.scheduler.beat
import jobs_app.scheduler.main
import jobs_app.tasks.builtin.email
import jobs_app.tasks.builtin.http
import jobs_app.tasks.builtin.shell
import jobs_app.tasks.builtin.sleep
import jobs_app.tasks.command_supervisor
import jobs_app.web.server
import jobs_app.worker.main  # noqa: F401 (the same)

# Each process would do this at its first statement.
configure_mappers()
