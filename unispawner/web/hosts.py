"""Checks that the host which a job reports is the host on which the scheduler runs it.

A job runs whatever its user wants. If its report alone counted, it could point its route at
anything that the proxy can reach.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable

import psutil

from ..errors import InvalidJobError, SchedulerUnavailable
from ..tasks import Questions
from .own_host import Address

_DNS_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
_HOST = re.compile(rf"{_DNS_NAME.pattern}|[0-9A-Fa-f:.]{{2,45}}", re.ASCII)
_LONGEST = 255
RESOLVE_TIMEOUT = 5.0
"""How long (seconds) a name may take to be resolved."""
SHORT_TIMEOUT = 2.0
"""The same for a reported name that another host can resolve, too: the job waits for the answer."""


def _resolve(host: str) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


# Users' names have threads of their own, so that the scheduler's names never wait for them.
_OURS = Questions(4, "unispawner-resolve")
_THEIRS = Questions(32, "unispawner-resolve-reported")


_FIX_REPORT = "Check c.UniSpawner.report_host and c.UniSpawner.host_map."
_FIX_NAME = "Set an address for it in c.UniSpawner.host_map."
_FIX_LEGACY = "It was read from the output of batch_query_cmd (state_exechost_re, state_gethost)."


def check_form(reported: str) -> None:
    """Check that a text which a job has reported can be a host's name or address.

    Raises
    ------
    InvalidJobError
        If it can't.
    """
    if not _HOST.fullmatch(reported):
        raise InvalidJobError(f"host: {reported[:300]!r} is neither a host name nor an address")


def is_dns_name(host: str) -> bool:
    """Return whether a certificate can name a host so: it is a host's name and not an address."""
    return bool(_DNS_NAME.fullmatch(host)) and not host.rpartition(".")[2].isdigit()


def is_same_name(one: str, other: str) -> bool:
    """Return whether two names are the full and the short name of one host."""
    return _first_label(one) == _first_label(other)


async def check_host(
    reported: str,
    exec_host: str,
    *,
    loopback: bool,
    asker: str = "",
    find_address: Callable[[], Awaitable[str]] | None = None,
    resolve: Callable[[str], Awaitable[Collection[str]]] | None = None,
    on_own_host: Callable[[set[Address], set[Address]], Awaitable[str]] | None = None,
) -> str:
    """Return the address at which the Hub reaches a server.

    Parameters
    ----------
    reported
        The host that the job says it runs on, after ``host_map``: a name or an address.
    exec_host
        The host that the scheduler says it runs on, after ``host_map``.
    loopback
        True if jobs run on the Hub's own host.
    asker
        Whose job it is: one name at a time is resolved for each.
    find_address
        Returns another name or address of ``exec_host``, for a Hub that can't resolve it; empty if
        there is none.
    resolve
        Returns the addresses of ``reported``, for a Hub that can't resolve it; none if nobody can.
        They are as good as the Hub's own, since only those of ``exec_host`` count.
    on_own_host
        Checks a server on the Hub's own host, and returns its address; called with the addresses of
        both names and with all addresses of this host. None refuses servers on this host.

    Raises
    ------
    InvalidJobError
        If they are different hosts, or no server may be on this host.
    SchedulerUnavailable
        If a name can't be resolved at the moment.
    """
    check_form(reported)
    wanted = await _addresses_of_scheduler(exec_host, find_address)
    if is_same_name(reported, exec_host):
        addresses = wanted  # a full and a short name: the scheduler's is resolved
    else:
        addresses = await _addresses_of_report(reported, asker, resolve)
    own = own_addresses()
    if loopback:
        wanted |= own
    if on_own_host and _all_here(wanted, own) and any(_here(one, own) for one in addresses):
        return await on_own_host(addresses | wanted, own)
    both = sorted(addresses & wanted, key=lambda address: (address.version, int(address)))
    if not both:
        raise InvalidJobError(
            f"host: the server reports {reported} ({_list(addresses)}), but the scheduler says "
            f"that its job runs on {exec_host} ({_list(wanted)}). If both are right, map the "
            "scheduler's name to the reported address in c.UniSpawner.host_map, or choose what "
            "servers report in c.UniSpawner.report_host."
        )
    if not loopback:
        _refuse_special(reported, both, own, _FIX_REPORT)
    return str(both[0])


async def _addresses_of_report(
    reported: str, asker: str, resolve: Callable[[str], Awaitable[Collection[str]]] | None
) -> set[Address]:
    """Return the addresses of a name that a job has reported; ``resolve`` helps the Hub."""
    if resolve is None:
        return await _addresses(reported, _THEIRS, asker, _FIX_NAME)
    try:
        return await _addresses(reported, _THEIRS, asker, _FIX_NAME, SHORT_TIMEOUT)
    except SchedulerUnavailable as here:
        try:
            found = await resolve(reported)
        except SchedulerUnavailable as there:
            raise SchedulerUnavailable(f"{here.message} submit_host: {there.message}") from None
        if not found:
            raise SchedulerUnavailable(f"{here.message} The submit host can't, either.") from None
        return {_unmapped(ipaddress.ip_address(one)) for one in found}


async def _addresses_of_scheduler(
    exec_host: str, find_address: Callable[[], Awaitable[str]] | None
) -> set[Address]:
    """Return the addresses of the scheduler's name of a node, or of what stands for the name."""
    try:
        return await _addresses(exec_host, _OURS, exec_host, _FIX_NAME)
    except SchedulerUnavailable:
        other = await find_address() if find_address else ""
        if not other and is_same_name(exec_host, socket.gethostname()):
            other = "127.0.0.1"  # not all hosts can resolve their own name (HTCondor's full one)
        if not other:
            raise
    return await _addresses(other, _OURS, other, _FIX_NAME)


async def check_exec_host(exec_host: str, *, here: bool, asker: str = "") -> str:
    """Return the address of the host that a legacy class's query names; no report counts.

    Parameters
    ----------
    here
        True if the job has shown that it runs on the Hub's own host.
    asker
        Whose job it is: one name at a time is resolved for each.

    Raises
    ------
    InvalidJobError
        If no server may be on this host.
    SchedulerUnavailable
        If the name can't be resolved at the moment.
    """
    # The job's user may have written parts of the scheduler's answer.
    if len(exec_host) > _LONGEST:
        raise InvalidJobError(
            f"exec_host: {exec_host[:_LONGEST]!r}… is longer than a host name can be "
            f"({_LONGEST} characters)"
        )
    found = await _addresses(exec_host, _THEIRS, asker, _FIX_LEGACY)
    _refuse_special(exec_host, found, own_addresses(), _FIX_LEGACY, here=here)
    return str(min(found, key=lambda address: (address.version, int(address))))


def own_addresses() -> set[Address]:
    """Return all addresses of this host."""
    texts = {
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    }
    return {_unmapped(ipaddress.ip_address(text)) for text in texts}


async def is_own_host(name: str) -> bool:
    """Return whether a name of the scheduler's is that of this host; False if it is unknown."""
    try:
        found = await _addresses(name, _OURS, name, "")
    except (InvalidJobError, SchedulerUnavailable):
        return is_same_name(name, socket.gethostname())
    return _all_here(found, own_addresses())


def is_own_address(address: str) -> bool:
    """Return whether an address belongs to this host."""
    parsed = _unmapped(ipaddress.ip_address(address.partition("%")[0]))
    return _here(parsed, own_addresses())


def _refuse_special(
    host: str, addresses: Iterable[Address], own: set[Address], fix: str, *, here: bool = False
) -> None:
    """Raise InvalidJobError for an address that no server may have; ``here`` allows the Hub's."""
    for address in addresses:
        mine = _here(address, own)
        if mine and here:
            continue
        if mine or _is_special(address):
            kind = "an address of the Hub's own host" if mine else "which is not a node's address"
            raise InvalidJobError(
                f"host: {host} is {address}, {kind}. No server may be there. {fix}"
            )


async def _addresses(
    host: str, lookups: Questions, asker: str, fix: str, seconds: float | None = None
) -> set[Address]:
    seconds = RESOLVE_TIMEOUT if seconds is None else seconds
    try:
        return {_unmapped(ipaddress.ip_address(host))}  # it takes no thread
    except ValueError:
        pass
    try:
        found = await lookups.ask(_resolve, host, asker, seconds)
    except socket.gaierror as error:
        raise SchedulerUnavailable(
            f"The Hub's host can't resolve {host!r} ({error.strerror}). {fix}"
        ) from None
    except asyncio.TimeoutError:
        raise SchedulerUnavailable(
            f"{host!r} could not be resolved within {seconds:g} s. Check the name service "
            "of the Hub's host."
        ) from None
    except UnicodeError:
        raise InvalidJobError(f"host: {host!r} is not a valid host name") from None
    # A scope ("fe80::1%eth0") is not a part of the address.
    return {_unmapped(ipaddress.ip_address(text.partition("%")[0])) for text in found}


def is_loopback(host: str) -> bool:
    """Return whether a name or an address means, on every host, that host itself."""
    try:
        return _unmapped(ipaddress.ip_address(host)).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _first_label(host: str) -> str:
    """Return ``node1`` for ``node1.cluster.example``; an address is returned whole."""
    return host if re.fullmatch(r"[0-9.]+|.*:.*", host) else host.partition(".")[0].lower()


def _here(address: Address, own: set[Address]) -> bool:
    return address.is_loopback or address in own


def _all_here(addresses: set[Address], own: set[Address]) -> bool:
    return bool(addresses) and all(_here(one, own) for one in addresses)


def _unmapped(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_special(address: Address) -> bool:
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
    )


def _list(addresses: set[Address]) -> str:
    return ", ".join(sorted(str(address) for address in addresses))
