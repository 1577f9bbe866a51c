"""Blueprints whose operations are described when somebody asks for the OpenAPI document.

flask-openapi3 makes the schemas of an operation when its function is decorated, which is half of
the time that it takes to import the API. Most processes never show the document.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask_openapi3 import APIBlueprint, OpenAPI
from flask_openapi3.types import ParametersTuple
from flask_openapi3.utils import parse_parameters


class LateBlueprint(APIBlueprint):
    """A blueprint that keeps its operations until `describe` is called."""

    def __init__(self, name: str, import_name: str, **options: Any) -> None:
        super().__init__(name, import_name, **options)
        self._undescribed: list[Callable[[], object]] = []

    def _collect_openapi_info(
        self, rule: str, func: Callable[..., Any], *, doc_ui: bool = True, **options: Any
    ) -> ParametersTuple:
        # A private name of flask-openapi3, with a test (tests/web/api/test_late_blueprint.py).
        if doc_ui:
            collect = super()._collect_openapi_info
            self._undescribed.append(partial(collect, rule, func, **options))
        # Without the description: only the models of the parameters.
        return parse_parameters(func, doc_ui=False)

    def describe(self, app: OpenAPI) -> None:
        """Describe the operations in the document of *app*, with which it is registered."""
        while self._undescribed:
            self._undescribed.pop(0)()
        new_tags = [tag for tag in self.tags if tag.name not in app.tag_names]
        app.tags += new_tags
        app.tag_names += [tag.name for tag in new_tags]
        app.paths.update(self.paths)
        app.components_schemas.update(self.components_schemas)
