"""Values that follow from the settings: lists with commas as tuples, and defaults."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic.fields import FieldInfo

from jobs_app.core.command_limits import Limits, parse_limits
from jobs_app.core.network_allowlist import AllowlistEntry, parse_allowlist


class DerivedSettings:
    """Values that follow from the settings, which a subclass has."""

    if TYPE_CHECKING:  # pydantic would put them before all other settings
        imports: str
        worker_queues: str
        http_allow: str
        shell_users: str
        shell_default_user: str | None
        shell_limits: str
        env_files: str
        max_streams: int | None
        web_threads: int
        model_fields: ClassVar[dict[str, FieldInfo]]

    @property
    def import_modules(self) -> tuple[str, ...]:
        """The modules of JOBS_IMPORTS, in order."""
        return items(self.imports)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of JOBS_WORKER_QUEUES, in order."""
        return items(self.worker_queues)

    @cached_property
    def http_allowlist(self) -> tuple[AllowlistEntry, ...]:
        """The hosts and networks of JOBS_HTTP_ALLOW."""
        return parse_allowlist(self.http_allow)

    @property
    def shell_accounts(self) -> tuple[str, ...]:
        """The accounts that a job may name: those of JOBS_SHELL_USERS, and the default one."""
        names = [*items(self.shell_users), self.shell_default_user]
        return tuple(dict.fromkeys(filter(None, names)))

    @property
    def command_limits(self) -> Limits:
        """The limits of JOBS_SHELL_LIMITS."""
        return parse_limits(self.shell_limits)

    @property
    def tagged_env_files(self) -> tuple[tuple[str | None, Path], ...]:
        """The files of JOBS_ENV_FILES, each with the tag of its jobs: None for all jobs."""
        return tuple(map(_tagged, items(self.env_files)))

    @property
    def effective_max_streams(self) -> int:
        """Most streams open at once: fewer than there are threads, but at least one.

        Each open stream holds a thread, and other requests need one.
        """
        most = self.web_threads - 3 if self.max_streams is None else self.max_streams
        return max(1, min(most, self.web_threads - 1))

    @property
    def job_defaults(self) -> dict[str, Any]:
        """The default policies of a job, by the names of its fields."""
        prefix = "default_"
        return {
            name.removeprefix(prefix): getattr(self, name)
            for name in self.__class__.model_fields
            if name.startswith(prefix) and name != "default_jitter_seconds"
        }


def _tagged(text: str) -> tuple[str | None, Path]:
    tag, _, path = ("", "", text) if text.startswith("/") else text.partition("=")
    return tag or None, Path(path)


def items(text: str) -> tuple[str, ...]:
    """Return the parts of a list with commas, without spaces around them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
