"""Names of jobs, made from their commands. Pure, no IO."""

import re
import shlex
from collections.abc import Collection
from itertools import count
from pathlib import PurePosixPath

#: The longest name that is made; the API takes 100 characters, and a number may follow.
MOST_CHARACTERS = 60
#: The longest prefix of all names of an import.
MOST_PREFIX = 30
#: A command without a word for a name.
NAMELESS = "job"

#: Programs that run another one, with those of their options that have a value.
_WRAPPERS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("env", "nohup", "setsid", "exec", "time", "chronic", "cronic"), frozenset()),
    **dict.fromkeys(("run-one", "eval", "unbuffer", "xvfb-run", "command"), frozenset()),
    **dict.fromkeys(("sudo", "doas", "runuser"), frozenset({"-u", "-g"})),
    "nice": frozenset({"-n"}),
    "ionice": frozenset({"-c", "-n"}),
    "timeout": frozenset({"-k", "-s"}),
    "flock": frozenset({"-w", "-E"}),
    "setlock": frozenset(),
    "envdir": frozenset(),
    "stdbuf": frozenset({"-i", "-o", "-e"}),
    "systemd-cat": frozenset({"-t", "-p"}),
}
#: Wrappers whose first word without a - is not the program: a file, a duration.
_WITH_WORD = frozenset({"timeout", "flock", "setlock", "envdir"})
#: Programs that run a script, or a module after -m.
_INTERPRETERS = re.compile(
    r"(?:sh|bash|dash|zsh|ksh|python[\d.]*|pypy3?|php[\d.]*|perl|ruby|node|nodejs|java|deno|bun"
    r"|Rscript|lua|tclsh|pwsh)"
)
#: Commands in front of the one that matters: tests, and changes of the directory.
_PREPARATIONS = frozenset(
    {"cd", "test", "[", "[[", "export", "source", ".", "sleep", "true", "umask", "which", "type"}
)
_SHELL_WORDS = frozenset(
    {"if", "then", "else", "fi", "do", "done", "while", "until", "for", "!", "{", "}"}
)
_SUFFIX = re.compile(r"\.(?:sh|bash|py|pyc|pl|rb|php|js|mjs|jar|r|lua|cgi)\Z", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SEPARATORS = frozenset({"&&", "||", ";", "|", "&", "|&"})
#: A redirection, with its file if no blank is between them in a command that was cut at blanks.
_REDIRECTION = re.compile(r"([();]*)\d*(&?[<>][<>&|]*)(?!\()(.*)", re.DOTALL)


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
    for words in _commands(_without_redirections(shell_words(command))):
        if parts := _parts(words):
            return parts
    return []


def is_interpreter(program: str) -> bool:
    """Tell whether *program* runs the script that follows it."""
    return _INTERPRETERS.fullmatch(program) is not None


def shell_words(command: str) -> list[str]:
    """Return the words of *command*, its operators among them, without quotation marks."""
    lexer = shlex.shlex(command[:4000], posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        # An open quotation mark: the words up to it are enough for a name.
        words = words or command[:4000].split()
    return words


def _without_redirections(words: list[str]) -> list[str]:
    """Return *words* without redirections: each is a number, an operator and a file."""
    rest: list[str] = []
    is_file = False
    for word in words:
        match = _REDIRECTION.fullmatch(word)
        if match is None:
            if not is_file or set(word) & set("();|&<"):
                # The command of >(…) is one of its own.
                rest.append("(" if word == ">(" else word)
            is_file = False
            continue
        if rest and rest[-1].isdigit():
            rest.pop()
        if match[1]:
            rest.append(match[1])
        is_file = not match[3]
    return rest


def _commands(words: list[str]) -> list[list[str]]:
    """Return the simple commands in *words*, those that only prepare at the end."""
    commands: list[list[str]] = [[]]
    for word in words:
        is_shell_word = word in _SHELL_WORDS and not commands[-1]
        if word in _SEPARATORS or is_shell_word or set(word) <= set("();|&"):
            commands.append([])
        else:
            commands[-1].append(word)
    stripped = [_without_wrappers(words) for words in commands]
    ours = [words for words in stripped if words and not _prepares(words)]
    return ours + [words for words in stripped if words and _prepares(words)]


def _prepares(words: list[str]) -> bool:
    # Some packages wait for a while first: perl -e 'sleep int(rand(3600))'.
    waits = _INTERPRETERS.fullmatch(_program(words)) and any("sleep" in word for word in words[1:3])
    return bool(waits) or _program(words) in _PREPARATIONS or words[:2] == ["command", "-v"]


def _program(words: list[str]) -> str:
    return PurePosixPath(words[0]).name or words[0]


def _without_wrappers(words: list[str]) -> list[str]:
    """Return *words* from the program on that does the work."""
    rest = list(words)
    while rest and rest[:2] != ["command", "-v"]:
        program = _program(rest)
        if _ASSIGNMENT.match(rest[0]):
            rest.pop(0)
            continue
        if program not in _WRAPPERS:
            break
        rest = _after_options(rest[1:], _WRAPPERS[program])
        if program in _WITH_WORD and rest:
            rest.pop(0)
        if rest[:1] == ["-c"]:
            return _without_wrappers(_without_redirections(shell_words(" ".join(rest[1:2]))))
    return rest


def _after_options(words: list[str], with_value: frozenset[str]) -> list[str]:
    rest = list(words)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        if option in with_value and rest:
            rest.pop(0)
    return rest


def _parts(words: list[str]) -> list[str]:
    program, rest = _program(words), words[1:]
    if _INTERPRETERS.fullmatch(program) and rest:
        if "-c" in rest or any(re.fullmatch(r"-[a-z]*c", word) for word in rest[:2]):
            script = next((word for word in rest if not word.startswith("-")), "")
            return _telling_parts(script) if re.fullmatch(r"[a-z]*sh", program) else [program]
        if "-m" in rest[:-1]:
            index = rest.index("-m")
            program, rest = rest[index + 1], rest[index + 2 :]
        else:
            scripts = [i for i, word in enumerate(rest) if not word.startswith("-")]
            if scripts:
                program, rest = PurePosixPath(rest[scripts[0]]).name, rest[scripts[0] + 1 :]
    return [_SUFFIX.sub("", program), *_telling_argument(rest)]


def _telling_argument(words: list[str]) -> list[str]:
    """Return the first of *words* that tells a command from others of its program, if any."""
    for word in words:
        if word.startswith("-") or not re.search(r"[a-z]", word, re.IGNORECASE):
            continue
        return [_argument_text(word)]
    return []


def _argument_text(word: str) -> str:
    if match := re.match(r"[a-z]+://(?:[^@/]*@)?([^/:?#]+)", word):
        return match[1]
    if "/" in word:
        return _SUFFIX.sub("", PurePosixPath(word).name)
    return re.split(r"[=@]", word)[0][:30]
