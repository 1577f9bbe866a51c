"""What the address of a page asks for, read as the API reads it."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_origin

from flask import request
from pydantic import BaseModel, ValidationError

from jobs_app.web.api.schemas.base import raise_invalid

Model = TypeVar("Model", bound=BaseModel)


def read_query(model: type[Model], **defaults: Any) -> Model:
    """Return the parameters of the address as *model*; a field left empty takes its default.

    Raises InvalidInput. What the model does not know is left out: links grow in mails.
    """
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    sent: dict[str, Any] = {}
    for name, values in request.args.lists():
        if name in fields and (filled := [value for value in values if value]):
            takes_several = get_origin(fields[name].annotation) is tuple
            sent[name] = filled if takes_several else filled[0]
    return validated(model, defaults | sent)


def validated(model: type[Model], document: Mapping[str, Any]) -> Model:
    """Return *document* as *model*, as the API reads it; raises InvalidInput."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise_invalid(error)


def sent_fields(*names: str) -> dict[str, str]:
    """Return those fields *names* of the form that are not empty."""
    texts = {name: request.form.get(name, "").strip() for name in names}
    return {name: text for name, text in texts.items() if text}
