"""Names of jobs, made from their commands. Pure, no IO."""

import re
from collections.abc import Collection
from itertools import count
from pathlib import PurePosixPath

from jobs_app.jobs.importers.shell_words import (
    CONDITION_BEGINS,
    CONDITION_ENDS,
    HEADERS,
    SHELL_WORDS,
    command_words,
    is_operator,
)

#: The longest name that is made; the API takes 100 characters, and a number may follow.
MOST_CHARACTERS = 60
#: The longest prefix of all names of an import.
MOST_PREFIX = 30
#: A command without a word for a name.
NAMELESS = "job"

#: Programs that run another one, with those of their options that have a value behind them.
_WRAPPERS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("nohup", "setsid", "exec", "chronic", "cronic", "busybox"), frozenset()),
    **dict.fromkeys(("run-one", "eval", "unbuffer", "xvfb-run", "command"), frozenset()),
    **dict.fromkeys(("setlock", "envdir", "lckdo", "gosu", "su-exec"), frozenset()),
    **dict.fromkeys(("taskset", "chrt", "systemd-inhibit", "prlimit"), frozenset()),
    **dict.fromkeys(("su", "runuser"), frozenset({"-u", "-g", "-G", "-s", "--user", "--shell"})),
    **dict.fromkeys(("sudo", "doas"), frozenset({"-u", "-g", "-C", "--user", "--group"})),
    "env": frozenset({"-u", "-C", "--unset", "--chdir"}),
    "time": frozenset({"-o", "-f", "--output", "--format"}),
    "nice": frozenset({"-n", "--adjustment"}),
    "ionice": frozenset({"-c", "-n", "--class", "--classdata"}),
    "timeout": frozenset({"-k", "-s", "--kill-after", "--signal"}),
    "flock": frozenset({"-w", "-E", "--wait", "--timeout", "--conflict-exit-code"}),
    "lockf": frozenset({"-t"}),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "setpriv": frozenset({"--reuid", "--regid", "--groups"}),
    "chpst": frozenset({"-u", "-U", "-e", "-b", "-n", "-l", "-L", "-m", "-d", "-o", "-p", "-t"}),
    "softlimit": frozenset({"-a", "-c", "-d", "-f", "-l", "-m", "-o", "-p", "-r", "-s", "-t"}),
    "systemd-run": frozenset({"-p", "-u", "-E", "--property", "--unit", "--uid", "--setenv"}),
    "systemd-cat": frozenset({"-t", "-p"}),
}
#: Wrappers whose first word without a - is not the program: a file, a duration, an account.
_WITH_WORD = frozenset({"timeout", "flock", "setlock", "envdir", "lckdo", "lockf", "gosu"}) | {
    *("su-exec", "taskset", "chrt")
}
#: Wrappers with a subcommand.
_RUNNERS = {"bundle": "exec", "poetry": "run", "pipenv": "run", "uv": "run", "pdm": "run"}
#: Wrappers that have the command as the text of -c.
_LOGINS = frozenset({"su", "runuser"})
#: Programs that run a script, or a module after -m.
_INTERPRETERS = re.compile(
    r"(?:sh|bash|dash|zsh|ksh|python[\d.]*|pypy3?|php[\d.]*|perl|ruby|node|nodejs|java|deno|bun"
    r"|Rscript|lua|tclsh|pwsh)"
)
#: Options of interpreters in front of the script that have a value behind them.
_SCRIPT_OPTIONS = {
    **dict.fromkeys(("bash", "zsh", "ksh", "sh"), frozenset({"-o", "-O", "+o", "+O", "--rcfile"})),
    "python": frozenset({"-W", "-X"}),
    "php": frozenset({"-d", "-c"}),
    "java": frozenset({"-cp", "-classpath", "--class-path"}),
    "node": frozenset({"-r", "--require"}),
    "ruby": frozenset({"-I", "-r"}),
    "perl": frozenset({"-I"}),
}
#: Options of interpreters, but shells, whose value is the code itself.
_CODE = re.compile(r"(?:perl|ruby|node|lua|Rscript|deno) -[a-z]*[eE]|python -[a-zA-Z]*c|php -r")
#: Commands around the one that matters: tests, messages, what sets up the shell or ends it.
_PREPARATIONS = frozenset(
    {
        *(
            "cd",
            "pushd",
            "popd",
            "test",
            "[",
            "[[",
            "pgrep",
            "pidof",
            "mountpoint",
            "which",
            "type",
        ),
        *("export", "declare", "local", "readonly", "unset", "let", "set", "shopt", "trap"),
        *("source", ".", "umask", "ulimit", "sleep", "wait", "true", "false", ":", "exit"),
        *("return", "break", "continue", "echo", "printf", "date", "yes", "cat", "mkdir", "read"),
        "mountpoint",
    }
)
_SUFFIX = re.compile(r"\.(?:sh|bash|py|pyc|pl|rb|php|js|mjs|jar|r|lua|cgi)\Z", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def name_of(command: str, *, prefix: str = "") -> str:
    """Return a name for a job that runs *command*: its program and what tells it from others."""
    key = "-".join(_telling_parts(command))
    # A number names nothing.
    return name_of_key(key if re.search(r"[a-z]", key, re.IGNORECASE) else "", prefix=prefix)


def name_of_key(key: str, *, prefix: str = "") -> str:
    """Return *key*, the name of an entry elsewhere, as the name of a job may be."""
    slug = re.sub(r"[^a-z0-9._]+", "-", key.lower())
    slug = re.sub(r"-*\.(?![a-z0-9])|(?<![a-z0-9])[._]+", "-", slug)
    name = _trimmed(f"{prefix}{re.sub('-{2,}', '-', slug).strip('-._') or NAMELESS}")
    return name or NAMELESS


def _trimmed(name: str) -> str:
    return name[:MOST_CHARACTERS].strip("-._")


def unique_name(name: str, taken: Collection[str]) -> str:
    """Return *name*, or the first of name-2, name-3, … that is not *taken*."""
    if name not in taken:
        return name
    return next(other for number in count(2) if (other := f"{name}-{number}") not in taken)


def is_numbered(name: str, base: str) -> bool:
    """Tell whether *name* is *base*, or *base* with a number as `unique_name` adds it."""
    return re.fullmatch(rf"{re.escape(base)}(?:-[0-9]+)?", name) is not None


def _telling_parts(command: str) -> list[str]:
    """Return the program of *command* without its directory, and its first telling argument."""
    for words in _commands(command_words(command)):
        if parts := _parts(words):
            return parts
    return []


def is_interpreter(program: str) -> bool:
    """Tell whether *program* runs the script that follows it."""
    return _INTERPRETERS.fullmatch(program) is not None


def runs_others(word: str) -> bool:
    """Tell whether *word* belongs to the shell, or is a program that runs what follows it."""
    words = SHELL_WORDS | HEADERS.keys() | _PREPARATIONS | _WRAPPERS.keys() | _RUNNERS.keys()
    return word in words or is_interpreter(word)


def _commands(words: list[str]) -> list[list[str]]:
    """Return the simple commands in *words*, those that only prepare at the end."""
    commands: list[tuple[bool, list[str]]] = [(False, [])]
    is_condition = False
    for word in words:
        is_shell_word = word in SHELL_WORDS and not commands[-1][1]
        if is_shell_word and word in CONDITION_BEGINS | CONDITION_ENDS:
            is_condition = word in CONDITION_BEGINS
        if is_shell_word or is_operator(word):
            commands.append((is_condition, []))
        else:
            commands[-1][1].append(word)
    stripped = [(is_test, _without_wrappers(words)) for is_test, words in commands]
    ours = [words for is_test, words in stripped if words and not (is_test or _prepares(words))]
    return ours + [words for is_test, words in stripped if words and (is_test or _prepares(words))]


def _prepares(words: list[str]) -> bool:
    # Some packages wait for a while first: perl -e 'sleep int(rand(3600))'.
    waits = _INTERPRETERS.fullmatch(_program(words)) and any("sleep" in word for word in words[1:3])
    is_output = words[0].startswith(("$(", "`"))
    is_asked = words[:2] == ["command", "-v"]
    return bool(waits) or is_output or is_asked or _program(words) in _PREPARATIONS


def _program(words: list[str]) -> str:
    return PurePosixPath(words[0]).name or words[0]


def _without_wrappers(words: list[str]) -> list[str]:
    """Return *words* from the program on that does the work."""
    rest = list(words)
    while rest and rest[:2] != ["command", "-v"]:
        program = _program(rest)
        if _ASSIGNMENT.match(rest[0]) or rest[0] == "$":
            rest.pop(0)
            continue
        if program in _RUNNERS and rest[1:2] == [_RUNNERS[program]]:
            rest = rest[2:]
            continue
        if program in _LOGINS and (text := _text_of_command(rest[1:])) is not None:
            return _first_command(text)
        # Without -c, su starts a shell.
        if program not in _WRAPPERS or program == "su":
            break
        rest = _after_options(rest[1:], _WRAPPERS[program])
        if program in _WITH_WORD and rest:
            rest.pop(0)
        if rest[:1] == ["-c"]:
            return _first_command(" ".join(rest[1:2]))
    return rest


def _first_command(text: str) -> list[str]:
    """Return the words of the command that matters in *text*, which a shell runs."""
    return next(iter(_commands(command_words(text))), [])


def _text_of_command(words: list[str]) -> str | None:
    """Return the value of -c or --command among *words*; None without it."""
    for index, word in enumerate(words):
        if word.startswith("--command="):
            return word.partition("=")[2]
        if word == "--command" or re.fullmatch(r"-[a-z]*c", word):
            return next((text for text in words[index + 1 :] if not text.startswith("-")), "")
    return None


def _after_options(words: list[str], with_value: frozenset[str]) -> list[str]:
    rest = list(words)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        if _has_value_behind(option, with_value) and rest:
            rest.pop(0)
    return rest


def _has_value_behind(option: str, with_value: frozenset[str]) -> bool:
    """Tell whether the next word is the value of *option*, or of the last letter in -Eu."""
    if option in with_value or option.startswith("--"):
        return option in with_value
    return f"-{option[-1]}" in with_value and not any(f"-{x}" in with_value for x in option[1:-1])


def _parts(words: list[str]) -> list[str]:
    program, rest = _program(words), words[1:]
    if is_interpreter(program) and rest:
        return _parts_of_script(program, rest)
    return [_SUFFIX.sub("", program), *_telling_argument(program, rest)]


def _parts_of_script(program: str, words: list[str]) -> list[str]:
    """Return the script that the interpreter *program* runs, and its first telling argument."""
    kind, rest = program.rstrip("0123456789."), list(words)
    is_shell = re.fullmatch(r"[a-z]*sh", program) is not None
    while rest and rest[0].startswith(("-", "+")):
        option = rest.pop(0)
        if is_shell and re.fullmatch(r"-[a-z]*c", option):
            return _telling_parts(next((word for word in rest if not word.startswith("-")), ""))
        if _CODE.fullmatch(f"{kind} {option}"):
            return [program]
        if option == "-m" and rest:
            return [rest[0], *_telling_argument(program, rest[1:])]
        if option in _SCRIPT_OPTIONS.get(kind, ()) and rest:
            rest.pop(0)
    if not rest:
        return [program]
    script = PurePosixPath(rest[0]).name or rest[0]
    return [_SUFFIX.sub("", script), *_telling_argument(script, rest[1:])]


def _telling_argument(program: str, words: list[str]) -> list[str]:
    """Return the first of *words* that tells a command from others of *program*, if any."""
    if program in ("curl", "wget"):
        # POST and a file may come first.
        words = [word for word in words if "://" in word] or words
    for word in words:
        has_letter = re.search(r"[a-z]", word, re.IGNORECASE)
        if word.startswith("-") or word == "/dev/null" or not has_letter:
            continue
        return [_argument_text(word)]
    return []


def _argument_text(word: str) -> str:
    if match := re.match(r"[a-z]+://(?:[^@/]*@)?([^/:?#]+)", word):
        return match[1]
    if "/" in word:
        return _SUFFIX.sub("", PurePosixPath(word).name)
    return re.split(r"[=@]", word)[0][:30]
