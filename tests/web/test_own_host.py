"""Which socket of the Hub's own host may be a server's, with real sockets and saved tables."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.listening import MARK, listening

from unispawner.errors import InvalidJobError
from unispawner.web import own_host
from unispawner.web.hosts import own_addresses
from unispawner.web.own_host import (
    Address,
    Listener,
    OwnServer,
    Place,
    find_place,
    find_receivers,
    proxy_is_here,
    read_table,
    reserved_ports,
    still_listens,
)

ME, OTHER = os.getuid(), 54321
V4, V6 = ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")
ANY4, ANY6 = ipaddress.IPv4Address("0.0.0.0"), ipaddress.IPv6Address("::")
LAN = ipaddress.IPv4Address("192.0.2.10")

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1004        0 41 1 0
   1: 00000000:9C40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1005        0 42 1 0
   2: 0100007F:9C40 0100007F:1F91 01 00000000:00000000 00:00000000 00000000  1006        0 43 1 0
   3: 0A0200C0:19C4 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1004        0 45 1 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:9C40 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1007        0 51 1 0
   1: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1004        0 52 1 0
   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1004        0 53 1 0
"""  # noqa: E501 (as the kernel writes it)


def server(port: int, **fields: object) -> OwnServer:
    given = {"port": port, "uids": frozenset({ME}), "account": "alice", **fields}
    return OwnServer(**given)  # type: ignore[arg-type] # of the right types


@pytest.mark.skipif(sys.byteorder != "little", reason="the saved tables are little-endian")
def test_tables_of_the_kernel() -> None:
    """Sockets that listen on the port are read with address, account and number; connections and
    other ports are left out."""
    assert [Listener(V4, 1004, 41)] == list(read_table(TCP, 0x1F91))
    assert [Listener(ANY4, 1005, 42)] == list(read_table(TCP, 0x9C40))
    assert [Listener(LAN, 1004, 45)] == list(read_table(TCP, 0x19C4))
    assert [] == list(read_table(TCP, 0x9C4))
    assert [Listener(ANY6, 1007, 51)] == list(read_table(TCP6, 0x9C40))
    assert [Listener(V6, 1004, 52)] == list(read_table(TCP6, 0x1F91))
    assert [Listener(V4, 1004, 53)] == list(read_table(TCP6, 0x1F92))


@pytest.mark.parametrize(
    ("listening", "address", "expected"),
    [
        ([V4], V4, [V4]),
        ([ANY4], V4, [ANY4]),
        ([ANY4, V4], V4, [V4]),
        ([ANY4, V4], LAN, [ANY4]),
        ([LAN], V4, []),
        ([ANY6], V4, []),
        ([ANY6, ANY4], V4, [ANY4]),
        ([ANY4], V6, []),
        ([ANY6], V6, [ANY6]),
        ([ANY6, V6], V6, [V6]),
        ([], V4, []),
    ],
)
def test_who_gets_a_connection(
    listening: list[Address], address: Address, expected: list[Address]
) -> None:
    """A socket of the very address comes before one of all addresses; a socket of all IPv6
    addresses may be one for IPv6 only."""
    listeners = [Listener(one, ME, number) for number, one in enumerate(listening)]
    assert expected == [one.address for one in find_receivers(listeners, address)]


def own_and_lan() -> set[Address]:
    return {*own_addresses(), LAN}


NAME = ipaddress.IPv4Address("127.0.1.1")


@pytest.mark.parametrize(
    ("address", "names", "proxy_here", "expected"),
    [
        ("127.0.0.1", [V4], True, "127.0.0.1"),
        ("0.0.0.0", [V4], True, "127.0.0.1"),
        ("0.0.0.0", [NAME], True, "127.0.0.1"),
        ("0.0.0.0", [NAME, LAN], True, str(LAN)),
        ("0.0.0.0", [LAN], False, str(LAN)),
        ("127.0.0.1", [LAN], True, "127.0.0.1"),
        ("127.0.1.1", [NAME], True, "127.0.1.1"),
        ("127.0.0.1", [NAME], True, "127.0.0.1"),
        ("::1", [V4], True, "::1"),
        ("::", [NAME], True, "::1"),
    ],
)
def test_the_address_that_the_route_names(
    address: str, names: list[Address], proxy_here: bool, expected: str
) -> None:
    """The route names an address at which the server itself gets the connections: an address of a
    network where the names have one, because a proxy elsewhere reaches it, or else loopback."""
    with listening(address) as port:
        found = find_place(server(port, proxy_here=proxy_here), names, own_and_lan())
        assert expected == found.address
        assert still_listens(server(port), found) == found
    assert still_listens(server(port), found) is None


@pytest.mark.threat(
    who="job",
    tries="On the Hub's own host it reports the port of another program or of another user.",
    stopped_by="On the Hub's own host a report counts only if it comes from there, and if "
    "the job's account listens at that very address.",
)
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"from_here": False}, "came from another address or through the proxy"),
        ({"uids": frozenset({OTHER})}, "alice does not listen on port .*, but .* at 127.0.0.1"),
        ({"mark": "f" * 16}, "can't see that the process which listens on .* belongs to this job"),
        ({"proxy_here": False}, "The proxy is on another host: c.UniSpawner.report_host"),
    ],
)
def test_a_port_that_is_not_this_servers(fields: dict[str, object], words: str) -> None:
    """A report from elsewhere, another account's socket, another job's process and an address that
    a proxy elsewhere can't reach are refused with words."""
    with listening("127.0.0.1") as port, pytest.raises(InvalidJobError, match=f"^host: .*{words}"):
        find_place(server(port, **fields), [V4], own_and_lan())


@pytest.mark.threat(
    who="job",
    tries="On the Hub's own host it reports the port of the Hub, the proxy or a service.",
    stopped_by="Ports of the Hub, its proxy and its services never count.",
)
def test_a_reserved_port() -> None:
    """A port of the Hub, its proxy or its services is never a server's, whoever listens."""
    with listening("127.0.0.1") as port, pytest.raises(InvalidJobError, match="port of the Hub"):
        find_place(server(port, reserved=frozenset({port})), [V4], own_and_lan())


def test_a_socket_of_the_hubs_own_process() -> None:
    """A socket that the Hub's process itself has open is no server's."""
    refused = pytest.raises(InvalidJobError, match="no address of the route would lead")
    with socket.create_server(("127.0.0.1", 0)) as mine, refused:
        find_place(server(mine.getsockname()[1]), [V4], own_and_lan())


def test_nobody_listens() -> None:
    """A port on which nothing listens is refused; a container is a likely reason."""
    with listening("127.0.0.1") as port:
        pass
    with pytest.raises(InvalidJobError, match="nothing listens on port .*container"):
        find_place(server(port), [V4], own_and_lan())


@pytest.mark.threat(
    who="job",
    tries="It takes the port of another server of the same account.",
    stopped_by="Where the account distinguishes nothing, the process must have the job's mark.",
)
def test_the_mark_of_a_job() -> None:
    """Where the account does not distinguish servers, the process must have the job's mark. A
    server whose socket is still the same needs no second look; another socket on the port does."""
    with listening("127.0.0.1") as port:
        found = find_place(server(port, mark=MARK), [V4], own_and_lan())
        other = server(port, mark="f" * 16)
        assert found == still_listens(other, found)
        assert still_listens(other, Place(found.address, frozenset({1}))) is None
        assert found == still_listens(server(port, mark=MARK), Place(found.address, frozenset()))


@pytest.mark.threat(
    who="other user",
    tries="They take a port that a server on the Hub's own host has left.",
    stopped_by="Each poll looks whether the job's account still listens there.",
)
def test_another_accounts_socket_on_a_freed_port() -> None:
    """A port that another account has taken since is no longer the server's."""
    with listening("127.0.0.1") as port:
        place = find_place(server(port), [V4], own_and_lan())
        assert still_listens(server(port, uids=frozenset({OTHER})), place) is None


def test_another_account_at_the_wildcard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address is looked at by itself: where another account gets the connections, the route
    does not lead."""
    sockets = [Listener(LAN, OTHER, 1), Listener(ANY4, ME, 2), Listener(V6, OTHER, 3)]
    monkeypatch.setattr(own_host, "read_listeners", lambda port: iter(sockets))
    assert "127.0.0.1" == find_place(server(40000), [LAN, V6], own_and_lan()).address
    sockets[1] = replace(sockets[1], uid=OTHER)
    with pytest.raises(InvalidJobError, match="does not listen"):
        find_place(server(40000), [LAN, V4], own_and_lan())


def test_ports_of_the_hub() -> None:
    """The ports of the Hub, the proxy, its API and services are known from the Hub's settings."""
    proxy = SimpleNamespace(
        api_url="http://127.0.0.1:8001", public_url="http://:8000/", should_start=True
    )
    settings = {
        "hub": SimpleNamespace(port=8081, bind_url="http://127.0.0.1:8081/hub/"),
        "proxy": proxy,
        "services": {"a": SimpleNamespace(url="http://127.0.0.1:9101"), "b": SimpleNamespace()},
    }
    assert {8000, 8001, 8081, 9101} <= reserved_ports(settings)
    proxy.api_url = "http://127.0.0.1:eight"
    assert {8000, 8081, 9101} <= reserved_ports(settings)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8001", True),
        ("http://localhost:8001", True),
        (f"http://{LAN}:8001", True),
        ("http+unix://%2Frun%2Fproxy.sock", True),
        ("http://192.0.2.99:8001", False),
        ("http://proxy.example:8001", False),
    ],
)
def test_where_the_proxy_is(url: str, expected: bool) -> None:
    """A proxy that the Hub does not start is where its API is."""
    proxy = SimpleNamespace(api_url=url, should_start=False)
    assert expected is proxy_is_here({"proxy": proxy}, own_and_lan())
    proxy.should_start = True
    assert proxy_is_here({"proxy": proxy}, own_and_lan())
