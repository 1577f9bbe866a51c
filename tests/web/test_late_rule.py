"""Routes build the same addresses as Werkzeug's own, which are compiled at once."""

from typing import Any

import pytest
from werkzeug.routing import Map, Rule

from jobs_app.web.late_rule import LateRule

RULES = ("/", "/jobs/<name>", "/jobs/<name>/runs/<int:number>", "/jobs/<self>")
CASES = [
    ("/", {}),
    ("/", {"q": "a b", "tag": "x"}),
    ("/jobs/<name>", {"name": "a/b ü"}),
    ("/jobs/<name>", {"name": "a", "append_unknown": "1"}),
    ("/jobs/<name>/runs/<int:number>", {"name": "a", "number": 7}),
    ("/jobs/<self>", {"self": "a"}),
]


def _build(rule_class: type[Rule], rule: str, values: dict[str, object], *, unknown: bool) -> str:
    routes = Map([rule_class(text, endpoint=text) for text in RULES])
    return routes.bind("example.org").build(rule, dict(values), append_unknown=unknown)


@pytest.mark.parametrize("unknown", [True, False])
@pytest.mark.parametrize("rule, values", CASES)
def test_an_address_is_that_of_a_usual_rule(
    rule: str, values: dict[str, object], unknown: bool
) -> None:
    late = _build(LateRule, rule, values, unknown=unknown)

    assert late == _build(Rule, rule, values, unknown=unknown)


def test_nothing_is_compiled_before_an_address_is_built() -> None:
    routes = Map([LateRule("/jobs/<name>", endpoint="job")])
    (rule,) = routes.iter_rules()
    adapter = routes.bind("example.org")
    builder: Any = rule._build_unknown

    assert adapter.match("/jobs/a") == ("job", {"name": "a"})
    assert "<builder" not in builder.__func__.__name__
    assert adapter.build("job", {"name": "a"}) == "/jobs/a"
