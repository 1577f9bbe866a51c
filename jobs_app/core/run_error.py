"""The error with which a run or an attempt ended, as it is stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a run failed: the name of the error's class, its message, and its traceback if known."""

    type: str
    message: str
    traceback: str | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> "RunError | None":
        """Return the error that a row holds; None if it holds none."""
        if document is None:
            return None
        traceback = document.get("traceback")
        return cls(
            type=str(document.get("type", "Error")),
            message=str(document.get("message", "")),
            traceback=traceback if isinstance(traceback, str) else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the error as a row holds it."""
        return {"type": self.type, "message": self.message, "traceback": self.traceback}

    def masked(self, mask: Callable[[Any], Any]) -> "RunError":
        """Return the error with the secrets taken out of its texts by *mask*."""
        return RunError(mask(self.type), mask(self.message), mask(self.traceback))

    def __str__(self) -> str:
        return f"{self.type}: {self.message}".rstrip(": ")
