"""The guards in a statement: which conjuncts its WHERE has, and the statement without one.

A guard is read from the statement that the database gets, in whatever way it was written: an
ORM expression, a flush, or text. To remove a conjunct is to add "OR 1=1" to it, so that
the parameters stay where they are.
"""

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import FrameType
from typing import NamedTuple

#: Tables whose rows the invariants speak of.
GUARDED_TABLES = ("runs", "jobs", "workers", "run_attempts")

#: Modules that only execute statements of others: the place of a guard is their caller.
PASS_ON = ("jobs_app.runs.transitions", "jobs_app.db.engine", "jobs_app.db.bulk_sql")

_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|%\(\w+\)s|[A-Za-z_]\w*|[()]|\S")
_HEAD = re.compile(
    r"\s*(?:(UPDATE)|(DELETE) FROM|(INSERT) INTO|(SELECT)\b.*?\bFROM"
    r"|(WITH)\s+\w+\s+AS\s*\(UPDATE)\s+(\w+)",
    re.S,
)
_WHERE_ENDS = frozenset(
    ("RETURNING", "ORDER", "LIMIT", "GROUP", "HAVING", "FOR", "ON", "UNION", "WINDOW")
)
_LOCKS = re.compile(r"\bFOR (?:(?:NO KEY )?UPDATE|KEY SHARE)(?: SKIP LOCKED)?|\bSKIP LOCKED")
#: The condition that SQLAlchemy writes for `IN ()`.
_NOTHING = re.compile(r"\b1 ?!= ?1\b")
#: An advisory lock: one of the transactions that ask for the same number goes on.
_TURN = re.compile(r"\bpg_advisory_xact_lock\(")
_CONFLICT = re.compile(r"\bON CONFLICT\b[^)]*\) DO NOTHING")


class Place(NamedTuple):
    """A place in the product: a module (without the package) and a function."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}.{self.function}"


@dataclass(frozen=True, order=True)
class Guard:
    """One conjunct of one statement; `statement` tells apart those of one place that are alike."""

    place: str
    head: str
    conjunct: str
    statement: str

    @property
    def name(self) -> str:
        """The name of the guard, for people."""
        return f"{self.place}: {self.head}: {self.conjunct}"


class Cut(NamedTuple):
    """A conjunct in the text of a statement, and the text that replaces it."""

    conjunct: str
    start: int
    end: int
    without: str


def here() -> Place | None:
    """Return the innermost place in the product from which this is called."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("jobs_app.") and module not in PASS_ON:
            function = frame.f_code.co_qualname.partition(".<locals>")[0]
            return Place(module.removeprefix("jobs_app."), function)
        frame = frame.f_back
    return None


def guards_of(place: Place, statement: str, *, is_deciding: bool) -> list[Guard]:
    """Return the guards of a statement; a SELECT has some only where it *is_deciding*."""
    head = head_of(statement)
    if head is None or (head.startswith("SELECT") and not (is_deciding or "turn" in head)):
        return []
    shape = plain(statement)
    return [Guard(str(place), head, cut.conjunct, shape) for cut in cuts(statement)]


def without(guard: Guard, place: Place, statement: str) -> str:
    """Return *statement* without the conjunct of *guard*, or as it is if it has none such."""
    if str(place) != guard.place or plain(statement) != guard.statement:
        return statement
    for cut in cuts(statement):
        if cut.conjunct == guard.conjunct:
            return statement[: cut.start] + cut.without + statement[cut.end :]
    return statement


@lru_cache(maxsize=4096)
def head_of(statement: str) -> str | None:
    """Return what a statement does to which table; None if no guard is of interest there."""
    if _TURN.search(statement):
        return "SELECT a turn"
    if _NOTHING.search(statement):
        return None
    match = _HEAD.match(statement)
    if match is None or match[6] not in GUARDED_TABLES:
        return None
    verb = next(word for word in match.groups() if word)
    return f"{verb} {match[6]}"


@lru_cache(maxsize=4096)
def cuts(statement: str) -> tuple[Cut, ...]:
    """Return every conjunct of every WHERE of a statement, and its locks; none is there twice."""
    cut_by_name: dict[str, Cut] = {}
    for cut in (*_conjuncts(statement), *_clauses(statement)):
        name, number = cut.conjunct, 1
        while name in cut_by_name:
            number += 1
            name = f"{cut.conjunct} (no. {number})"
        cut_by_name[name] = cut._replace(conjunct=name)
    return tuple(cut_by_name.values())


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Return SQL with its parameters, casts, lists and white space all written in one way."""
    text = re.sub(r"%\(\w+\)s|\$\d+", "?", text)
    text = re.sub(r"::(?:TIMESTAMP WITH TIME ZONE|\w+(?:\(\d+\))?(?:\[\])?)", "", text)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\((?:\?|\d+)(?:, ?(?:\?|\d+))*\)", "(?)", text)
    # A flush writes what has changed, an INSERT as many rows as there are.
    text = re.sub(r"^(UPDATE \w+ SET ).*?( WHERE )", r"\1…\2", text)
    return re.sub(r" VALUES .*?( ON CONFLICT | RETURNING |$)", r" VALUES …\1", text)


def _clauses(statement: str) -> Iterator[Cut]:
    for match in _TURN.finditer(statement):
        yield Cut("pg_advisory_xact_lock", match.start(), match.end(), "abs(")
    for pattern in (_LOCKS, _CONFLICT):
        for match in pattern.finditer(statement):
            lock, _, rest = match[0].partition(" SKIP")
            if rest:
                yield Cut("SKIP LOCKED", match.start() + len(lock), match.end(), "")
            yield Cut(plain(lock), match.start(), match.end(), "")


def _conjuncts(statement: str) -> Iterator[Cut]:
    tokens = list(_TOKEN.finditer(statement))
    depth, returned_at = 0, math.inf
    for at, token in enumerate(tokens):
        word = token[0].upper()
        depth += _step(word)
        # RETURNING guards nothing.
        returned_at = depth if word == "RETURNING" else returned_at
        returned_at = returned_at if depth >= returned_at else math.inf
        if word == "WHERE" and depth < returned_at:
            end = _end_of_clause(tokens, at + 1)
            clause = list(_split(statement, tokens[at + 1 : end]))
            for cut in clause:
                others = ", ".join(other.conjunct for other in clause if other is not cut)
                beside = f" (beside {others})" if others else ""
                yield cut._replace(conjunct=cut.conjunct + beside)


def _end_of_clause(tokens: list[re.Match[str]], start: int) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        word = tokens[at][0].upper()
        if depth == 0 and (word == ")" or word in _WHERE_ENDS):
            return at
        depth += _step(word)
    return len(tokens)


def _step(word: str) -> int:
    return 1 if word in ("(", "CASE") else -1 if word in (")", "END") else 0


def _split(statement: str, tokens: list[re.Match[str]], *, negated: bool = False) -> Iterator[Cut]:
    """Yield the operands of the ANDs, of the ORs below a NOT, at the top of *tokens*."""
    parts: list[list[re.Match[str]]] = [[]]
    depth, is_between = 0, False
    # An OR at the top joins all of the tokens to one operand.
    is_one = not negated and "OR" in _top(tokens)
    for token in tokens:
        word = token[0].upper()
        depth += _step(word)
        if depth == 0 and word == ("OR" if negated else "AND") and not (is_between or is_one):
            parts.append([])
            continue
        is_between = depth == 0 and (word == "BETWEEN" or (is_between and word != "AND"))
        parts[-1].append(token)
    for part in parts:
        inner = _inside(part)
        words = _top(inner)
        if inner is not part and not negated and "AND" in words and "OR" not in words:
            yield from _split(statement, inner)
            continue
        start, end = part[0].start(), part[-1].end()
        text = statement[start:end]
        if part[0][0].upper() == "NOT" and not negated:
            below = _inside(part[1:])
            if "OR" in _top(below):
                yield from _split(statement, below, negated=True)
                continue
        # A condition in parentheses has conjuncts of its own.
        condition = plain(statement[inner[0].start() : inner[-1].end()])
        name = re.sub(r"\(SELECT .*\)", "(SELECT …)", condition)
        name = f"NOT {name}" if negated else name
        yield Cut(name, start, end, f"({text} {'AND 1=0' if negated else 'OR 1=1'})")


def _inside(part: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return *part* without the parentheses around all of it."""
    while len(part) > 2 and part[0][0] == "(" and _end_of_clause(part, 1) == len(part) - 1:
        part = part[1:-1]
    return part


def _top(part: list[re.Match[str]]) -> set[str]:
    words, depth = set(), 0
    for token in part:
        word = token[0].upper()
        depth += _step(word)
        if depth == 0:
            words.add(word)
    return words
