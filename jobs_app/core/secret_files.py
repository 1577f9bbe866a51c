"""The directories whose files are settings: those of containers, and of services of systemd."""

import os
from collections.abc import Mapping
from pathlib import Path

#: Docker and Podman mount secrets there.
CONTAINER_DIRECTORY = Path("/run/secrets")

#: systemd names in it where the credentials of a service are (systemd.exec(5)).
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"


def secrets_directories(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the directories that there are; a file in a later one counts more."""
    named = environment.get(CREDENTIALS_VARIABLE)
    directories = (CONTAINER_DIRECTORY, *([Path(named)] if named else []))
    return tuple(directory for directory in directories if directory.is_dir())


#: The directories of this process.
SECRETS_DIRECTORIES = secrets_directories(os.environ)
