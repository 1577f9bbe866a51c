"""`jobs-app up`: everything on one machine, in one data directory, under one supervisor.

The output of the processes goes to standard error, each line with the name of
its process before it; JOBS_LOG_LEVEL sets how much. There are no log files of
our own: a terminal, systemd or a container keeps the output and rotates it.
"""

import http.client
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from jobs_app.core import start_id
from jobs_app.core.errors import ConfigurationError, JobsError, Unavailable
from jobs_app.core.exposure import check_host, is_loopback
from jobs_app.core.fork_server import share, unshare
from jobs_app.core.own_files import open_data_dir
from jobs_app.core.settings import Settings
from jobs_app.core.web_address import connect_host, link_address
from jobs_app.schedules.machine_zone import machine_zone
from jobs_app.tasks.command_access import check_default_account
from jobs_app.tasks.command_account import root_warning
from jobs_app.tasks.module_path import check_modules
from jobs_app.up import checks
from jobs_app.up.banner import print_banner, print_demo
from jobs_app.up.browser import open_browser
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.preparation import prepare_database
from jobs_app.up.programs import ChildProcess, StopSignal, ValkeyProgram, announce, announce_as_json
from jobs_app.up.reload import LOOK_SECONDS, Reloader
from jobs_app.up.source_files import SourceFiles
from jobs_app.up.supervisor import Signals, Supervisor
from jobs_app.up.valkey import EmbeddedValkey, is_short_enough, password_of, write_private
from jobs_app.up.worker_pool import pool_settings

# The order of start and of stop: the worker's grace begins at once, however long the
# others take.
PROCESSES = ("worker", "scheduler", "web")
# With the signals after it, everything ends within about 13 seconds; docs/maintenance.md says so.
GRACE_SECONDS = 8
STOP_SIGNALS: Mapping[str, Sequence[StopSignal]] = {
    # TERM lets runs end. The first QUIT gives them a second grace; the second QUIT cuts it
    # short, and the runs are stopped and recorded so. An idle worker sometimes misses a
    # QUIT. The 0.3 s between them keep two signals from counting as one.
    "worker": (
        StopSignal(signal.SIGTERM, GRACE_SECONDS),
        StopSignal(signal.SIGQUIT, 0.3),
        # A command has two seconds to end; then the worker records that it was stopped.
        StopSignal(signal.SIGQUIT, 5),
    ),
    "scheduler": (StopSignal(signal.SIGTERM, 3),),
    "web": (StopSignal(signal.SIGTERM, 3),),
}
READY_SECONDS = 60.0
#: What the processes import: once for all, before they are forked.
SHARED_MODULES = ("jobs_app.cli.shared_modules",)

#: The function that each process calls (`programs.ChildProcess`), its arguments, and whether it
#: forks processes.
Calls = Mapping[str, tuple[str, Sequence[str], bool]]
OWN_CALLS: Calls = {
    name: ("jobs_app.__main__:run_process", (name,), name != "web") for name in PROCESSES
}
#: The function that imports the user's modules to try them.
CHECK_CALL = "jobs_app.__main__:check_imports"


def up(
    settings: Settings,
    *,
    demo: bool,
    opens_browser: bool = False,
    reloads: bool = False,
    calls: Calls = OWN_CALLS,
    shared_modules: Sequence[str] = SHARED_MODULES,
) -> int:
    """Run everything until Ctrl-C or SIGTERM; return the exit code for the shell.

    With *demo*, add the demo jobs and open the two demo routes on loopback. With
    *opens_browser*, show the first page. With *reloads*, start the processes anew when the
    user's code changes. *calls* are the processes to start, *shared_modules* what they share
    in memory. Raises ConfigurationError, and Unavailable if the database does not answer.
    """
    try:
        with ExitStack() as stack:
            if settings.logs_json:
                announce_as_json()
            check_host(settings)
            checks.make_private(settings.data_dir)
            open_data_dir(settings.data_dir)
            stack.enter_context(checks.lock(settings.data_dir))
            settings = in_machine_zone(settings)
            settings = settings.model_copy(update={"port": checks.checked_port(settings)})
            check_modules(settings.import_modules)
            files = _source_files(settings) if reloads else None
            checks.warn_of_typos(os.environ)
            check_default_account(settings)
            if text := root_warning(settings):
                announce(f"warning: {text}, or use an account of its own")
            demo_open = demo and is_loopback(settings.host)
            environment = _environment(settings, demo_open=demo_open)
            # Valkey starts while they are imported.
            share(shared_modules, environment)
            return _supervise(
                settings,
                environment,
                stack,
                demo=demo,
                opens_browser=opens_browser,
                files=files,
                calls=calls,
            )
    except (ConfigurationError, Unavailable):
        raise
    except JobsError as error:
        announce(error.detail)
        return 1


def in_machine_zone(settings: Settings) -> Settings:
    """Return *settings* with the time zone of this machine, unless they name one.

    `up` takes the place of this machine's cron. The processes of one installation that run on
    several machines need the same zone: theirs is UTC until JOBS_TIMEZONE says otherwise.
    """
    if "timezone" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"timezone": machine_zone() or settings.timezone})


def _source_files(settings: Settings) -> SourceFiles:
    if not settings.import_modules:
        raise ConfigurationError("--reload: JOBS_IMPORTS names no module whose code could change.")
    return SourceFiles(settings.import_modules)


def _supervise(
    settings: Settings,
    environment: Mapping[str, str],
    stack: ExitStack,
    *,
    demo: bool,
    opens_browser: bool,
    files: SourceFiles | None,
    calls: Calls,
) -> int:
    death_pipe = ParentDeathPipe()
    stack.callback(death_pipe.close)
    signals = stack.enter_context(Signals())
    supervisor = Supervisor(signals)
    stack.callback(supervisor.stop)
    if settings.redis_url is None:
        supervisor.start(_embedded_valkey(settings, death_pipe), stops_last=True)
    secrets = _secrets(settings)
    prepared = prepare_database(environment, secrets, death_pipe, with_demo=demo)
    if prepared.demo_jobs:
        announce(f"for the demo there are the jobs {', '.join(prepared.demo_jobs)}")
    for name, (target, arguments, forks) in calls.items():
        common = (death_pipe, STOP_SIGNALS[name], environment, secrets)
        supervisor.start(ChildProcess(name, target, arguments, *common, forks=forks))
    if not _wait_until_ready(settings, supervisor, signals):
        return 0
    if files is None:
        # With --reload they are soon needed again.
        unshare()
    link = None if prepared.key is None else link_address(settings, prepared.key)
    print_banner(settings, link=link)
    if opens_browser:
        open_browser(settings, link)
    if demo:
        print_demo(settings, is_open=is_loopback(settings.host))
    if files is None:
        supervisor.run()
    else:
        check = ChildProcess("reload", CHECK_CALL, (), death_pipe, (), environment, secrets)
        _run_reloading(supervisor, signals, files, check)
    announce(
        f"stopping; runs under way have {GRACE_SECONDS} s to end, then they are ended; "
        "Ctrl-C again ends them now"
    )
    return 0


def _run_reloading(
    supervisor: Supervisor, signals: Signals, files: SourceFiles, check: ChildProcess
) -> None:
    """Keep the programs running until a stop is requested, and follow changes of the code."""
    beside = ("worker", "scheduler")
    reloader = Reloader(files, supervisor, check.successor, beside=beside, after=("web",))
    look_at = time.monotonic()
    while signals.stop_requests == 0:
        # The end of a process wakes it earlier.
        supervisor.look_after(longest_seconds=max(0.0, look_at - time.monotonic()))
        if time.monotonic() >= look_at:
            reloader.look()
            look_at = time.monotonic() + LOOK_SECONDS
    reloader.close()


def _embedded_valkey(settings: Settings, death_pipe: ParentDeathPipe) -> ValkeyProgram:
    socket_path = settings.data_dir.absolute() / "valkey.sock"
    fits = is_short_enough(socket_path)
    server = EmbeddedValkey(
        settings.data_dir / "valkey",
        socket_path=socket_path,
        # On TCP the port changes at each start too: nobody can reconnect with the old password.
        password=password_of(settings.redis_url_file) if fits else None,
    )
    if not fits:
        announce(
            f"warning: the path {socket_path} is too long for a socket, so Valkey listens on "
            f"127.0.0.1:{server.port}, where all users of this machine can reach it; its password "
            "is new at each start. A shorter JOBS_DATA_DIR has a socket for this user only"
        )
    write_private(settings.redis_url_file, server.url + "\n")
    return ValkeyProgram(server, death_pipe)


def _environment(settings: Settings, *, demo_open: bool) -> dict[str, str]:
    """Return the environment that gives the processes the same settings, but for the secrets.

    The other variables are there for the user's tasks, and the id of this start for the scheduler.
    """
    own = {"demo_open": settings.demo_open or demo_open} | pool_settings(settings)
    shared = settings.model_copy(update=own)
    secret = settings.secret_fields()
    names = shared.model_fields_set | {"data_dir", "port"} | own.keys()
    values = shared.model_dump(mode="json", include=names - secret)
    variables = {f"JOBS_{name.upper()}": str(value) for name, value in values.items()}
    hidden = {f"JOBS_{name.upper()}" for name in secret} | {"JOBS_TOKEN"}
    others = {name: os.environ[name] for name in os.environ if name.upper() not in hidden}
    return others | variables | start_id.new()


def _secrets(settings: Settings) -> dict[str, str]:
    """Return the settings that reach the processes through a pipe, by field."""
    fields = set(settings.secret_fields())
    return settings.model_dump(mode="json", include=fields, exclude_none=True)


def _wait_until_ready(settings: Settings, supervisor: Supervisor, signals: Signals) -> bool:
    """Return True once the web server is ready, False if a stop was requested before.

    Raises Unavailable after READY_SECONDS.
    """
    deadline = time.monotonic() + READY_SECONDS
    while signals.stop_requests == 0:
        answer = _readiness(settings)
        if answer == "ready":
            return True
        if time.monotonic() > deadline:
            raise Unavailable(f"The web server was not ready after {READY_SECONDS:g} s: {answer}.")
        supervisor.look_after(longest_seconds=0.1)
    return False


def _readiness(settings: Settings) -> str:
    """Return "ready", or the reason why not."""
    connection = http.client.HTTPConnection(connect_host(settings.host), settings.port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()
    return "ready" if status == http.client.OK else f"/readyz answers {status}"
