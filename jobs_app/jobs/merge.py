"""Two changes of one job, brought together field by field. Pure, no IO.

The documents are those of `revisions`: all fields of a job, instants as text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs_app.core.document_diff import is_other
from jobs_app.jobs.document import KINDS, in_same_field

Document = Mapping[str, Any]

#: The parts of a schedule that only make sense together: its kind, with the fields of it.
WHEN = "schedule.when"

_WHEN_FIELDS = tuple(dict.fromkeys(name for names in KINDS.values() for name in names))

#: Fields whose own fields are compared one by one.
_NESTED = ("kwargs", "schedule", "retry", "retention")


@dataclass(frozen=True, slots=True)
class FieldMerge:
    """A field that at least one of two changes has changed; None stands for an absent one."""

    name: str
    base: Any
    theirs: Any
    yours: Any

    @property
    def taken(self) -> str | None:
        """Whose value is taken: `theirs` or `yours`; None if somebody has to choose."""
        if not is_other(self.theirs, self.yours) or not is_other(self.base, self.yours):
            return "theirs"
        return None if is_other(self.base, self.theirs) else "yours"


def compare(base: Document, theirs: Document, yours: Document) -> list[FieldMerge]:
    """Return the fields that differ between any two of the documents, by name."""
    documents = in_same_field(base, theirs, yours)
    whole = _whole(documents)
    flat = [_flat(document, whole) for document in documents]
    return [
        FieldMerge(name, *values)
        for name in sorted({name for fields in flat for name in fields})
        if _differ(*(values := [fields.get(name) for fields in flat]))
    ]


def merged(
    base: Document, theirs: Document, yours: Document, choices: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return their document with your changes, and the names of fields still to be chosen.

    *choices* has `theirs` or `yours` by the names of fields that both have changed. What is not
    chosen is as they have it.
    """
    base, theirs, yours = in_same_field(base, theirs, yours)
    whole = _whole((base, theirs, yours))
    result, own = _flat(theirs, whole), _flat(yours, whole)
    unresolved = []
    for field in compare(base, theirs, yours):
        taken = field.taken or choices.get(field.name)
        if taken not in ("theirs", "yours"):
            unresolved.append(field.name)
        elif taken == "yours":
            if field.name in own:
                result[field.name] = own[field.name]
            else:
                result.pop(field.name, None)
    return _nested(result, whole), unresolved


def _differ(base: Any, theirs: Any, yours: Any) -> bool:
    return is_other(base, theirs) or is_other(base, yours)


def _whole(documents: Sequence[Document]) -> set[str]:
    """Return the fields that are compared as one.

    A job without a schedule has no part of one; arguments of two tasks cannot be mixed.
    """
    whole = {
        name for name in _NESTED if any(not isinstance(d.get(name), Mapping) for d in documents)
    }
    if len({d.get("task") for d in documents}) > 1:
        whole.add("kwargs")
    return whole


def _flat(document: Document, whole: set[str]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if name not in _NESTED or name in whole:
            flat[name] = value
        elif name == "schedule":
            flat[WHEN] = {part: value[part] for part in _WHEN_FIELDS if part in value}
            flat |= {f"{name}.{part}": v for part, v in value.items() if part not in _WHEN_FIELDS}
        else:
            flat |= {f"{name}.{part}": v for part, v in value.items()}
    return flat


def _nested(flat: Mapping[str, Any], whole: set[str]) -> dict[str, Any]:
    document: dict[str, Any] = {name: {} for name in _NESTED if name not in whole}
    for name, value in flat.items():
        outer, _, inner = name.partition(".")
        if not inner:
            document[name] = value
        elif name == WHEN:
            document[outer] |= value
        else:
            document[outer][inner] = value
    return document
