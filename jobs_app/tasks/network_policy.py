"""The network addresses that a job may call: by default none of the worker's own network."""

import asyncio
import socket
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import ip_address

from jobs_app.core.network_addresses import (
    Address,
    embedded_ipv4,
    is_metadata,
    is_nowhere,
    is_private,
)
from jobs_app.core.network_allowlist import AllowlistEntry, OwnServer
from jobs_app.tasks.context import HttpFailed


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """The rules for calls of an installation; `own` are the servers that it uses itself.

    `look_up_own` returns more of these at the time of a call, None if nobody knows them just
    then. `setting` names the setting of the allowlist, for people.
    """

    allows_private: bool = False
    allowlist: tuple[AllowlistEntry, ...] = ()
    own: tuple[OwnServer, ...] = ()
    setting: str = "JOBS_HTTP_ALLOW"
    look_up_own: Callable[[], Collection[OwnServer] | None] | None = None

    def refusal(self, address: Address, *, host: str = "", port: int = 0) -> str | None:
        """Return why *address* of *host* may not be called, None if it may.

        Link-local, metadata, multicast and unusable addresses are refused even where private
        ones are allowed; only an entry of the allowlist for exactly that address allows one.
        An IPv6 address that embeds an IPv4 address must pass in both forms.
        """
        for form in (address, *embedded_ipv4(address)):
            covering = [entry for entry in self.allowlist if entry.covers(host, port, form)]
            if any(entry.is_one_address for entry in covering):
                continue
            if is_metadata(form):
                rule = f"allowed only if {self.setting} has this very address"
                return f"a link-local or metadata address, {rule}"
            if is_nowhere(form):
                return "not the address of one machine"
            if is_private(form) and not self.allows_private and not covering:
                rule = f"allowed only by {self.setting} or JOBS_ALLOW_PRIVATE_ADDRESSES"
                return f"a private or loopback address, {rule}"
        return None

    def literal_refusal(self, host: str, port: int) -> str | None:
        """Return why *host*, an address or "localhost", may not be called.

        None if it may, and for a name: only a name server can tell.
        """
        try:
            address = ip_address("127.0.0.1" if host.lower() == "localhost" else host)
        except ValueError:
            return None
        return self.refusal(address, host=host, port=port)

    def own_server_refusal(
        self, address: Address, server: OwnServer, server_addresses: Iterable[Address], *, host: str
    ) -> str | None:
        """Return why *address* may not be called on the port of *server*, None if it may.

        A server on this machine is reached by each address of the machine. Only an entry of
        the allowlist with its host and its port allows a call.
        """
        servers, forms = set(server_addresses), [address, *embedded_ipv4(address)]
        is_server = any(form in servers for form in forms) or (
            any(map(_is_of_this_machine, servers)) and any(map(_is_of_this_machine, forms))
        )
        is_allowed = any(
            entry.port == server.port and entry.covers(host, server.port, form)
            for entry in self.allowlist
            for form in forms
        )
        if not is_server or is_allowed:
            return None
        return (
            f"jobs-app's own server of {server.setting}, allowed only by {self.setting} "
            "with its host and port"
        )

    def unknown_servers_refusal(self, address: Address, *, host: str, port: int) -> str | None:
        """Return why *address* may not be called while nobody knows which servers are our own.

        None if it may: public addresses, and what the allowlist names with its port.
        """
        forms = [address, *embedded_ipv4(address)]
        is_near = any(is_private(form) or _is_of_this_machine(form) for form in forms)
        is_allowed = any(
            entry.port == port and entry.covers(host, port, form)
            for entry in self.allowlist
            for form in forms
        )
        if not is_near or is_allowed:
            return None
        return "private, and no Sentinel of JOBS_REDIS_URL answers which servers are jobs-app's own"

    async def checked_addresses(self, host: str, port: int) -> list[Address]:
        """Return the addresses of *host*; call these, because a second look-up may differ.

        Raises HttpFailed if there is none, or if at least one of them is refused.
        """
        addresses = await asyncio.wrap_future(_look_up(host, port))
        for address in addresses:
            reason = self.refusal(address, host=host, port=port)
            if reason is not None:
                which = "it" if host == str(address) else str(address)
                raise HttpFailed(f"{host} may not be called: {which} is {reason}.")
        more = () if self.look_up_own is None else await asyncio.to_thread(self.look_up_own)
        if more is None:
            for address in addresses:
                reason = self.unknown_servers_refusal(address, host=host, port=port)
                if reason is not None:
                    detail = f"{host} may not be called now: it is {reason}."
                    raise HttpFailed(detail, may_pass=True)
        for server in (*self.own, *(more or ())):
            if server.port == port:
                servers = await asyncio.wrap_future(_look_up(server.host, port))
                for address in addresses:
                    reason = self.own_server_refusal(address, server, servers, host=host)
                    if reason is not None:
                        raise HttpFailed(f"{host} may not be called: it is {reason}.")
        return addresses


def _is_of_this_machine(address: Address) -> bool:
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _look_up(host: str, port: int) -> Future[list[Address]]:
    """Look *host* up in a thread of its own: a name server may hang for minutes."""
    future: Future[list[Address]] = Future()

    def look() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = [ip_address(info[4][0]) for info in infos]
        except UnicodeError:
            # No name server has a name with such labels (RFC 1035 §2.3.4).
            future.set_exception(HttpFailed(f"{host} cannot be found: it is no name of a host."))
        except (OSError, ValueError, OverflowError) as error:
            future.set_exception(HttpFailed(f"{host} cannot be found: {error}.", may_pass=True))
        else:
            future.set_result(list(dict.fromkeys(addresses)))

    threading.Thread(target=look, name="look-up", daemon=True).start()
    return future
