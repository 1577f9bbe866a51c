"""Each route has an entry in the table of permissions, and refuses whom the table refuses.

`permission_matrix.txt` has the outcome of each route for each role, grant and scope, without and
with a limit to tags. A change of the table must be a change of that file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g

from jobs_app.accounts.principal import Principal
from jobs_app.core.errors import Forbidden
from jobs_app.core.roles import Grant, Role, Scope
from jobs_app.web import permissions
from tests.web.conftest import Api, Page

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MATRIX = Path(__file__).with_name("permission_matrix.txt")

ROLES = ("viewer", "operator", "editor", "editor+commands", "editor+secrets", "admin")

RUN_ID = "01890000-0000-7000-8000-000000000000"
#: It ends the session with which the other pages are asked for.
SIGN_OUT = "/sign-out"
EXAMPLES = {
    "line": "line",
    "name": "nothing",
    "run_id": RUN_ID,
    "task_id": RUN_ID,
    "token_id": "999999",
    "number": "7",
    "session_id": "7",
}


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Yield method, rule and an address of each route that needs a token."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.endpoint in permissions.OPEN | permissions.SIGNED_OUT:
            continue
        built = rule.build({name: EXAMPLES[name] for name in rule.arguments})
        assert built is not None
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield method, rule.rule, f"/{built[1].lstrip('/')}"


def caller(role: str, scopes: frozenset[Scope], tags: frozenset[str] | None) -> Principal:
    name, _, grant = role.partition("+")
    grants = frozenset({Grant(grant)} if grant else set())
    return Principal("token:1", "ci", "ci", Role(name), grants, scopes, tags)


def is_allowed(app: Flask, method: str, url: str, principal: Principal) -> bool:
    with app.test_request_context(url, method=method):
        g.principal = principal
        try:
            permissions.check_route()
        except Forbidden:
            return False
    return True


def is_page(app: Flask, method: str, url: str) -> bool:
    with app.test_request_context(url, method=method):
        return permissions.is_page()


def outcome(app: Flask, method: str, url: str, role: str, tags: frozenset[str] | None) -> str:
    """Return the scopes of which each alone is enough; `any` if none is needed."""
    if is_allowed(app, method, url, caller(role, frozenset(), tags)):
        return "any"
    enough = [
        scope
        for scope in Scope
        if is_allowed(app, method, url, caller(role, frozenset({scope}), tags))
    ]
    # More scopes never allow less.
    assert is_allowed(app, method, url, caller(role, frozenset(Scope), tags)) is bool(enough)
    return ",".join(enough) or "-"


def matrix(app: Flask) -> str:
    """Return the outcome of each route as text: one column a role, limited ones behind the bar."""
    rows = [["route", *ROLES, "|", *ROLES]]
    for method, rule, url in routes(app):
        free = [outcome(app, method, url, role, None) for role in ROLES]
        limited = [outcome(app, method, url, role, frozenset({"a"})) for role in ROLES]
        rows.append([f"{method} {rule}", *free, "|", *limited])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def test_each_route_allows_what_the_file_says(app: Flask) -> None:
    assert matrix(app) == MATRIX.read_text()


def test_over_http_each_route_refuses_whom_the_file_refuses(
    app: Flask, api_of: Callable[..., Api], page_of: Callable[..., Page]
) -> None:
    lines = MATRIX.read_text().splitlines()[1:]
    cells = [line.split() for line in lines]
    expected = {f"{method} {rule}": outcomes[:6] for method, rule, *outcomes in cells}
    for column, role in enumerate(ROLES):
        name, _, grant = role.partition("+")
        grants = (grant,) if grant else ()
        api, page = api_of(name, grants=grants), page_of(name, grants)
        for method, rule, url in routes(app):
            body: Any = {} if method in ("POST", "PUT", "PATCH") else None
            if rule.endswith(SIGN_OUT):
                continue
            if is_page(app, method, url):
                answer = page.get(url) if method == "GET" else page.post(url)
            else:
                answer = api.send(method, f"/{url}", json=body, headers={"If-Match": "*"})
            is_refused = answer.status_code == 403 and "may not" in answer.text
            assert is_refused is (expected[f"{method} {rule}"][column] == "-"), (role, method, url)


def test_a_route_without_an_entry_does_not_start(app: Flask) -> None:
    permissions.check_table(app)
    app.view_functions["new.route"] = lambda: ""
    app.url_map.add(app.url_rule_class("/api/v1/new", endpoint="new.route"))

    with pytest.raises(RuntimeError, match=r"no entry in the table .*new\.route"):
        permissions.check_table(app)


def test_a_route_that_the_table_does_not_know_is_allowed_to_nobody(app: Flask, api: Api) -> None:
    app.view_functions["new.route"] = lambda: "secret"
    app.url_map.add(app.url_rule_class("/api/v1/new", endpoint="new.route"))

    answer: Any = api.get("/new")

    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_a_refusal_is_a_sentence_that_says_who_may(api_of: Callable[..., Api]) -> None:
    answer = api_of("operator", name="ci-deploy").post("/jobs", {})

    assert answer.status_code == 403
    assert answer.json["code"] == "forbidden"
    assert answer.json["detail"] == "ci-deploy (operator) may not change jobs. An editor can."
