"""Variables of the environment that look like settings and are none."""

from collections.abc import Iterator, Mapping

from jobs_app.core.settings import Settings
from jobs_app.core.text import closest

# The command line and ./run use these variables; they are not settings.
OTHER_VARIABLES = frozenset({"JOBS_URL", "JOBS_TOKEN", "JOBS_PYTHON"})


def mistyped_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that is no setting, with the setting that it is close to."""
    known = {f"JOBS_{name.upper()}" for name in Settings.model_fields}
    for name in sorted(environment):
        if name.startswith("JOBS_") and name not in known | OTHER_VARIABLES:
            suggestion = closest(name, known, cutoff=0.8)
            if suggestion is not None:
                yield name, suggestion
