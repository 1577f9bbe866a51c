"""Routes whose addresses are compiled when the first one is built.

Werkzeug compiles two functions for each route when it is added, which is half of the time that
it takes to make the application; most routes never build an address in a process.
"""

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule


class LateRule(Rule):
    """A route that is matched as usual; `werkzeug.routing.Rule` has the rest."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        # A private name of Werkzeug, with a test (tests/web/test_late_rule.py).
        compile_now = super()._compile_builder
        compiled: Callable[..., tuple[str, str]] | None = None

        # The rule has no name here: a value may have any.
        def build(*rule: Rule, **values: Any) -> tuple[str, str]:
            nonlocal compiled
            if compiled is None:
                compiled = compile_now(append_unknown)
            return compiled(*rule, **values)

        return build
