"""Errors of a document, each at the field of the form that it belongs to. Pure, no IO."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from jobs_app.core.errors import FieldError
from jobs_app.core.validation_messages import escaped
from jobs_app.web.pages.form_fields import field_id

#: The name of what belongs to no field.
GENERAL = ""


def combined(own: Sequence[FieldError], checked: Iterable[FieldError]) -> list[FieldError]:
    """Return the errors of texts, and those *checked* that do not follow from them."""
    return [*own, *(error for error in checked if not any(_is_same(error, one) for one in own))]


def _is_same(error: FieldError, own: FieldError) -> bool:
    """Tell whether *error* is about the field of *own*, or about the object that it is in."""
    return f"{own.pointer}/".startswith(f"{error.pointer}/") and error.missing is None


def by_field(errors: Iterable[FieldError], names: Collection[str]) -> dict[str, list[str]]:
    """Return the sentences of *errors* by the names of fields; GENERAL has the rest.

    An error inside of a value belongs to the field of that value, one about a field that is
    missing to that field.
    """
    found: dict[str, list[str]] = {}
    for error in errors:
        name = _field_of(error, names)
        sentences = found.setdefault(name, [])
        if error.detail not in sentences:
            sentences.append(error.detail)
    return found


def _field_of(error: FieldError, names: Collection[str]) -> str:
    if error.missing is not None:
        missing = f"{error.pointer}/{escaped(error.missing)}"
        if missing in names:
            return missing
    pointer = error.pointer
    while pointer and pointer not in names:
        pointer = pointer.rpartition("/")[0]
    return pointer


def summary(found: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Return the id of its field and the sentence of each error, for the top of a form."""
    return [
        (field_id(name) if name else "", sentence)
        for name, sentences in found.items()
        for sentence in sentences
    ]


def at_lines(
    errors: Iterable[FieldError], lines: Mapping[str, int], *, prefix: str = ""
) -> list[tuple[int | None, str]]:
    """Return the line and the sentence of each error of a YAML text; None without a line.

    *prefix* is the pointer of the job in the text.
    """
    found = []
    for error in errors:
        pointer = prefix + error.pointer
        while pointer and pointer not in lines:
            pointer = pointer.rpartition("/")[0]
        found.append((lines.get(pointer) if pointer != prefix else None, error.detail))
    return found
