"""Is the host that a job reports the one on which the scheduler runs it?

A job runs what its user likes, so its word alone would let it point its route at anything that the
proxy can reach.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import psutil

from ..errors import InvalidJobError, SchedulerUnavailable

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_LONGEST = 255
RESOLVE_TIMEOUT = 5.0
"""Seconds."""

# A name that a user made up may take its time. Its thread can't be stopped: they get threads of
# their own, so that nobody else's start waits for them.
_OURS = ThreadPoolExecutor(4, "unispawner-resolve")
_THEIRS = ThreadPoolExecutor(4, "unispawner-resolve-reported")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def check_host(reported: str, exec_host: str, *, loopback: bool) -> str:
    """Return the address at which the Hub reaches a server.

    Parameters
    ----------
    reported
        The host that the job says it runs on: a name or an address.
    exec_host
        The host the scheduler says it runs on, after ``host_map``.
    loopback
        True if jobs run on the Hub's own host.

    Raises
    ------
    InvalidJobError
        If they are not the same host, or it is one that no server may be on.
    SchedulerUnavailable
        If a name can't be resolved just now.
    """
    if not _HOST.fullmatch(reported):
        raise InvalidJobError(f"host: {reported[:300]!r} is no host name and no address")
    wanted = await _addresses(exec_host, _OURS)
    if _first_label(reported) == _first_label(exec_host):
        addresses = wanted  # a full and a short name: what the scheduler says is resolved
    else:
        addresses = await _addresses(reported, _THEIRS)
    own = _own_addresses()
    if loopback:
        wanted |= own
    both = sorted(addresses & wanted, key=lambda address: (address.version, int(address)))
    if not both:
        raise InvalidJobError(
            f"host: the server reports {reported} ({_list(addresses)}), but the scheduler says "
            f"that its job runs on {exec_host} ({_list(wanted)}). If both are right, the "
            "administrator maps the one to the other in c.UniSpawner.host_map, or sets "
            "c.UniSpawner.report_host."
        )
    if not loopback:
        _refuse_own(reported, both, own)
    return str(both[0])


async def check_exec_host(exec_host: str, *, here: bool) -> str:
    """Return the address of the host that the scheduler gives, whatever the job says.

    Parameters
    ----------
    here
        True if the job has shown that it runs on the Hub's own host.

    Raises
    ------
    InvalidJobError
        If no server may be there.
    SchedulerUnavailable
        If the name can't be resolved just now.
    """
    # Its user may have had a hand in the answer.
    if len(exec_host) > _LONGEST:
        raise InvalidJobError(f"host: {exec_host[:_LONGEST]!r}… is no host name")
    found = await _addresses(exec_host, _THEIRS)
    _refuse_own(exec_host, found, _own_addresses(), here=here)
    return str(min(found, key=lambda address: (address.version, int(address))))


def is_own(address: str) -> bool:
    """Return whether an address is one of this host's."""
    parsed = _unmapped(ipaddress.ip_address(address.partition("%")[0]))
    return parsed.is_loopback or parsed in _own_addresses()


def _refuse_own(
    host: str, addresses: Iterable[Address], own: set[Address], *, here: bool = False
) -> None:
    """Refuse what no server may be at; the Hub's own host only if it isn't ``here``."""
    for address in addresses:
        mine = address.is_loopback or address in own
        if not here if mine else _never(address):
            raise InvalidJobError(
                f"host: {host} is {address}, an address of the Hub's own host or one that is not "
                "routed; no server may be there"
            )


async def _addresses(host: str, threads: ThreadPoolExecutor) -> set[Address]:
    loop = asyncio.get_running_loop()
    resolve = functools.partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.wait_for(loop.run_in_executor(threads, resolve), RESOLVE_TIMEOUT)
    except socket.gaierror as error:
        raise SchedulerUnavailable(
            f"The Hub's host can't resolve {host!r} ({error.strerror}); the administrator can map "
            "it to a name that it can, in c.UniSpawner.host_map."
        ) from None
    except asyncio.TimeoutError:
        raise SchedulerUnavailable(f"Resolving {host!r} took too long.") from None
    except UnicodeError:
        raise InvalidJobError(f"host: {host!r} is no host name") from None
    # A scope ("fe80::1%eth0") is no part of the address proper.
    texts = {str(entry[4][0]).partition("%")[0] for entry in found}
    return {_unmapped(ipaddress.ip_address(text)) for text in texts}


def _first_label(host: str) -> str:
    """Return ``node1`` of ``node1.cluster.example``, and the whole of an address."""
    return host if re.fullmatch(r"[0-9.]+|.*:.*", host) else host.partition(".")[0].lower()


def _own_addresses() -> set[Address]:
    texts = {
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    }
    return {_unmapped(ipaddress.ip_address(text)) for text in texts}


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _never(address: Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
    )


def _list(addresses: set[Address]) -> str:
    return ", ".join(sorted(str(address) for address in addresses))
