"""`jobs-app up`: everything on one machine, in one data directory, under one supervisor.

What the processes print goes to standard error, each line with its process's
name before it, as much as JOBS_LOG_LEVEL asks for. There are no log files of
our own: a terminal, systemd or a container keeps what is printed, and rotates it.
"""

import contextlib
import errno
import fcntl
import http.client
import ipaddress
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib.machinery import PathFinder
from pathlib import Path

from jobs_app import __version__
from jobs_app.core import clock
from jobs_app.core.errors import ConfigurationError, Conflict, JobsError, Unavailable
from jobs_app.core.settings import Settings
from jobs_app.core.text import closest
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.supervisor import (
    ChildProcess,
    Signals,
    StopSignal,
    Supervisor,
    ValkeyProgram,
    announce,
)
from jobs_app.up.valkey import EmbeddedValkey, password_of, write_private

# Started, and asked to stop, in this order: the time that runs under way have to end begins
# at once, whatever the others are busy with.
PROCESSES = ("worker", "scheduler", "web")
# With what follows, all of it ends within thirteen seconds or so.
GRACE_SECONDS = 8
STOP_SIGNALS: Mapping[str, Sequence[StopSignal]] = {
    # TERM lets runs end. QUIT gives them a second grace, which another QUIT cuts
    # short: they are stopped then, and recorded as such. An idle worker sometimes
    # hears none of it. Two in one instant would count as one.
    "worker": (
        StopSignal(signal.SIGTERM, GRACE_SECONDS),
        StopSignal(signal.SIGQUIT, 0.3),
        # A command has two of them; then the worker writes down that it was stopped, and goes.
        StopSignal(signal.SIGQUIT, 5),
    ),
    "scheduler": (StopSignal(signal.SIGTERM, 3),),
    "web": (StopSignal(signal.SIGTERM, 3),),
}
LOCK_NAME = "up.lock"
# Variables of the command line and of ./run.
NO_SETTINGS = frozenset({"JOBS_URL", "JOBS_TOKEN", "JOBS_PYTHON"})
# Settings that are secrets.
HELD_BACK = frozenset({"redis_url", "database_url", "secret_key"})
READY_SECONDS = 60.0
# A predecessor that was killed takes its children along, but not in the same instant.
PORT_SECONDS = 1.0

Commands = Mapping[str, Sequence[str]]


def up(settings: Settings, *, demo: bool, commands: Commands | None = None) -> int:
    """Run everything until Ctrl-C or SIGTERM; return the exit code for the shell.

    With *demo*, add the demo jobs and open the two demo routes on loopback.
    *commands* replaces the commands of the processes (`worker`, `scheduler`,
    `web`). Raises ConfigurationError for a setting that cannot work.
    """
    try:
        with ExitStack() as stack:
            # Databases, sockets and tokens are their owner's alone.
            stack.callback(os.umask, os.umask(0o077))
            _own_directory(settings.data_dir)
            stack.enter_context(_locked(settings.data_dir))
            settings = settings.model_copy(update={"port": _checked_port(settings)})
            _check_imports(settings)
            _point_out_typos(os.environ)
            return _supervise(settings, stack, demo=demo, commands=commands or _own_commands())
    except ConfigurationError:
        raise
    except JobsError as error:
        announce(error.detail)
        return 1


def _supervise(settings: Settings, stack: ExitStack, *, demo: bool, commands: Commands) -> int:
    death_pipe = ParentDeathPipe()
    stack.callback(death_pipe.close)
    signals = stack.enter_context(Signals())
    supervisor = Supervisor(signals)
    stack.callback(supervisor.stop)
    if settings.redis_url is None:
        supervisor.start(_embedded_valkey(settings, death_pipe), is_needed_to_the_end=True)
    _prepare_database(settings, demo=demo)
    demo_open = demo and _is_loopback(settings.host)
    environment = _environment(settings, demo_open=demo_open)
    for name, command in commands.items():
        supervisor.start(ChildProcess(name, command, death_pipe, STOP_SIGNALS[name], environment))
    if not _wait_until_ready(settings, supervisor, signals):
        return 0
    _print_banner(settings)
    if demo:
        _print_demo(settings, is_open=demo_open)
    supervisor.run()
    announce(
        f"stopping; runs under way have {GRACE_SECONDS} s to end, then they are ended; "
        "Ctrl-C again ends them now"
    )
    return 0


def _prepare_database(settings: Settings, *, demo: bool) -> None:
    """Bring the schema up to date, and see to the key, the admin's token and the demo's jobs."""
    # Imported late, for these take a second or two: a second `up` is to be refused
    # at once, and the demo is rarely asked for.
    from jobs_app.accounts.tokens import ensure_admin_token  # noqa: PLC0415
    from jobs_app.db.migrations import migrate  # noqa: PLC0415
    from jobs_app.secrets.encryption import load_cipher  # noqa: PLC0415

    load_cipher(settings, makes_key=True)
    migrate(settings)
    ensure_admin_token(settings)
    if demo:
        from jobs_app.up.demo import add  # noqa: PLC0415

        names = add(settings, at=clock.now())
        announce(f"for the demo there are the jobs {', '.join(names)}")


def _own_directory(directory: Path) -> None:
    """Make the data directory its owner's alone; raises ConfigurationError if that fails.

    A directory that others had files in before us keeps its mode: it may be
    somebody's home.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = {path.name for path in directory.iterdir()}
        if not names or LOCK_NAME in names:
            directory.chmod(0o700)
        elif directory.stat().st_mode & 0o022:
            raise ConfigurationError(
                f"JOBS_DATA_DIR {directory} can be written by other users: "
                "choose a directory of its own."
            )
    except OSError as error:
        raise ConfigurationError(
            f"JOBS_DATA_DIR {directory} cannot be used: {error.strerror}."
        ) from error


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the data directory; raises Conflict, with the process that has it, if it is held."""
    with (directory / LOCK_NAME).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise Conflict(
                f"jobs-app already runs on {directory}, as process {lock.read().strip()}: "
                "stop it first, or choose another directory with JOBS_DATA_DIR."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _check_imports(settings: Settings) -> None:
    """Raise ConfigurationError for a module of JOBS_IMPORTS that is nowhere to be found.

    Looks where the processes will: in the present directory, then where Python
    does. Imports nothing, so one that fails when it is imported passes.
    """
    for module in settings.import_modules:
        package = module.partition(".")[0]
        places = [os.getcwd(), *sys.path]
        if package not in sys.modules and PathFinder.find_spec(package, places) is None:
            raise ConfigurationError(
                f"JOBS_IMPORTS: there is no module {package!r}, neither in {os.getcwd()} nor where "
                "Python looks; start jobs-app in the directory that has it, or set PYTHONPATH."
            )


def _point_out_typos(environment: Mapping[str, str]) -> None:
    """Announce variables that look like settings and are none."""
    known = {f"JOBS_{name.upper()}" for name in Settings.model_fields}
    for name in sorted(environment):
        if name.startswith("JOBS_") and name not in known | NO_SETTINGS:
            suggestion = closest(name, known, cutoff=0.8)
            if suggestion is not None:
                announce(f"{name} is no setting and is ignored; did you mean {suggestion}?")


def _checked_port(settings: Settings) -> int:
    """Return the port of the web server, a free one for 0.

    Raises Conflict if somebody listens there, ConfigurationError if nobody can.
    """
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            return _bind(settings.host, settings.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(
                    f"JOBS_HOST {settings.host}, JOBS_PORT {settings.port}: "
                    f"nobody can listen there ({error.strerror})."
                ) from error
            if time.monotonic() > deadline:
                raise Conflict(
                    f"Port {settings.port} on {settings.host} is taken: stop what listens there, "
                    "or choose another with JOBS_PORT or --port."
                ) from error
        time.sleep(0.05)


def _bind(host: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As the web server does: connections that are ending do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()
        bound: int = probe.getsockname()[1]
        return bound


def _embedded_valkey(settings: Settings, death_pipe: ParentDeathPipe) -> ValkeyProgram:
    server = EmbeddedValkey(
        settings.data_dir / "valkey",
        socket_path=settings.data_dir.absolute() / "valkey.sock",
        password=password_of(settings.redis_url_file),
    )
    write_private(settings.redis_url_file, server.url + "\n")
    return ValkeyProgram(server, death_pipe)


def _own_commands() -> Commands:
    return {name: (sys.executable, "-m", "jobs_app", name) for name in PROCESSES}


def _environment(settings: Settings, *, demo_open: bool) -> dict[str, str]:
    """Return what the children's settings need to be ours.

    The key and the two addresses that hold passwords are left out: they reach the children
    as they reached us, or by the file in the data directory.
    """
    ours = settings.model_copy(update={"demo_open": settings.demo_open or demo_open})
    chosen = ours.model_fields_set | {"data_dir", "port", "demo_open"}
    values = ours.model_dump(mode="json", include=chosen - HELD_BACK)
    return {f"JOBS_{name.upper()}": str(value) for name, value in values.items()}


def _wait_until_ready(settings: Settings, supervisor: Supervisor, signals: Signals) -> bool:
    """Return True once the web server says that it is ready, False if we are to end before.

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
    """Return "ready", or why not."""
    connection = http.client.HTTPConnection(_reachable(settings.host), settings.port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()
    return "ready" if status == http.client.OK else f"/readyz answers {status}"


def _reachable(host: str) -> str:
    """Return where to connect to a server that listens on *host*."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(settings: Settings) -> str:
    host = _reachable(settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _print_banner(settings: Settings) -> None:
    token = shlex.quote(str(settings.admin_token_file))
    _print(f"""
jobs-app {__version__} is running; Ctrl-C stops it.

  address  {_address(settings)}
  API      {_address(settings)}/api/docs
  data     {settings.data_dir}
  token    {settings.admin_token_file}

To sign in, send the token; the command line finds it by itself:

  {_command_line(settings)} job list
  curl -H "Authorization: Bearer $(cat {token})" {_address(settings)}/api/v1/jobs
""")


def _print_demo(settings: Settings, *, is_open: bool) -> None:
    if is_open:
        _print(f"""Two routes, and no others, are open without a token, on this machine only:

  curl -H 'Content-Type: application/json' -d '{{"duration": 10}}' {_address(settings)}/start-task
  curl {_address(settings)}/task-status/TASK_ID
""")
    else:
        _print(f"Every route wants a token, because {settings.host} is not loopback.\n")


def _command_line(settings: Settings) -> str:
    """Return how a person in another terminal calls `jobs-app` for this very server."""
    usual = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in Settings.model_fields.items()
    }
    words = [
        f"JOBS_{name.upper()}={shlex.quote(str(getattr(settings, name)))}"
        for name in ("data_dir", "port")
        if getattr(settings, name) != usual[name]
    ]
    beside = Path(sys.executable).with_name("jobs-app")
    if shutil.which("jobs-app"):
        words.append("jobs-app")
    elif beside.exists():
        words.append(shlex.quote(str(beside)))
    else:
        words += [shlex.quote(sys.executable), "-m", "jobs_app"]
    return " ".join(words)


def _print(text: str) -> None:
    # `jobs-app up | head` must not stop the server.
    with contextlib.suppress(OSError):
        print(text, flush=True)
