"""Checks of the host that a job reports. Addresses are literal: no test here needs a name
server."""

import socket
import threading
import time

import psutil
import pytest

from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.web import hosts
from unispawner.web.hosts import check_exec_host, check_host, is_own_host
from unispawner.web.own_host import Address

SPECIAL_ADDRESS = pytest.mark.threat(
    who="job",
    tries="It leads its route to the Hub's own services, or to special addresses.",
    stopped_by="Loopback, link-local and the Hub's own addresses are refused.",
)

# RFC 5737 and 3849: addresses for documentation, which no host has.
NODE, OTHER, NODE6 = "192.0.2.10", "192.0.2.11", "2001:db8::10"


def own_addresses() -> list[str]:
    """Return this host's addresses. Ask when a test runs: schedulers of ci/ add and remove some."""
    return sorted(
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    )


@pytest.mark.parametrize(
    ("reported", "exec_host", "expected"),
    [
        (NODE, NODE, NODE),
        (NODE6, NODE6, NODE6),
        (NODE6, "2001:DB8:0:0:0:0:0:10", NODE6),
        (f"::ffff:{NODE}", NODE, NODE),
        (NODE, f"::ffff:{NODE}", NODE),
    ],
)
async def test_the_jobs_own_host_is_taken(reported: str, exec_host: str, expected: str) -> None:
    """A report from the job's own host returns the host's address in its usual form, however it was
    written."""
    assert expected == await check_host(reported, exec_host, loopback=False)


async def test_names_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The full and the short name of a host are the same host, and its IPv4 address comes first."""
    addresses = {"node1.example": [NODE6, NODE], "node1": [NODE, NODE6], "node2": [OTHER]}
    _resolve(monkeypatch, addresses)
    assert NODE == await check_host("node1.example", "node1", loopback=False)
    with pytest.raises(InvalidJobError, match=rf"node2 .*{OTHER}.*node1"):
        await check_host("node2", "node1", loopback=False)


def _resolve(monkeypatch: pytest.MonkeyPatch, addresses: dict[str, list[str]]) -> None:
    def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        return [(0, 0, 0, "", (address, 0)) for address in addresses[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.threat(
    who="job",
    tries="It reports another host as its own, so that the proxy sends its user's requests there.",
    stopped_by="The Hub accepts only the host on which the scheduler says that the job runs.",
)
async def test_another_host_is_refused() -> None:
    """The error for another host names both hosts, and the two settings that may be wrong."""
    with pytest.raises(InvalidJobError, match=rf"{OTHER}.*{NODE}") as caught:
        await check_host(OTHER, NODE, loopback=False)
    assert "c.UniSpawner.host_map" in caught.value.message
    assert "c.UniSpawner.report_host" in caught.value.message


@SPECIAL_ADDRESS
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "127.1",
        "2130706433",
        "0x7f000001",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "localhost",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "240.0.0.1",
    ],
)
async def test_addresses_that_no_server_may_have(address: str) -> None:
    """Loopback, link-local, unspecified, multicast and reserved addresses are refused in any
    spelling, also if the scheduler's name of the node resolves to them."""
    with pytest.raises(InvalidJobError, match="^host: "):
        await check_host(address, address, loopback=False)


@SPECIAL_ADDRESS
async def test_the_hubs_own_addresses_are_refused() -> None:
    """The Hub's own addresses are refused, because the proxy would reach the Hub's own services for
    the user."""
    addresses = own_addresses()
    assert "127.0.0.1" in addresses
    for address in addresses:
        with pytest.raises(InvalidJobError, match="^host: "):
            await check_host(address, address, loopback=False)


@SPECIAL_ADDRESS
async def test_one_bad_address_among_good_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name with a node's address and a forbidden one is refused: the proxy could use either."""
    _resolve(monkeypatch, {"node1": [NODE, "127.0.0.1"]})
    with pytest.raises(InvalidJobError, match=r"127\.0\.0\.1"):
        await check_host("node1", "node1", loopback=False)


@pytest.mark.threat(
    who="job",
    tries="It reports a name of its own that has several addresses.",
    stopped_by="Only addresses that the reported and the scheduler's name share count.",
)
async def test_only_what_both_names_share_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only addresses that the reported and the scheduler's name share are used, so a name that a
    user has made up adds none."""
    _resolve(monkeypatch, {"mine": [OTHER, NODE], "node1": [NODE]})
    assert NODE == await check_host("mine", "node1", loopback=False)


@pytest.mark.parametrize(
    "reported",
    [
        *(
            "",
            " ",
            "-x",
            "a b",
            "a/b",
            "http://a",
            "node:80",
            "a\nb",
            "a\0",
            "[::1]",
            "user@a",
            "a;b",
        ),
        *("::1%eth0", "ünï", "\ud800", "a" * 300, "*", "$(id)", "a%00b"),
    ],
)
async def test_invalid_hosts(reported: str) -> None:
    """A text that is neither a host name nor an address is refused before it is resolved."""
    with pytest.raises(InvalidJobError, match="^host: "):
        await check_host(reported, NODE, loopback=False)


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..b"])
async def test_names_that_cannot_be_resolved_at_all(name: str) -> None:
    """A name with a label that is empty or too long is refused, or not found, as the system has
    it."""
    with pytest.raises((InvalidJobError, SchedulerUnavailable)):
        await check_host(name, NODE, loopback=False)


@pytest.mark.parametrize("error", [socket.EAI_NONAME, socket.EAI_AGAIN])
@pytest.mark.parametrize("unknown", ["reported", "exec_host"])
async def test_an_unresolvable_name_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, unknown: str, error: int
) -> None:
    """An unresolvable name is not a refusal, so the job reports again; the message names
    host_map."""

    def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        if host == "node.invalid":
            raise socket.gaierror(error, "Name or service not known")
        return [(0, 0, 0, "", (NODE, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    pair = ("node.invalid", NODE) if unknown == "reported" else (NODE, "node.invalid")
    with pytest.raises(SchedulerUnavailable, match=r"'node\.invalid'.*c\.UniSpawner\.host_map"):
        await check_host(*pair, loopback=False)


async def test_a_slow_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that takes too long is given up, and the message says so."""

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(hosts, "RESOLVE_TIMEOUT", 0.05)
    with pytest.raises(SchedulerUnavailable, match="could not be resolved within 0.05 s"):
        await check_host("node1", "node1", loopback=False)


async def test_a_reported_name_that_another_host_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this host can't resolve the name that a job reports, the submit host does it. Only the
    addresses of the job's own host count, as ever."""

    def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def resolve(name: str) -> list[str]:
        asked.append(name)
        return {"c3.example": [NODE6, NODE], "c4.example": [OTHER]}.get(name, [])

    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert NODE == await check_host("c3.example", NODE, loopback=False, resolve=resolve)
    with pytest.raises(InvalidJobError, match=rf"c4\.example \({OTHER}\)"):
        await check_host("c4.example", NODE, loopback=False, resolve=resolve)
    with pytest.raises(SchedulerUnavailable, match=r"can't resolve 'c5'.*submit host can't"):
        await check_host("c5", NODE, loopback=False, resolve=resolve)
    assert NODE == await check_host(NODE, NODE, loopback=False, resolve=resolve)
    assert ["c3.example", "c4.example", "c5"] == asked


async def test_why_the_submit_host_resolves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job reports again while the submit host does not answer, and the message has both
    reasons. A name that this host resolves needs no other host."""

    async def resolve(name: str) -> list[str]:
        raise SchedulerUnavailable("There is no connection to the broker.")

    def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        if host == "node1":
            return [(0, 0, 0, "", (NODE, 0))]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert NODE == await check_host("node1", NODE, loopback=False, resolve=resolve)
    with pytest.raises(SchedulerUnavailable, match=r"can't resolve 'c3'.*no connection"):
        await check_host("c3", NODE, loopback=False, resolve=resolve)


@pytest.mark.threat(
    who="user",
    tries="Their jobs report names that take long to resolve, so that nobody's report is checked.",
    stopped_by="One name of each user is resolved at a time, apart from the scheduler's names.",
)
async def test_dead_names_of_one_user_delay_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a name that a user has made up is resolved, another name of the same user is not, so
    that a user can't take all threads; other users' names are resolved at once."""
    release = threading.Event()
    asked: list[str] = []

    def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        asked.append(host)
        if host.startswith("dead"):
            release.wait(30)
        return [(0, 0, 0, "", (NODE, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(hosts, "RESOLVE_TIMEOUT", 0.05)
    try:
        for number in range(50):
            with pytest.raises(SchedulerUnavailable, match="could not be resolved"):
                await check_host(f"dead{number}", NODE, loopback=False, asker="eve")
        monkeypatch.setattr(hosts, "RESOLVE_TIMEOUT", 30.0)
        assert NODE == await check_host("node1", NODE, loopback=False, asker="alice")
    finally:
        release.set()
    assert ["dead0", "node1"] == asked


async def test_an_address_takes_no_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address is checked without the name service."""
    _resolve(monkeypatch, {})
    assert NODE == await check_host(NODE, NODE, loopback=False)


async def test_local_jobs_are_on_the_hubs_own_host() -> None:
    """The Hub's own addresses are accepted for the local scheduler."""
    for address in ("127.0.0.1", "::1", *own_addresses()):
        assert await check_host(address, "localhost", loopback=True)


async def test_local_jobs_are_on_no_other_host() -> None:
    """With the local scheduler another host's address is refused."""
    with pytest.raises(InvalidJobError):
        await check_host(NODE, "localhost", loopback=True)


# -- the Hub's own host as a node ---------------------------------------------------------------


async def _on_own_host(names: set[Address], own: set[Address]) -> str:
    """Stand for the check of what listens; tests/web/test_own_host.py has the real one."""
    assert {"127.0.0.1", "::1"} <= {str(one) for one in own}
    return ",".join(sorted(str(one) for one in names))


@pytest.mark.parametrize(
    ("reported", "exec_host", "expected"),
    [
        ("127.0.0.1", "vm", "127.0.0.1,127.0.1.1"),  # Debian's installer, the Hub at 127.0.0.1
        ("vm", "vm", "127.0.1.1"),
        ("vm.lan", "vm", "127.0.1.1"),
        ("127.0.0.1", "localhost", "127.0.0.1"),  # NodeName=localhost
        ("localhost", "vm", "127.0.0.1,127.0.1.1"),
        ("vm", "vm.localdomain", "127.0.0.1"),  # HTCondor: nobody can resolve it
        ("vm.localdomain", "vm.localdomain", "127.0.0.1"),
    ],
)
async def test_a_node_that_is_the_hubs_own_host(
    monkeypatch: pytest.MonkeyPatch, reported: str, exec_host: str, expected: str
) -> None:
    """If the scheduler's name leads to this host, and the report's, too, then what listens here
    decides, also where the host's name leads to loopback or nowhere. Without that check servers
    are refused here."""
    known = {"vm": "127.0.1.1", "localhost": "127.0.0.1"}

    def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (known[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "gethostname", lambda: "vm")
    found = await check_host(reported, exec_host, loopback=False, on_own_host=_on_own_host)
    assert expected == found
    assert await is_own_host(exec_host)
    with pytest.raises(InvalidJobError, match="^host: "):
        await check_host(reported, exec_host, loopback=False)


async def test_what_is_not_on_the_hubs_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report from another host, and a name that leads to this host and to another, are refused as
    ever; a job on another host can't report this one."""
    _resolve(monkeypatch, {"vm": ["127.0.0.1"], "both": ["127.0.0.1", NODE], "node1": [NODE]})
    for reported, exec_host in ((NODE, "vm"), ("both", "both"), ("vm", "node1")):
        with pytest.raises(InvalidJobError, match="^host: "):
            await check_host(reported, exec_host, loopback=False, on_own_host=_on_own_host)
    assert NODE == await check_host(NODE, "node1", loopback=False, on_own_host=_on_own_host)
    assert [True, False, False] == [await is_own_host(one) for one in ("vm", "both", "node1")]


# -- the host of a legacy class, which comes from its query -------------------------------------


@pytest.mark.threat(
    who="job",
    tries="A legacy class's query, which it can forge, names the Hub's own host.",
    stopped_by="A legacy server may be there only if its report came from there.",
)
async def test_a_legacy_server_on_the_hubs_own_host() -> None:
    """A legacy server may be on the Hub's own host only if its report came from there, and never at
    a link-local or unspecified address. The error names no setting of UniSpawner, which a legacy
    class does not have."""
    assert "127.0.0.1" == await check_exec_host("127.0.0.1", here=True)
    for host, here in (
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("169.254.169.254", True),
        ("0.0.0.0", True),
    ):
        with pytest.raises(InvalidJobError, match="No server may be there") as raised:
            await check_exec_host(host, here=here)
        # A legacy class has none of UniSpawner's settings.
        assert "batch_query_cmd" in raised.value.message
        assert "c.UniSpawner" not in raised.value.message
    assert NODE == await check_exec_host(NODE, here=True)


@pytest.mark.parametrize("host", ["n" * 64, "n" * 10**6, "n." * 10**6])
async def test_an_invalid_host_of_the_query(host: str) -> None:
    """A host name of the query that is too long is refused with a short message; the job's user may
    have written it."""
    with pytest.raises(
        InvalidJobError, match="longer than a host name|not a valid host name|can't resolve"
    ) as raised:
        await check_exec_host(host, here=False)
    assert len(str(raised.value)) < 500
