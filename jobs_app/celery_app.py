"""Builds Celery from the settings, for `jobs-app worker` and `celery -A jobs_app.celery_app`."""

import os
import socket
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import click
from celery import Celery
from celery.loaders.app import AppLoader
from click.core import ParameterSource

from jobs_app.broker.gate import Gate
from jobs_app.broker.transport import own_pool
from jobs_app.core.own_files import open_data_dir
from jobs_app.core.process import protect_memory
from jobs_app.core.settings import Settings
from jobs_app.secrets.signing import Signer
from jobs_app.tasks import user_apps
from jobs_app.tasks.module_path import import_from_path

#: The task of every message: it claims a run and executes it.
RUN_TASK = "jobs_app.run"

#: Modules that a worker imports: the code that handles messages, and the built-in tasks.
WORKER_MODULES = ("jobs_app.worker.execution", "jobs_app.worker.celery_hooks.signals")
TASK_MODULES = (
    "jobs_app.tasks.builtin.shell",
    "jobs_app.tasks.builtin.http",
    "jobs_app.tasks.builtin.email",
    "jobs_app.tasks.builtin.sleep",
    "jobs_app.tasks.builtin.celery",
)

#: Our own pools by their names in the settings: with prefetch, and without.
POOLS = {
    "prefork": "jobs_app.worker.celery_hooks.pools:ProcessPool",
    "threads": "jobs_app.worker.celery_hooks.pools:ThreadPool",
}
PLAIN_POOLS = {"threads": "jobs_app.worker.celery_hooks.pools:StoppableThreadPool"}


def pool_name(settings: Settings) -> str:
    """Return the name by which Celery finds the pool of a worker with these settings."""
    pools = POOLS if settings.worker_prefetch else PLAIN_POOLS
    return pools.get(settings.worker_pool, settings.worker_pool)


def transport_options(settings: Settings) -> dict[str, Any]:
    """Return the options of every connection to the broker."""
    wire = {"socket_timeout": 10, "socket_connect_timeout": 5, "socket_keepalive": True}
    return {
        # Messages are acknowledged early, so the transport restores none; the rows do that.
        "visibility_timeout": 86_400,
        **wire,
        "health_check_interval": 10,
        "global_keyprefix": settings.redis_prefix,
        **settings.redis_address.celery_options(wire),
        **own_pool(),
    }


def redbeat_conf(settings: Settings) -> dict[str, Any]:
    """Return RedBeat's configuration: where its Redis is, its keys and its lock."""
    address = settings.redis_address
    wire: dict[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 2}
    if not address.is_socket:
        wire["socket_keepalive"] = True
    return {
        "redbeat_redis_url": address.redbeat_url,
        "redbeat_redis_use_ssl": address.tls or False,
        # Of processes other than the scheduler, which has a client of its own.
        "redbeat_redis_options": address.redbeat_options(wire),
        "redbeat_key_prefix": f"{settings.redis_prefix}redbeat:",
        "redbeat_lock_timeout": settings.scheduler_lock_seconds,
    }


class JobsLoader(AppLoader):
    """Imports the user's modules, and adopts the tasks of the Celery applications in them."""

    app: "JobsCelery"

    def import_from_cwd(
        self, module: str, imp: Any = None, package: str | None = None
    ) -> ModuleType:
        """Import a module; the working directory comes last, and for the user's modules only."""
        if module in self.app.settings.import_modules:
            return import_from_path(module, imp, package)
        return import_module(module, package)

    def read_configuration(self, env: str = "") -> dict[str, Any]:
        """Return no configuration: CELERY_CONFIG_MODULE is for other applications."""
        return {}

    def import_default_modules(self) -> list[ModuleType]:
        """Import our modules and the user's; those that cannot be imported are left out."""
        for name in (*WORKER_MODULES, *TASK_MODULES):
            self.import_task_module(name)
        # Finalize first, so that the user's modules cannot replace a task of ours.
        self.app.finalize()
        chosen_modules = [
            name for name in self.app.settings.import_modules if name in self.app.conf.imports
        ]
        # The jobs of a broken module fail; all others run.
        broken = user_apps.load_modules(self.app, chosen_modules, notes=self.app.settings.data_dir)
        self.app.conf.imports = tuple(name for name in self.app.conf.imports if name not in broken)
        modules: list[ModuleType] = super().import_default_modules()
        user_apps.register_user_tasks(self.app, chosen_modules, broken)
        return modules


class JobsCelery(Celery):
    """Celery whose workers run without its heartbeat, gossip and mingle.

    These send messages, also on a half-open connection ("no reply for 109 s"), and nothing
    here reads them: the database has the heartbeats. With JOBS_EVENTS monitors read them:
    Flower takes a worker without a heartbeat for dead.

    The settings alone say where Redis is. Celery would prefer CELERY_BROKER_URL and other
    variables of its own, which may be there for another application.
    """

    loader_cls = "jobs_app.celery_app:JobsLoader"
    amqp_cls = "jobs_app.broker.transport:SignedAMQP"
    backend_cls = "disabled"
    settings: Settings
    signer: Signer
    gate: Gate

    @property
    def _broker_url(self) -> str:
        return self.settings.redis_address.celery_url

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection for a consumer."""
        return super().connection_for_read(url or self._broker_url, **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection for a producer."""
        return super().connection_for_write(url or self._broker_url, **options)

    def connection(self, hostname: str | None = None, *args: Any, **options: Any) -> Any:
        """Return a connection for whatever a task does with it."""
        return super().connection(hostname or self._broker_url, *args, **options)

    broker_connection = connection

    def _leave_out(self, options: dict[str, Any]) -> dict[str, Any]:
        return options | {
            "without_heartbeat": not self.settings.events,
            "without_gossip": True,
            "without_mingle": True,
        }

    @property
    def Worker(self) -> Any:  # noqa: N802 (Celery's name)
        """Celery's worker class, without heartbeat, gossip and mingle, named by `worker_name`."""
        worker_class = super().Worker

        def make(*args: Any, **options: Any) -> Any:
            options = self._leave_out(options)
            # `celery worker` passes celery@HOST, the same for all workers of a machine.
            if not options.get("hostname") or _is_default_hostname():
                options["hostname"] = self.settings.worker_name or own_worker_name()
            return worker_class(*args, **options)

        return make


def own_worker_name() -> str:
    """Return the name of a worker in this process: celery@HOST-PID."""
    return f"celery@{socket.gethostname()}-{os.getpid()}"


def _is_default_hostname() -> bool:
    """Return True in a `celery worker` that was started without --hostname."""
    context = click.get_current_context(silent=True)
    source = context.get_parameter_source("hostname") if context else None
    return source is ParameterSource.DEFAULT


def make_celery(settings: Settings) -> JobsCelery:
    """Return the Celery application of an installation.

    The user's modules (JOBS_IMPORTS) and the built-in tasks are imported when it
    loads its default modules, not here.
    """
    # The loader by name: else CELERY_LOADER names another.
    app = JobsCelery("jobs_app", set_as_current=True, loader=JobsCelery.loader_cls)
    app.settings = settings
    app.signer = Signer(settings)
    app.gate = Gate(app.signer, ageless_task=RUN_TASK)
    app.conf.update(
        broker_url=settings.redis_address.celery_url,
        broker_use_ssl=settings.redis_address.tls or False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A server that became a replica refuses all writes: that is an outage too.
        broker_channel_error_retry=True,
        broker_transport_options=transport_options(settings),
        task_serializer="json",
        accept_content=["json"],
        # There is no result backend. If results were ignored, `result.get()` would return None.
        task_ignore_result=False,
        task_store_errors_even_if_ignored=False,
        task_publish_retry=False,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_default_queue="default",
        task_default_priority=5,
        worker_prefetch_multiplier=1,
        # With prefetch on, our own takes its place (worker/celery_hooks/prefetch.py).
        worker_disable_prefetch=not settings.worker_prefetch,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_enable_remote_control=settings.remote_control != "none",
        worker_send_task_events=settings.events,
        task_send_sent_event=settings.events,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_soft_shutdown_timeout=10.0,
        worker_concurrency=settings.worker_concurrency,
        worker_pool=settings.worker_pool,
        worker_autoscaler="jobs_app.worker.celery_hooks.autoscaler:IdleAutoscaler",
        imports=(*WORKER_MODULES, *TASK_MODULES, *settings.import_modules),
        beat_scheduler="jobs_app.scheduler.beat:JobsScheduler",
        **redbeat_conf(settings),
        timezone="UTC",
    )
    return app


def __getattr__(name: str) -> JobsCelery:
    """Build `app` when `celery -A jobs_app.celery_app` asks for it, not on import."""
    if name in {"app", "celery"}:
        protect_memory()
        settings = Settings()
        open_data_dir(settings.data_dir)
        globals()["app"] = globals()["celery"] = make_celery(settings)
        return cast(JobsCelery, globals()["app"])
    raise AttributeError(name)
