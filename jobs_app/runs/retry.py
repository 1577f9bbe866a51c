"""When a failed attempt is tried again: pure, no IO."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from jobs_app.core.field_spec import YEAR_SECONDS, FieldSpec
from jobs_app.core.states import RunState

#: The outcomes of an attempt that `on` may name.
RETRIED = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an attempt is retried, after which outcomes, and with which delay."""

    max_attempts: Annotated[
        int, FieldSpec("--max-attempts", "Attempts of a run, with the first.", 1, 1000)
    ] = 1
    delay_seconds: Annotated[
        float, FieldSpec("--retry-delay", "Wait before the second try.", 0, YEAR_SECONDS)
    ] = 30
    backoff: Annotated[
        Literal["constant", "exponential"], FieldSpec("--retry-backoff", "How the wait grows.")
    ] = "exponential"
    max_delay_seconds: Annotated[
        float, FieldSpec("--retry-max-delay", "Longest such wait.", 0, YEAR_SECONDS)
    ] = 600
    jitter: bool = True
    on: Annotated[
        tuple[RunState, ...],
        FieldSpec("--retry-on", "Outcomes to try again: failed,timed_out,lost.", most=3),
    ] = RETRIED

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "RetryPolicy":
        """Return the policy that a row's `retry` column holds; {} is the default."""
        fields = dict(stored)
        if "on" in fields:
            fields["on"] = tuple(RunState(state) for state in fields["on"])
        return cls(**fields)

    def as_json(self) -> dict[str, Any]:
        """Return it as a row's `retry` column holds it."""
        return {name: getattr(self, name) for name in RetryPolicy.__slots__} | {
            "on": [str(state) for state in self.on],
            # As the API sends them: a default of 30 is no other value than 30.0.
            "delay_seconds": float(self.delay_seconds),
            "max_delay_seconds": float(self.max_delay_seconds),
        }

    def allows(self, outcome: RunState, *, attempt: int) -> bool:
        """Tell whether attempt number *attempt*, which finished as *outcome*, is retried."""
        return attempt < self.max_attempts and outcome in self.on

    def delay(self, run_id: UUID, *, attempt: int) -> float:
        """Return the seconds between the end of *attempt* and the next one.

        With `jitter` it is between half and all of the nominal delay, and always the same
        for the same run and attempt.
        """
        factor = 2 ** (attempt - 1) if self.backoff == "exponential" else 1
        nominal = min(self.delay_seconds * factor, self.max_delay_seconds)
        if not self.jitter:
            return nominal
        # The low bits of a UUIDv7 are random; the attempt number varies them.
        share = ((run_id.int >> 8) * (2 * attempt + 1)) % 1000 / 1000
        return nominal * (0.5 + share / 2)
