"""What the worker, the scheduler and the web server of `jobs-app up` share in memory.

The process that forks them imports this module before; `up` itself does not. Modules that only
the web server needs are missing: it imports them while the others start, and they share nothing.
"""

import celery.app.control
import celery.app.events
import celery.app.log
import celery.apps.beat
import celery.apps.worker
import celery.backends.base
import celery.concurrency.prefork
import celery.concurrency.thread
import celery.events.receiver
import celery.fixups.django
import celery.utils.debug
import celery.worker.autoscale
import celery.worker.components
import celery.worker.consumer
import celery.worker.consumer.delayed_delivery
import celery.worker.pidbox
import celery.worker.strategy  # noqa: F401 (they are only to be in memory)
from sqlalchemy.orm import configure_mappers

import jobs_app.cli.commands.processes
import jobs_app.notifications.sender
import jobs_app.scheduler.beat
import jobs_app.scheduler.main
import jobs_app.tasks.builtin.celery
import jobs_app.tasks.builtin.email
import jobs_app.tasks.builtin.http
import jobs_app.tasks.builtin.shell
import jobs_app.tasks.builtin.sleep
import jobs_app.tasks.command_supervisor
import jobs_app.worker.celery_hooks.pools
import jobs_app.worker.celery_hooks.strategy
import jobs_app.worker.main  # noqa: F401 (the same)

# Each process would do this at its first statement.
configure_mappers()
