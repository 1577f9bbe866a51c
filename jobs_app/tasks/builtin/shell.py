"""The task `shell`: runs a command as cron does, and ends all its processes with the run."""

import os
import pwd
import re
import signal
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any

from celery import shared_task
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from jobs_app.core.command_limits import Limits, Numbers, limits_sentence, together
from jobs_app.core.errors import FieldError
from jobs_app.core.settings import Settings
from jobs_app.core.text import counted
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.command import CommandEnd, Program, run_command
from jobs_app.tasks.command_account import (
    Account,
    account_fault,
    account_for,
    account_warning,
    own_name,
)
from jobs_app.tasks.context import (
    RUN_VARIABLES,
    Cancelled,
    CommandFailed,
    Fenced,
    RunContext,
    TimedOut,
    current_run,
    environment,
)

SHELL = "/bin/sh"
#: Exit codes are 0 to 255.
ExitCode = Annotated[int, Field(ge=0, le=255)]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
if sys.platform == "darwin":
    PATH = f"/opt/homebrew/bin:{PATH}"


#: The longest argument, and the longest NAME=VALUE, that Linux starts a program with, bytes:
#: MAX_ARG_STRLEN of execve(2), 32 pages of 4 KiB, less the NUL at the end.
MOST_BYTES = 131_071


#: The most that Linux starts a program with, all arguments and variables together, bytes: a
#: quarter of the stack's limit, which is 8 MiB (execve(2)), less room for the run's own variables.
MOST_BYTES_TOGETHER = 2_000_000
#: What each string takes besides its bytes: the NUL at its end, and a pointer to it.
BYTES_BESIDE = 9

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NAME_RULE = (
    "must have only letters A-Z and a-z, digits and '_', and not begin with a digit: /bin/sh"
    " does not pass other variables on. For one program, write env 'NAME=VALUE' in the command."
)
#: Variables that mean something in a crontab, with what means it here.
CRONTAB_VARIABLES = {
    "SHELL": "the argument shell names the shell that runs the command",
    "CRON_TZ": "the time zone is the schedule's",
    "MAILTO": "a channel that gets the event output is told what a run prints",
    "MAILFROM": "a channel that gets the event output is told what a run prints",
    "RANDOM_DELAY": "jitter_seconds (--jitter) spreads the starts",
    "START_HOURS_RANGE": "the schedule says at which hours it runs",
}
#: A first line that names a program; `sh` may be `dash`.
_INTERPRETER = re.compile(r"#!\s*(?:\S*/env\s+)?(?:\S*/)?(?P<name>\w+)")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank.")
    if _size(text) > MOST_BYTES:
        sentence = f"must be at most {MOST_BYTES:,} bytes. Put a longer script into a file."
        raise PydanticCustomError("too_large", sentence)
    return text


def _variable_name(text: str) -> str:
    # /bin/sh may drop other variables from the environment of its programs, as dash does:
    # POSIX lets it (Shell Command Language, 2.5.3). Such a variable would be lost.
    if not VARIABLE_NAME.fullmatch(text):
        raise PydanticCustomError("bad_name", NAME_RULE)
    return text


def _short_variables(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if _size(name) + 1 + _size(value) > MOST_BYTES:
            sentence = f"must have variables of at most {MOST_BYTES:,} bytes, with their names."
            raise PydanticCustomError("too_large", sentence)
    return env


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


Command = Annotated[str, Field(min_length=1, examples=["make report"]), AfterValidator(_not_blank)]
VariableName = Annotated[str, AfterValidator(_variable_name)]
Variables = Annotated[dict[VariableName, str], AfterValidator(_short_variables)]


class ShellTask(AnyTask):
    """The base of `shell`: checks its shell and account, and warns of what is not as in cron."""

    abstract = True

    @staticmethod
    def faults_of(kwargs: Mapping[str, Any], settings: Settings) -> Iterator[FieldError]:
        """Yield faults of a shell or account that the settings do not allow, and of long texts."""
        if fault := _shell_fault(kwargs.get("shell"), settings):
            yield FieldError("/kwargs/shell", "not_allowed", fault)
        if fault := account_fault(kwargs.get("user"), settings):
            yield FieldError("/kwargs/user", "not_allowed", fault)
        env = kwargs.get("env") or {}
        together = _size(kwargs["command"]) + BYTES_BESIDE
        together += sum(_size(f"{name}={value}") + BYTES_BESIDE for name, value in env.items())
        if together > MOST_BYTES_TOGETHER:
            yield FieldError(
                "/kwargs/env",
                "too_large",
                f"env and command take {counted(together, 'byte')} together, and Linux starts no"
                f" program with more than {MOST_BYTES_TOGETHER:,}. Put what is long into a file,"
                " or into stdin.",
            )

    @staticmethod
    def schema_of(schema: dict[str, Any], settings: Settings) -> dict[str, Any]:
        """Return *schema*, that of the arguments, with the accounts that a job may name."""
        if not settings.shell_accounts:
            return schema
        names = {"type": "string", "enum": list(settings.shell_accounts)}
        user = schema["properties"]["user"] | {"anyOf": [names, {"type": "null"}]}
        return schema | {"properties": schema["properties"] | {"user": user}}

    @staticmethod
    def warnings_of(kwargs: Mapping[str, Any], _settings: Settings) -> Iterator[str]:
        """Yield warnings about what is valid but has no effect, or another one than in cron."""
        env = kwargs.get("env") or {}
        yield from _command_warnings(kwargs["command"], kwargs.get("shell") or SHELL)
        if text := account_warning(kwargs.get("user")):
            yield text
        for name, text in CRONTAB_VARIABLES.items():
            if name in env:
                yield f"env.{name} is a variable of the command and changes nothing else: {text}."
        for name in RUN_VARIABLES:
            if name in env:
                yield f"env.{name} has no effect: each run sets it to its own value."
        if re.search(r"\$\{?PATH\b", env.get("PATH", "")):
            yield (
                f"env.PATH is taken as it is: $PATH in it is not replaced. Write {PATH} for it,"
                " or set PATH in the command."
            )


def _shell_fault(shell: str | None, settings: Settings) -> str:
    """Return why *shell* may not run a command, as a sentence; "" if it may."""
    allowed = [SHELL, *(name.strip() for name in settings.shells.split(",") if name.strip())]
    if shell is None or shell in allowed:
        return ""
    names = ", ".join(dict.fromkeys(allowed))
    return f"The shell {shell[:200]!r} is none that JOBS_SHELLS allows: {names}."


def _command_warnings(command: str, shell: str) -> Iterator[str]:
    first_line = command.partition("\n")[0].strip()
    if first_line.startswith("#!") and not _names(first_line, shell):
        yield (
            f"The command is for {shell}: its first line, {first_line[:60]}, is a comment. Put the"
            " script into a file, or set the argument shell."
        )
    if "\\%" in command:
        yield (
            "The command has \\%, which only a crontab needs: a % is a plain % here, and within"
            " quotes the backslash stays."
        )


def _names(first_line: str, shell: str) -> bool:
    """Return whether a first line with #! names *shell*."""
    match, name = _INTERPRETER.match(first_line), os.path.basename(shell)
    return match is not None and match["name"] in ({"sh", "dash"} if shell == SHELL else {name})


@shared_task(name="shell", base=ShellTask)
def shell(
    command: Command,
    cwd: str | None = None,
    env: Variables | None = None,
    stdin: str | None = None,
    shell: str | None = None,
    success_exit_codes: list[ExitCode] | None = None,
    user: str | None = None,
    limits: Limits | None = None,
) -> dict[str, int]:
    """Run a command with a shell and return its exit code.

    It starts in *cwd*, which is relative to the home directory of its account, with umask 022,
    a small environment, *env*, and the variables of the run. An exit code that does not mean
    success raises CommandFailed. The output is the log of the run.

    Args:
        command: The command, for the shell.
        cwd: Its working directory; by default the home directory of its account.
        env: Variables to add to its environment.
        stdin: Text for its standard input, which is empty by default.
        shell: The shell that runs it, one of JOBS_SHELLS; by default /bin/sh.
        success_exit_codes: Exit codes that mean success besides 0.
        user: The account that it runs as, one of JOBS_SHELL_USERS, on a worker that runs as root.
        limits: What it may use: memory, processes, open_files, cpu_seconds, cpus.
    """
    context = current_run.get()
    settings = context.settings or Settings()
    if fault := _shell_fault(shell, settings):
        raise CommandFailed(fault)
    account = account_for(user, settings)
    base = base_environment(shell or SHELL, account)
    program = Program(
        [shell or SHELL, "-c", command],
        env={**base, **(env or {}), **environment(context)},
        cwd=_directory(cwd, base["HOME"]),
        account=account,
        limits=together(limits, settings.command_limits),
    )
    end = run_command(program, context=context, stdin=stdin or "")
    if end.leftovers:
        context.log.write("stderr", f"jobs-app: {end.leftovers}\n".encode())
    success = {0, *(success_exit_codes or ())}
    return {"exit_code": successful_code(end, context, success, program.limits)}


def base_environment(shell: str, account: Account | None) -> dict[str, str]:
    """Return the environment of every command of *account*, which holds no secret of the worker."""
    user, home = (own_name(), _own_home()) if account is None else (account.name, account.home)
    return {
        "PATH": PATH,
        "HOME": home,
        "USER": user,
        "LOGNAME": user,
        "SHELL": shell,
        "LANG": "C.UTF-8",
    }


def _own_home() -> str:
    """Return the home directory of this process, "/" if it has none."""
    try:
        account_home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        account_home = "/"
    homes = (os.environ.get("HOME", ""), account_home, "/")
    return next(home for home in homes if os.path.isabs(home) and os.path.isdir(home))


def _directory(cwd: str | None, home: str) -> str:
    """Return the directory that a command starts in; without *cwd* it is *home*, or "/"."""
    if not cwd:
        # As the account `nobody` has it.
        return home if os.path.isdir(home) else "/"
    is_at_home = cwd == "~" or cwd.startswith("~/")
    return os.path.join(home, cwd[2:] if is_at_home else os.path.expanduser(cwd))


def successful_code(
    end: CommandEnd, context: RunContext, success: Collection[int], limits: Numbers
) -> int:
    """Return the exit code of a command if it is in *success*; else raise the matching error."""
    sentence = limits_sentence(limits, end.reached)
    why = f" {sentence}" if sentence else ""
    # As a shell has it: 128 and the number of the signal.
    code = 128 - end.code if end.code is not None and end.code < 0 else end.code
    if end.why == "fenced":
        raise Fenced("The worker could not renew its heartbeat; the command was ended.")
    if end.why == "cancelled":
        raise Cancelled("The run was cancelled.", exit_code=code)
    if end.why == "timed_out":
        times = (context.limits.soft_time_limit_seconds, context.limits.time_limit_seconds)
        # The last limit that was reached: a command may outlive its soft limit.
        limit = max(limit for limit in times if limit is not None and limit <= end.duration_seconds)
        raise TimedOut(f"The command was stopped at its time limit of {limit:g} s.", exit_code=code)
    if end.why == "not_started":
        raise CommandFailed(f"The command could not be started: {end.detail}{why}")
    if end.why == "supervisor_died":
        raise CommandFailed("The process that watches the command was killed, and the command too.")
    if code is not None and code in success:
        return code
    if end.code is not None and end.code < 0:
        name = signal.Signals(-end.code).name if -end.code in set(signal.Signals) else "unknown"
        detail = f"The command was ended by signal {-end.code} ({name}).{why}"
        raise CommandFailed(detail, exit_code=code)
    raise CommandFailed(f"The command ended with exit code {code}.{why}", exit_code=code)
