"""The command `jobs-app`, and the first lines of each process that `jobs-app up` starts."""

import gc
import os
import sys
from typing import Any

from jobs_app.core.process import protect_memory

#: Commands that start processes which get secrets.
FORKING = frozenset({"up", "worker", "scheduler"})


def main() -> None:
    """Run the command line and exit with one of the documented codes."""
    protect_memory()
    if sys.argv[1:2] == ["up"]:
        _import_supervisor()
    _start_fork_server(sys.argv[1:2])
    from jobs_app.cli import main as run_command_line

    run_command_line()


def run_process(
    name: str, output: int, death_pipe: int, secrets: int, server: int | None = None
) -> None:
    """Run `jobs-app NAME` in this process, which `up` had forked; see `up.programs`.

    *server* is its connection to the fork server that `up` has lent it.
    """
    _write_to(output)
    sys.argv = ["jobs-app", name]
    if server is not None:
        from jobs_app.core import fork_server

        fork_server.use(server)
    _receive(death_pipe, secrets)
    from jobs_app.cli import main as run_command_line

    run_command_line()


def check_imports(output: int, death_pipe: int, secrets: int) -> None:
    """Import the user's modules in this process, which `up --reload` had forked."""
    _write_to(output)
    _receive(death_pipe, secrets)
    from jobs_app.up.import_check import main as check
    from jobs_app.up.parent_death import die_with_parent

    die_with_parent()
    sys.exit(check())


def prepare_database(
    with_demo: str, output: int, death_pipe: int, secrets: int, answer: int
) -> None:
    """Prepare the database in this process, which `up` had forked; see `up.preparation`."""
    _write_to(output)
    _receive(death_pipe, secrets)
    from jobs_app.up.database import prepare_and_answer
    from jobs_app.up.parent_death import die_with_parent

    die_with_parent()
    prepare_and_answer(answer, with_demo=with_demo == str(True))


def _receive(death_pipe: int, secrets: int) -> None:
    """Take over what `up` hands to its processes."""
    from jobs_app.core import handed_settings
    from jobs_app.up.parent_death import DEATH_PIPE_VARIABLE

    os.environ[DEATH_PIPE_VARIABLE] = str(death_pipe)
    handed_settings.receive(secrets)


def _write_to(output: int) -> None:
    """Make the pipe *output* the standard output and the standard error of this process.

    With new streams: those of `up`, which this process was forked with, remember what theirs
    are. Of a file they know that it can seek, and `io.TextIOWrapper(sys.stdout.buffer)` fails.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(output, number)
        old = getattr(sys, name)
        stream: Any = open(  # noqa: SIM115  # for the whole life of the process
            number, "w", buffering=1, encoding=old.encoding, errors=old.errors, closefd=False
        )
        stream.buffer.raw.name = f"<{name}>"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.close(output)


def _import_supervisor() -> None:
    """Import what `up` needs before it forks: these modules are in memory once for all processes.

    None of them reads a secret, or starts a thread, at its import.
    """
    gc.disable()
    import jobs_app.cli.commands.processes
    import jobs_app.up.command  # noqa: F401 (it is only to be in memory)

    # Whatever the garbage collector of a process touches is no longer shared.
    gc.freeze()
    gc.enable()


def _start_fork_server(command: list[str]) -> None:
    if not FORKING.intersection(command):
        return
    from jobs_app.core import fork_server

    if (call := fork_server.start()) is not None:
        # This is a process that the server has forked.
        sys.exit(call())


if __name__ == "__main__":
    main()
