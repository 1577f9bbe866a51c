"""Passwords and tokens in the text of a command, found by where they stand; pure.

A value that the shell fills in (`$TOKEN`, `$(cat FILE)`) or that names a file is none. What is
found has a name, as `--password` or `-p of mysql`, and never the value.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jobs_app.secrets.address_redaction import with_secrets_of_addresses
from jobs_app.secrets.redaction import PAGE_TOKENS, is_secret_parameter, literal_secrets

#: Quotes are followed this deep: `ssh HOST 'sh -c "…"'`.
DEPTH = 3

#: Longer commands are looked at as far as this, characters.
MOST_CHARS = 131_072

# Lengths are limited, and what repeats is possessive, so that the time is linear. The
# alternatives differ in their first character.
_TOKEN = re.compile(
    r"""\#[^\n]*|[;|&()<>\n]|(?:[^\s"'\\;|&()<>]|\\.|"(?:[^"\\]|\\.)*+"|'[^']*+')++""", re.DOTALL
)
_QUOTED = re.compile(r"""\\(.)|"((?:[^"\\]|\\.)*+)"|'([^']*+)'""", re.DOTALL)
_PAIR = re.compile(r"""(?<![\w.-])-{0,2}([A-Za-z_][\w.-]{0,80})=["']?([^\s"',;&]{1,200})""")
_FIELD = re.compile(
    r"""(?<![\w.-])([A-Za-z_][\w.-]{0,80})["']?\s{0,9}:\s{0,9}["']?"""
    r"""((?:(?:bearer|basic|token|apikey)\s{1,9})?[^\s"',;&}]+)""",
    re.IGNORECASE,
)
_LONG_OPTION = re.compile(r"--?([A-Za-z][\w.-]{1,80})")
_SENDS = re.compile(r"-H|--header|-d|--data(?:-\w+)?|--json|--post-data|(?:-H|--header=).+")
_RUNS_TEXT = re.compile(r"-[a-z]*c|--command")
_FILLED_IN = re.compile(r"\$(?:[\w{(@*]|$)|`|\{\{|<[^>]*>|^(?:/|\.{1,2}/|~|@|%)|^\*+$|^\d{1,3}$")
_NO_SECRETS = frozenset({"true", "false", "none", "null", "yes", "no", "stdin", "prompt", "-"})

#: Words at the end of a name that say that its value is a secret; the last ones not alone.
_ENDS = frozenset({"password", "passwd", "passphrase", "secret", "token", "apikey"})
_LATER_ENDS = frozenset({"pass", "pwd"})
_END_PAIRS = frozenset((one, "key") for one in ("api", "access", "secret", "account", "auth"))
_HARMLESS_PAIRS = PAGE_TOKENS | {("request", "token"), ("idempotency", "token")}
#: First words of switches, which take no value: `adduser --disabled-password NAME`.
_SWITCHES = frozenset({"no", "without", "disable", "disabled", "ask", "use"})
_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

_MYSQL = ("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck", "mysqlshow", "mysqlpump")
_MARIADB = ("mariadb", "mariadb-dump", "mariadb-admin", "mariadb-import", "mariadb-check")
_MONGO = ("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport")
_LDAP = ("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd")
#: What the one-letter option of these programs takes: a password in the same word, one in the
#: next, one in either, or a user and a password with this character between.
_ATTACHED, _NEXT, _ANYWHERE = "attached", "next", ""
_OPTIONS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    ((*_MYSQL, *_MARIADB, "7z", "7za", "7zr"), "p", _ATTACHED),
    ((*_MONGO, "sshpass", "login"), "p", _ANYWHERE),
    (("redis-cli", "valkey-cli"), "a", _ANYWHERE),
    (_LDAP, "w", _ANYWHERE),
    (("zip", "unzip", "sqlcmd"), "P", _ANYWHERE),
    (("openssl",), "k", _NEXT),
    (("openssl",), "K", _NEXT),
    (("http", "https", "xh"), "a", ":"),
    (("curl",), "u", ":"),
    (("curl",), "U", ":"),
    (("lftp",), "u", ","),
    (("smbclient",), "U", "%"),
)
#: Clients of Oracle, whose first word is a user and a password: `sqlplus ann/PASSWORD@db`.
_ORACLE = frozenset({"sqlplus", "sqlldr", "expdp", "impdp", "rman"})
_ORACLE_USER = re.compile(r"""(?:(?i:userid)=)?[^\s/@=]{1,200}/"?([^\s@/"]{1,200})"?(?:@.*)?""")
_WITH_OPTIONS = _ORACLE | frozenset(name for names, _, _ in _OPTIONS for name in names)
_USER_OPTIONS = frozenset({"--user", "--proxy-user", "--auth"})
#: A flag of compilers: it follows the name of such a program in `gcc -o mysql -pthread`.
_NO_OPTIONS = frozenset({"-pthread"})
#: Programs that read a password from their standard input, with the option that says so.
_READ_INPUT = {
    "chpasswd": re.compile(r""),
    "passwd": re.compile(r"--stdin"),
    "smbpasswd": re.compile(r"-\w*s\w*"),
    "htpasswd": re.compile(r"-\w*i\w*"),
    "gpg": re.compile(r"--passphrase-fd(?:=0)?"),
    "openssl": re.compile(r"stdin"),
}
_SUDO_STDIN = re.compile(r"-[A-Za-z]*S|--stdin")
#: Options of sudo that take the next word.
_SUDO_VALUES = re.compile(r"-[A-Za-z]*[CDghpRrTtUu]")
#: Programs whose options name a stored secret, and programs whose words are patterns.
_STORES = frozenset({"docker", "podman", "buildah", "nerdctl"})
_MATCHERS = frozenset({"sed", "awk", "gawk", "grep", "egrep", "fgrep", "zgrep", "rg", "jq", "yq"})

_KINDS = {
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22})"),
    "a GitLab token": re.compile(r"\bglpat-[\w-]{20}"),
    "a Slack token": re.compile(r"\bxox[abeoprs]-[\w-]{10}"),
    "a Slack webhook": re.compile(r"\bhooks\.slack\.com/services/T\w+/B\w+/\w+"),
    "a Stripe key": re.compile(r"\b[rs]k_live_\w{16}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----"),
}


def plain_secrets(task: str, kwargs: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the places of arguments that hold a secret, and the names of those in the command."""
    if task != "shell":
        return literal_secrets(kwargs), []
    others = {name: value for name, value in kwargs.items() if name != "command"}
    return literal_secrets(others), secrets_in_command(str(kwargs.get("command", "")))


def secrets_in_command(command: str) -> list[str]:
    """Return what in *command* holds a secret in plain text, in order, each name once."""
    text = command[:MOST_CHARS]
    kinds = [name for name, pattern in _KINDS.items() if pattern.search(text)]
    addresses: list[str] = []

    def note(secret: str) -> str:
        if _is_literal(secret):
            addresses.append("an address")
        return secret

    with_secrets_of_addresses(text, note, looks_secret=is_secret_parameter)
    return list(dict.fromkeys([*_in_text(text, DEPTH), *addresses, *kinds]))


def _in_text(text: str, depth: int) -> Iterator[str]:
    words: list[str] = []
    before: list[str] = []  # the words of the command before, and what stands between
    between = ""
    for token in [*_TOKEN.findall(text), "\n"]:
        if token[0] in ";|&()<>\n":
            if words:
                yield from _in_words(words, depth)
                yield from _in_input(before, between, words)
                before, between, words = words, "", []
            between += token
        elif token[0] != "#":
            words.append(_QUOTED.sub(lambda match: match[1] or match[2] or match[3] or "", token))


def _in_words(words: list[str], depth: int) -> Iterator[str]:
    """Yield what holds a secret in one simple command."""
    program = ""
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        name = word.rpartition("/")[2]
        if name in _WITH_OPTIONS | _MATCHERS | _STORES | {"ssh", "eval", "watch"}:
            program = name
        if program not in _MATCHERS:
            yield from _in_pairs(word)
        if _SENDS.fullmatch(before) or _SENDS.fullmatch(word):
            yield from _in_fields(word.removeprefix("-H"))
        yield from _of_option(program, word, after)
        yield from _of_oracle(program, word)
        is_command = _RUNS_TEXT.fullmatch(before) or program in {"ssh", "eval", "watch"}
        if depth and is_command and any(map(str.isspace, word)):
            yield from _in_text(word, depth - 1)


def _in_input(before: Sequence[str], between: str, words: Sequence[str]) -> Iterator[str]:
    """Yield the program that reads a password which `echo … |` or `<<<` writes there."""
    between, writer = between.rstrip("\n"), before[0] if before else ""
    if between == "|" and writer in {"echo", "printf"}:
        program, texts = _reader(words), [word for word in before[1:] if not word.startswith("-")]
    elif between == "<<<":
        program, texts = _reader(before), list(words[:1])
    else:
        return
    if writer == "printf" and len(texts) > 1:
        del texts[0]  # the format
    text = " ".join(texts)
    secret = text.partition(":")[2] if program == "chpasswd" else text
    if program and _is_literal(secret):
        yield f"the input of {program}"


def _reader(words: Sequence[str]) -> str:
    """Return the program of a simple command that reads a password from its input, or ""."""
    names = [word.rpartition("/")[2] for word in words]
    if "sudo" in names and _sudo_reads(words[names.index("sudo") + 1 :]):
        return "sudo"
    if "--password-stdin" in words:
        return names[0]
    for name, option in _READ_INPUT.items():
        if name in names and any(map(option.fullmatch, ["", *words])):
            return name
    return ""


def _sudo_reads(words: Iterable[str]) -> bool:
    """Tell whether the options of sudo, before its command, let it read the password."""
    is_value = False
    for word in words:
        if not is_value and not word.startswith("-"):
            return False
        if not is_value and _SUDO_STDIN.fullmatch(word):
            return True
        is_value = not is_value and bool(_SUDO_VALUES.fullmatch(word))
    return False


def _in_pairs(word: str) -> Iterator[str]:
    """Yield the names in `NAME=VALUE`, `--name=VALUE`, and in texts with such parts."""
    found = _PAIR.search(word)
    while found:
        name, value = found[1], found[2]
        if _names_secret(name) and _is_literal(value):
            yield ("--" if word.startswith(f"--{name}") else "") + name
        # A value may be such a pair itself: --set=auth.password=x.
        found = _PAIR.search(word, found.start(2))


def _in_fields(word: str) -> Iterator[str]:
    """Yield the names of headers, and of fields of JSON."""
    for name, value in _FIELD.findall(word):
        secret = value.split()[-1]
        if (name.lower().endswith("authorization") or _names_secret(name)) and _is_literal(secret):
            yield name


def _of_option(program: str, word: str, after: str) -> Iterator[str]:
    """Yield the option of *program* that *word* is, if it or the word after it has a secret."""
    long = _LONG_OPTION.fullmatch(word)
    option, is_joined, value = word.partition("=")
    if option in _USER_OPTIONS and program in _WITH_OPTIONS:
        if _password_of(value if is_joined else after, ":"):
            yield f"{option} of {program}"
    elif long and _names_secret(long[1]):
        is_stored = program in _STORES and long[1] == "secret"
        is_switch = long[1].partition("-")[0] in _SWITCHES
        if not (is_stored or is_switch) and not after.startswith("-") and _is_literal(after):
            yield word
    elif word.startswith("pass:"):
        if _is_literal(word.removeprefix("pass:")):
            yield "pass: of openssl"
    elif word.startswith("-") and not word.startswith("--") and word not in _NO_OPTIONS:
        yield from _of_letter(program, word, after)


def _of_letter(program: str, word: str, after: str) -> Iterator[str]:
    """Yield the one-letter option of *program* that *word* is, as `_of_option`."""
    for programs, letter, between in _OPTIONS:
        if program not in programs:
            continue
        ends = re.fullmatch(rf"-[A-Za-z]*{letter}", word) if between == ":" else None
        value = word[2:] if word.startswith(f"-{letter}") and between != _NEXT else ""
        if between != _ATTACHED and (ends or word == f"-{letter}"):
            value = after
        is_password = between in {_ATTACHED, _NEXT, _ANYWHERE}
        password = value if is_password else _password_of(value, between)
        if password and _is_literal(password):
            yield f"-{letter} of {program}"


def _of_oracle(program: str, word: str) -> Iterator[str]:
    """Yield a password in the words of a client of Oracle."""
    found = _ORACLE_USER.fullmatch(word) if program in _ORACLE else None
    if found and _is_literal(found[1]):
        yield f"the password of {program}"


def _password_of(text: str, between: str) -> str:
    password = text.partition(between)[2]
    return password if _is_literal(password) else ""


def _names_secret(name: str) -> bool:
    words = [word.lower() for word in _NAME_WORD.findall(name)]
    if not words or (pair := tuple(words[-2:])) in _HARMLESS_PAIRS:
        return False
    last = words[-1]
    is_later = len(words) > 1 and last in _LATER_ENDS and words[0] != "old"
    return last in _ENDS or last.endswith("password") or pair in _END_PAIRS or is_later


def _is_literal(value: str) -> bool:
    """Tell whether *value* is a secret itself: not filled in later, no path and no switch."""
    return bool(value) and value.lower() not in _NO_SECRETS and not _FILLED_IN.search(value)
