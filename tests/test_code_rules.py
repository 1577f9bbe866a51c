"""Rules that the code keeps; each list of exceptions may only get shorter."""

import ast
import re
import statistics
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from jobs_app.core.text import plural

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "jobs_app"
FOLDERS = (PRODUCT, ROOT / "tests", ROOT / "bench")

MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 50
MAX_MEDIAN_LINES = 120

#: Modules that are longer.
LONG_MODULES: frozenset[str] = frozenset()

#: Functions that are longer: their arguments are what people write in a job.
LONG_FUNCTIONS = frozenset({"tasks/builtin/email.py:email", "tasks/builtin/http.py:http"})

#: Modules that import something inside a function, because most of their callers need not wait.
LATE_IMPORTS = frozenset(
    {
        "db/engine.py",  # psycopg, which SQLite does not need
        "notifications/channel_input.py",  # apprise, half a second
        "notifications/sender_main.py",  # apprise again
        "secrets/encryption.py",  # cryptography, 6 MB, which few processes need
        "up/database.py",  # Celery, for the jobs of --demo only
        "web/metrics.py",  # prometheus-client, which most web processes never need
        "up/parent_death.py",  # shutil, which most processes never need
    }
)

#: Words that mean something else, or nothing, to a person who knows Celery and cron.
# fmt: off
RETIRED_WORDS = frozenset({
    "told", "caveat", "caveats", "rehearse", "rehearsed", "rehearsal", "rehearsals", "vault",
    "seal", "seals", "sealed", "sealer", "reseal", "birth", "births", "stray", "strays",
    "warden", "errand", "errands", "courier", "stranger", "strangers", "occasion", "occasions",
    "belongings", "alike", "patience", "patiently", "undumpable",
})
# fmt: on

#: Modules without a test file of their own; other tests run them.
UNMIRRORED = frozenset((ROOT / "tests" / "unmirrored.txt").read_text().split())

#: Nouns that sentences count.
# fmt: off
COUNTED = frozenset({
    "run", "job", "fire", "attempt", "second", "minute", "hour", "day", "week", "month", "year",
    "byte", "character", "item", "entry", "message", "time", "retry", "failure", "worker", "row",
    "event", "line", "error", "secret", "value", "token", "argument", "notification", "process",
    "program", "field", "module", "name", "task", "key", "redirect", "stream", "thread", "queue",
})
# fmt: on
_PLURALS = re.compile(
    rf"\s(?:(?:more|other|positional|unfinished)\s)?(?:{'|'.join(map(plural, COUNTED))})\b"
)

#: Plurals that are verbs: the URL redirects, the range runs backwards.
VERBS = frozenset(
    {
        "self.url redirects",
        "match['last'] runs",
        "request.public_url redirects",
        "self.public_url redirects",
    }
)

#: What a page shows at the moment at which it is read: it may not show yet what a click does.
READS_OF_PAGES = frozenset(
    {
        "all_inner_texts",
        "all_text_contents",
        "count",
        "get_attribute",
        "inner_text",
        "input_value",
        "is_checked",
        "is_disabled",
        "is_enabled",
        "is_hidden",
        "is_visible",
        "text_content",
        "url",
    }
)

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_RETIRED = re.compile("|".join(RETIRED_WORDS), re.IGNORECASE)
_INDENTED_IMPORT = re.compile(r"^\s+(?:import|from)\s", re.MULTILINE)
_EXCEPTION = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|type: ignore(?:\[[\w, -]+\])?)"
)


def _modules(folder: Path = PRODUCT) -> Iterator[tuple[str, str]]:
    """Yield the path below *folder* and the text of each of its modules."""
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(folder).as_posix(), path.read_text()


def _functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_module_has_more_than_350_lines() -> None:
    long = {name for name, text in _modules() if text.count("\n") > MAX_MODULE_LINES}

    assert long == LONG_MODULES


def test_no_function_has_more_than_50_lines() -> None:
    long = {
        f"{name}:{function.name}"
        for name, text in _modules()
        for function in _functions(text)
        if (function.end_lineno or 0) - function.lineno + 1 > MAX_FUNCTION_LINES
    }

    assert long == LONG_FUNCTIONS


def test_half_of_the_modules_have_at_most_120_lines() -> None:
    lines = [text.count("\n") for _, text in _modules()]

    assert statistics.median(lines) <= MAX_MEDIAN_LINES


def test_no_identifier_has_a_retired_word() -> None:
    found = {
        f"{folder.name}/{name}: {identifier}"
        for folder in FOLDERS
        for name, text in _modules(folder)
        # To parse a module takes ten times as long as to search it.
        if _RETIRED.search(name + text)
        for identifier in {*_identifiers(text), *Path(name).with_suffix("").parts}
        if RETIRED_WORDS & {word.lower() for word in _WORDS.findall(identifier)}
    }

    assert not found


def test_each_exception_from_a_check_has_its_reason() -> None:
    without_reason = [
        f"{folder.name}/{name}:{number}"
        for folder in FOLDERS
        for name, text in _modules(folder)
        for number in _unreasoned(text.splitlines())
    ]

    assert not without_reason


def test_a_counted_noun_is_never_a_fixed_plural() -> None:
    fixed = [f"{name}:{line}: {text}" for name, text in _modules() for line, text in _plurals(text)]

    assert not fixed, 'jobs_app.core.text.counted writes "1 run"'


def test_only_listed_modules_import_inside_a_function() -> None:
    late = {
        name
        for name, text in _modules()
        if not name.startswith("cli/") and name != "__main__.py" and _INDENTED_IMPORT.search(text)
        for function in _functions(text)
        if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    }

    assert late == LATE_IMPORTS


def test_what_a_browser_shows_is_waited_for() -> None:
    found = {
        f"{name}:{assertion.lineno}: {ast.unparse(assertion)}"
        for name, text in _modules(ROOT / "tests" / "web" / "pages" / "browser")
        for assertion in ast.walk(ast.parse(text))
        if isinstance(assertion, ast.Assert)
        for node in ast.walk(assertion)
        if isinstance(node, ast.Attribute) and node.attr in READS_OF_PAGES
    }

    assert not found, "expect(...) waits"


def test_each_module_has_its_mirror_in_the_tests() -> None:
    mirrors = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("*")}
    unmirrored = {
        name
        for name, text in _modules()
        if Path(name).name != "__init__.py" and _mirror(name) not in mirrors
    }

    assert unmirrored == UNMIRRORED


def _plurals(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the plural of each number in an f-string that may be 1.

    A constant in capitals is another number.
    """
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for number, words in pairwise(node.values):
            if not (isinstance(number, ast.FormattedValue) and isinstance(words, ast.Constant)):
                continue
            is_constant = isinstance(number.value, ast.Name) and number.value.id.isupper()
            if not is_constant and (match := _PLURALS.match(str(words.value))):
                counted = f"{ast.unparse(number.value)}{match[0]}"
                if counted not in VERBS:
                    yield node.lineno, counted


def _mirror(name: str) -> str:
    path = Path(name)
    return path.with_name(f"test_{path.name}").as_posix()


def _identifiers(text: str) -> set[str]:
    """Return every name that a module gives or uses."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.keyword(arg=str(name)) | ast.alias(asname=str(name)):
                names.add(name)
    return names


def _unreasoned(lines: list[str]) -> Iterator[int]:
    """Yield the numbers of the lines that silence a check and do not say why.

    The reason stands behind the exception, or in a comment on the line above.
    """
    above = ""
    for number, line in enumerate(lines, start=1):
        if _EXCEPTION.search(line):
            reason = _EXCEPTION.sub("", line[line.index("#") :]).strip(" #()")
            if len(reason) < len("reason") and not above.strip().startswith("#"):
                yield number
        above = line
