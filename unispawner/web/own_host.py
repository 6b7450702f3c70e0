"""A server on the Hub's own host: whether a port is that server's, and at which address.

On this host are also the Hub, the proxy, services and other people's programs, and the proxy would
reach all of them for the user of a server. So a job's word is not enough here. The kernel says
which account listens: ``/proc/net/tcp`` and ``tcp6`` list the sockets of the Hub's network
namespace, and every account may read them. The launcher reads them, too: it must be a single file.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..errors import InvalidJobError
from ..job import MARK_VARIABLE

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LISTEN = "0A"
_LOOPBACK = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))
_TABLES = ("tcp", "tcp6")


@dataclass(frozen=True)
class Listener:
    """A socket of this host that listens.

    Attributes
    ----------
    address
        Its address; unspecified (``0.0.0.0``, ``::``) stands for every one.
    uid
        The account that opened it.
    inode
        Its number, which the processes that have it open show.
    """

    address: Address
    uid: int
    inode: int


@dataclass(frozen=True)
class OwnServer:
    """What must be true of a server on the Hub's own host.

    Attributes
    ----------
    port
        Where it has reported to listen.
    uids
        The accounts that its job may run under.
    account
        The job's account, for messages.
    from_here
        True if the report came from this host, and not through the proxy.
    reserved
        The ports of the Hub, its proxy and its services: no server's.
    mark
        The job's mark, which the environment of the process must have, because the uid does not
        distinguish the server; empty if it does.
    proxy_here
        True if the proxy is on this host, so that it reaches loopback addresses.
    """

    port: int
    uids: frozenset[int]
    account: str
    from_here: bool = True
    reserved: frozenset[int] = frozenset()
    mark: str = ""
    proxy_here: bool = True


@dataclass(frozen=True)
class Place:
    """Where a server on this host is: the address of its route, and the sockets that listen."""

    address: str
    inodes: frozenset[int]


def find_place(server: OwnServer, names: Iterable[Address], own: set[Address]) -> Place:
    """Return where the proxy reaches a server on this host.

    It reads files of ``/proc``, so it does not belong on the event loop.

    Parameters
    ----------
    names
        The addresses of the names that the job and the scheduler have for this host. An address of
        a network comes before loopback, because a proxy elsewhere can reach it.
    own
        All addresses of this host.

    Raises
    ------
    InvalidJobError
        If the port can't be shown to be this server's.
    """
    if not server.from_here:
        raise InvalidJobError(
            "host: the job runs on the Hub's own host, but its report came from another address or "
            "through the proxy. The servers of this host must report to the Hub itself, at an "
            "address of this host: check c.JupyterHub.hub_ip and c.Spawner.hub_connect_url."
        )
    if server.port in server.reserved:
        raise InvalidJobError(
            f"port: {server.port} is a port of the Hub, of its proxy or of a service of the Hub. "
            "No server may be there."
        )
    listeners = list(read_listeners(server.port))
    bound = [one.address for one in listeners if one.uid in server.uids]
    for address in _candidates(server, names, own, bound):
        receivers = find_receivers(listeners, address)
        if receivers and all(_is_servers(one, server) for one in receivers):
            return Place(str(address), frozenset(one.inode for one in receivers))
    raise InvalidJobError(_explain(server, listeners))


def still_listens(server: OwnServer, place: Place) -> Place | None:
    """Return the place with its sockets of now if a server still listens there, else None.

    The same sockets are the same server's: no other process can get them.
    """
    listeners = list(read_listeners(server.port))
    receivers = find_receivers(listeners, ipaddress.ip_address(place.address))
    if not receivers or any(one.uid not in server.uids for one in receivers):
        return None
    inodes = frozenset(one.inode for one in receivers)
    if inodes == place.inodes or all(_is_servers(one, server) for one in receivers):
        return Place(place.address, inodes)
    return None


def find_receivers(listeners: Iterable[Listener], address: Address) -> list[Listener]:
    """Return the sockets that may get a connection to an address: an exact one comes first.

    A socket that listens at ``::`` may get connections to IPv4 addresses as well, or not
    (IPV6_V6ONLY), and the table does not say which. So it counts for IPv6 only.
    """
    exact = [one for one in listeners if one.address == address]
    same_kind = [one for one in listeners if one.address.version == address.version]
    return exact or [one for one in same_kind if one.address.is_unspecified]


def read_listeners(port: int) -> Iterator[Listener]:
    """Yield the sockets of the Hub's network namespace that listen on a port."""
    for name in _TABLES:
        try:
            text = Path("/proc/net", name).read_text(encoding="ascii")
        except FileNotFoundError:  # a kernel without IPv6
            continue
        yield from read_table(text, port)


def read_table(text: str, port: int) -> Iterator[Listener]:
    """Read the text of ``/proc/net/tcp`` or ``tcp6`` (proc(5))."""
    suffix = f":{port:04X}"
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN and fields[1].endswith(suffix):
            address = _read_address(fields[1].partition(":")[0])
            yield Listener(address, int(fields[7]), int(fields[9]))


def _read_address(digits: str) -> Address:
    """Read an address: each 32 bits of it are a number in the machine's own order of bytes."""
    if len(digits) not in (8, 32):
        raise ValueError(f"{digits[:40]!r} is not an address of /proc/net/tcp")
    words = [int(digits[start : start + 8], 16) for start in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _candidates(
    server: OwnServer, names: Iterable[Address], own: set[Address], bound: list[Address]
) -> list[Address]:
    """Return the addresses that the route may name, the best first."""
    mine = [one for one in names if one in own or one.is_loopback]
    mine += [one for one in bound if one in own or one.is_loopback]
    order = sorted(dict.fromkeys(mine), key=lambda one: (one.is_loopback, one.version, int(one)))
    usable = [one for one in order if not (one.is_link_local or one.is_loopback)]
    if not server.proxy_here:
        return usable
    return list(dict.fromkeys([*usable, *_LOOPBACK, *(one for one in order if one.is_loopback)]))


# -- whose socket it is -------------------------------------------------------------------------


def _is_servers(listener: Listener, server: OwnServer) -> bool:
    if listener.uid not in server.uids or f"socket:[{listener.inode}]" in _files("self"):
        return False
    return not server.mark or has_mark(listener.inode, server.mark)


def has_mark(inode: int, mark: str) -> bool:
    """Return whether a socket belongs to a job's processes: those with its mark, and descendants.

    A program may overwrite its environment, so the processes above it count, too. False if the
    Hub's account may not see the process.
    """
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    return any(
        wanted in _read(f"/proc/{above}/environ").split(b"\0")
        for pid in _holders(inode)
        for above in _line_of(pid)
    )


def _holders(inode: int) -> Iterator[int]:
    """Yield the processes that have a socket open, as far as the Hub's account may see them."""
    name = f"socket:[{inode}]"
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if name in _files(entry):
            yield int(entry)


def _files(process: str) -> Iterator[str]:
    """Yield what a process has open; nothing if it is another account's or has ended."""
    try:
        files = os.listdir(f"/proc/{process}/fd")
    except OSError:
        return
    for file in files:
        try:
            yield os.readlink(f"/proc/{process}/fd/{file}")
        except OSError:
            continue  # it was closed


def _line_of(pid: int) -> Iterator[int]:
    """Yield a process and those above it, without the first of all."""
    while pid > 1:
        yield pid
        after_name = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        pid = int(after_name[1]) if len(after_name) > 1 else 0


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


# -- the Hub's own ports ------------------------------------------------------------------------


def reserved_ports(settings: Mapping[str, Any]) -> frozenset[int]:
    """Return the ports of the Hub, of its proxy and of its services.

    Parameters
    ----------
    settings
        The settings of the Hub's application.
    """
    hub, proxy = settings.get("hub"), settings.get("proxy")
    services = (settings.get("services") or {}).values()
    urls = [getattr(hub, "bind_url", ""), *_api_urls(proxy), getattr(proxy, "public_url", "")]
    urls += [getattr(service, "url", "") for service in services]
    ports = {_split(url).port for url in urls}
    return frozenset({getattr(hub, "port", 0), *(port for port in ports if port)})


def proxy_is_here(settings: Mapping[str, Any], own: set[Address]) -> bool:
    """Return whether the Hub's proxy runs on this host, as far as its settings say."""
    proxy = settings.get("proxy")
    if getattr(proxy, "should_start", True):
        return True
    hosts = {_split(url).hostname for url in _api_urls(proxy) if "+unix:" not in url}
    here = {None, "localhost", socket.gethostname()}
    return all(host in here or _is_own(host, own) for host in hosts)


def _api_urls(proxy: Any) -> list[str]:
    """Return where the API of a proxy listens: of configurable-http-proxy, or of traefik."""
    return [str(getattr(proxy, name, "") or "") for name in ("api_url", "traefik_api_url")]


def _split(url: str) -> SplitResult:
    try:
        found = urlsplit(url)
        _ = found.port  # raises if it is no number
    except ValueError:
        return urlsplit("")
    return found


def _is_own(host: str | None, own: set[Address]) -> bool:
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return address.is_loopback or address in own


# -- words --------------------------------------------------------------------------------------


def _explain(server: OwnServer, listeners: list[Listener]) -> str:
    where = f"port {server.port} of the Hub's own host, on which the job runs"
    if not listeners:
        return (
            f"host: nothing listens on {where}. A server in a container must use the host's "
            "network."
        )
    seen = ", ".join(f"{_name(one.uid)} at {one.address}" for one in listeners)
    if all(one.uid not in server.uids for one in listeners):
        return f"host: {server.account} does not listen on {where}, but {seen}."
    if server.mark and not any(_is_servers(one, server) for one in listeners):
        return (
            f"host: the Hub can't see that the process which listens on {where} ({seen}) belongs "
            "to this job. Several servers or the Hub itself run under that account, so the account "
            "alone does not show it."
        )
    fix = (
        "Let it listen at all addresses (c.Spawner.ip = '0.0.0.0'), or at one that the Hub's "
        "proxy reaches."
    )
    if not server.proxy_here:
        fix += " The proxy is on another host: c.UniSpawner.report_host chooses an address for it."
    return f"host: no address of the route would lead to this server on {where} ({seen}). {fix}"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
