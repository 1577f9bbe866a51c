"""The settings that are lists with commas, as tuples."""

from functools import cached_property
from typing import TYPE_CHECKING

from jobs_app.core.command_limits import Limits, parse_limits
from jobs_app.core.network_allowlist import AllowlistEntry, parse_allowlist


class SettingLists:
    """The lists in the settings that a subclass has."""

    if TYPE_CHECKING:  # pydantic would put them before all other settings
        imports: str
        worker_queues: str
        http_allow: str
        shell_users: str
        shell_default_user: str | None
        shell_limits: str

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


def items(text: str) -> tuple[str, ...]:
    """Return the parts of a list with commas, without spaces around them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
