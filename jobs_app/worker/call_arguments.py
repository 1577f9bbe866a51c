"""The arguments of one call of a task: from the kwargs of its run, and back for a retry."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs_app.core.json_storage import MOST_DEPTH, depth_of
from jobs_app.core.text import plain, text_of
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.arguments import TaskArguments, arguments_of


@dataclass(frozen=True, slots=True)
class CallArguments:
    """The arguments with which a task is called; the stored ones are not converted.

    `signature` is None if Python cannot read it: such a task takes only keyword arguments.
    """

    args: list[Any]
    kwargs: dict[str, Any]
    stored_args: list[Any]
    stored_kwargs: dict[str, Any]
    signature: TaskArguments | None
    _named: Mapping[str, Any]
    _stored: Mapping[str, Any]

    @classmethod
    def of(cls, task: AnyTask, stored: dict[str, Any]) -> "CallArguments":
        """Return the arguments for a run with the kwargs *stored*; raises ValueError."""
        signature = arguments_of(task)
        if signature is None:
            return cls([], stored, [], stored, None, stored, stored)
        named = signature.converted(stored)
        return cls(*signature.call(named), *signature.call(stored), signature, named, stored)

    def for_retry(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the kwargs of a run whose task asked to be called with *args* and *kwargs*.

        Raises ValueError, with a sentence, if a row cannot keep them.
        """
        if self.signature is not None:
            named = self.signature.named(args, kwargs)
            named = self.signature.as_json(named, received=self._named, stored=self._stored)
        elif args:
            raise ValueError("The task takes no positional arguments.")
        else:
            named = dict(kwargs)
        for name, value in named.items():
            if (problem := _problem(value)) is not None:
                raise ValueError(f"The argument {name!r} {problem}.")
        return named


def _problem(value: Any) -> str | None:
    """Return why a row cannot hold *value* as it is; None if it can."""
    if depth_of(value, most=MOST_DEPTH + 1) > MOST_DEPTH:
        return f"is nested deeper than {MOST_DEPTH} levels"
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except Exception as error:  # noqa: BLE001  # user objects may raise anything
        return f"is not JSON: {text_of(error)}"
    if plain(text) != text or "\\u0000" in text:
        return "has text with U+0000 or half of a surrogate pair"
    return None
