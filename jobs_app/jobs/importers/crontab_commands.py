"""What the command of a crontab's line means, and what is not as in cron. Pure, no IO."""

import re
from collections.abc import Iterator
from typing import Any

from jobs_app.jobs.importers.crontab_variables import NOT_PASSED
from jobs_app.jobs.importers.shell_words import shell_words

#: The shell that cron and the task `shell` use by default.
SHELL = "/bin/sh"

_PLACEHOLDER = re.compile(r"\{\{-? *[A-Za-z_][\w.]*(?: *\|[^}]*)? *-?\}\}")
#: Options that dcron reads in front of the command.
_DCRON_OPTION = re.compile(r"(?:ID|FREQ|AFTER|WAIT)=[^ \t]+[ \t]")
NEEDS_ROOT = "su and its like need a worker that runs as root."
#: Programs that only root may use without a password.
_CHANGES_ACCOUNT = frozenset({"su", "runuser", "su-exec", "gosu", "setpriv"})
_BLANKS = " \t\r\n\v\f"


def command_note(text: str, stdin: str | None) -> str:
    """Return what may surprise in a command, and is as in cron; "" if nothing."""
    notes = []
    if stdin is not None:
        notes.append(
            "as in cron, the command ends at its first %, and the rest is its input; \\% is a %"
            " (busybox, dcron and supercronic read % as it is)"
        )
    if _DCRON_OPTION.match(text):
        notes.append("options of dcron in front are variables of the command, as in cron")
    if placeholder := _PLACEHOLDER.search(text):
        notes.append(f"{placeholder[0]} looks like a part of a template that is not filled in")
    if any(character.isspace() and character not in _BLANKS for character in text):
        notes.append("it has a blank that a shell takes for a part of a word")
    if text.rstrip().endswith("\\"):
        notes.append("as in cron, the \\ at its end does not join it with the next line")
    return "; ".join(notes)


def arguments(command: str, stdin: str | None, variables: dict[str, str]) -> dict[str, Any]:
    """Return the arguments of the task `shell` for a command below *variables*."""
    env = {name: value for name, value in variables.items() if name not in NOT_PASSED}
    shell = variables.get("SHELL") or SHELL
    return {
        "command": command,
        **({"stdin": stdin} if stdin else {}),
        **({"env": env} if env else {}),
        **({"cwd": env["HOME"]} if env.get("HOME") else {}),
        **({"shell": shell} if shell != SHELL else {}),
    }


def command_differences(command: str, shell: str) -> Iterator[str]:
    """Yield what is not as in cron when *shell* runs *command*."""
    words = shell_words(command)
    if any(word.rpartition("/")[2] in ("sudo", "doas") for word in words):
        yield "sudo and doas need JOBS_NEW_PRIVILEGES=true here."
    if any(word.rpartition("/")[2] in _CHANGES_ACCOUNT for word in words):
        yield NEEDS_ROOT
    if "&" in words:
        yield "A process in the background (&) is ended with the run: let the command wait for it."
    if shell == SHELL and any(word.startswith("&>") for word in words):
        yield (
            "&> in /bin/sh puts the command into the background, where it is ended with the run:"
            " write > FILE 2>&1."
        )
