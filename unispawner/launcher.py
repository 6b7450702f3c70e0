"""Starts a user's server on the compute node and tells the Hub where it listens.

Carried inside the job's script and run there, as the user, from standard input:

    python3 -I - [--host HOW] [--ports LOW-HIGH] [--] SERVER-COMMAND ARGUMENTS... <<'EOF'

It picks a free port, starts the server with that port in JUPYTERHUB_SERVICE_URL and in place of
each `{port}` among the arguments, waits until that very server listens, reports host and port
with the server's own token, and ends when the server ends, with its status.

A node has nothing of ours: one file, standard library only, Python >= 3.6, Linux. Imports that
cost more than a few milliseconds wait until the server is starting up itself.

The server stays in the process group and session of the job: PBS and TORQUE account and kill by
session, Grid Engine and some set-ups of Slurm by process group. A scheduler that signals the whole
group thus reaches the server twice, once through us. Two SIGTERM are one to Jupyter 2.21; of two
SIGINT (LSF's bkill) the second cuts its clean-up short, and its kernels' end is left to `sweep`.
"""

import errno
import os
import signal
import socket
import sys
import time
from itertools import islice

TYPE_CHECKING = False  # typing is not worth its 2 to 14 ms here
if TYPE_CHECKING:
    from http.client import HTTPConnection
    from typing import Dict, Iterable, Iterator, List, Optional, Set, Tuple

USAGE = "usage: python3 -I - [--host HOW] [--ports LOW-HIGH] [--] SERVER-COMMAND ARGUMENTS..."

# Seconds, where nothing else is said.
PORT_TRIES = 10  # servers started in a row because somebody took the port they were given
POLL_FIRST, POLL_GROWTH, POLL_LAST = 0.02, 1.05, 0.5  # growth 1.05: at most 5 % late
NOTE_INTERVAL = 60
REQUEST_TIMEOUT = 10
RETRY_FIRST, RETRY_LAST, RETRY_AFTER_LIMIT = 0.2, 30, 60
AWAIT_LAST = 5  # between looks for a Hub that is away
REFUSAL_PATIENCE = 120  # a Hub that is starting may not know its servers yet
TERM_GRACE = 10

ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
# SIGXCPU is Grid Engine's and a CPU limit's warning; it would end us, and the server with us.
PASSED_ON = ENDING | {signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT, signal.SIGXCPU}

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
SIOCGIFCONF = 0x8912  # linux/sockios.h


class Problem(Exception):
    """What is wrong, in words for the job's log; nothing has been started."""


def say(text: str) -> None:
    try:
        os.write(2, f"unispawner: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return  # a full disk under the job's log must not end the server


# --- what we are given ------------------------------------------------------------------------


class Url:
    """As much of a URL as is needed here; urllib.parse costs 3 to 10 ms."""

    def __init__(self, variable: str) -> None:
        text = os.environ.get(variable, "")
        self.scheme, _, rest = text.partition("://")
        netloc, slash, path = rest.partition("/")
        if ":" not in netloc or netloc.endswith("]"):
            netloc += ":"
        host, _, port = netloc.rpartition(":")
        if self.scheme not in ("http", "https") or not (port or "0").isdigit():
            raise Problem(f"{variable} is no http or https URL: {text!r}")
        self.host = host.strip("[]")
        self.port = int(port or 0)
        self.path = slash + path

    def with_port(self, port: int) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{port}{self.path}"


class Hub:
    """Where the Hub's API is, and how to be let in."""

    def __init__(self) -> None:
        url = Url("JUPYTERHUB_API_URL")
        self.scheme, self.host = url.scheme, url.host
        self.port = url.port or {"http": 80, "https": 443}[url.scheme]
        self.name = f"the Hub at {self.host} port {self.port}"
        self.report_path = url.path.rstrip("/") + "/unispawner/report"
        self.token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
        # Else http.client would refuse the header with an error that quotes the token.
        if not self.token or any(not "!" <= character <= "~" for character in self.token):
            raise Problem("JUPYTERHUB_API_TOKEN is missing or no token")

    def answers(self) -> bool:
        """Whether anything listens where the Hub should be."""
        try:
            socket.create_connection((self.host, self.port), REQUEST_TIMEOUT).close()
            return True
        except OSError:
            return False

    def connect(self) -> "HTTPConnection":
        """A connection not yet open. http.client knows no proxies and follows no redirect."""
        import http.client

        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=REQUEST_TIMEOUT)
        import ssl

        context = ssl.create_default_context(cafile=os.environ.get("JUPYTERHUB_SSL_CLIENT_CA"))
        certificate = os.environ.get("JUPYTERHUB_SSL_CERTFILE")
        if certificate:
            context.load_cert_chain(certificate, os.environ.get("JUPYTERHUB_SSL_KEYFILE"))
        return http.client.HTTPSConnection(
            self.host, self.port, timeout=REQUEST_TIMEOUT, context=context
        )


def parse_arguments(arguments: "List[str]") -> "Tuple[str, range, List[str]]":
    """How to find the host, the ports allowed (none: any), the server's command."""
    rest, options = list(arguments), {"--host": "fqdn", "--ports": ""}
    while rest and rest[0].startswith("--"):
        name, equals, value = rest.pop(0).partition("=")
        if name == "--":
            break
        if name not in options or not (equals or rest):
            raise Problem(f"{name}: {USAGE}")
        options[name] = value if equals else rest.pop(0)
    if not rest:
        raise Problem(USAGE)
    return options["--host"], parse_ports(options["--ports"]), rest


def parse_ports(text: str) -> range:
    if not text:
        return range(0)
    low, _, high = text.partition("-")
    if not (low.isdigit() and high.isdigit() and 1024 <= int(low) <= int(high) <= 65535):
        raise Problem(f"--ports takes LOW-HIGH within 1024-65535, not {text!r}")
    return range(int(low), int(high) + 1)


def given_environment() -> "Dict[bytes, bytes]":
    """The environment the job's script gave us; in its own, Python may set LC_CTYPE (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0"))
        return {name: value for name, equals, value in pairs if equals}


# --- the host to report -----------------------------------------------------------------------


def find_host(how: str, hub: Hub) -> str:
    """What `--host` asks for. Raises Problem with what there is, if that isn't there."""
    kind, _, value = how.partition(":")
    if kind == "literal" and value:
        return value
    if kind == "interface" and value:
        return first_address(how, (a for name, a in local_addresses() if name == value))
    if kind == "network" and value:
        return first_address(how, addresses_within(value))
    if how == "short":
        return short_name()
    if how == "route":
        return address_towards(hub)
    if how == "fqdn":
        names = filter(others_may_use, (socket.getfqdn(), short_name()))
        return next(names, "") or address_towards(hub)
    raise Problem(
        "--host takes fqdn, short, route, interface:NAME, network:ADDRESS/BITS or literal:NAME, "
        f"not {how!r}"
    )


def short_name() -> str:
    return socket.gethostname().split(".")[0]


def others_may_use(name: str) -> bool:
    """Whether the name leads to this host from elsewhere, too, as far as can be told from here.

    Debian's installer gives a host's name the address 127.0.1.1 in /etc/hosts.
    """
    try:
        found = {info[4][0] for info in socket.getaddrinfo(name, None)}
    except (OSError, UnicodeError):
        return False
    return not any(str(address).startswith("127.") or address == "::1" for address in found)


def address_towards(hub: Hub) -> str:
    """The address this host has in the Hub's eyes; connecting a UDP socket sends nothing."""
    try:
        family, _, _, _, address = socket.getaddrinfo(hub.host, hub.port, 0, socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise Problem(f"no way from here to {hub.name}: {error}. {inventory()}") from None


def addresses_within(network: str) -> "Iterator[str]":
    import ipaddress

    try:
        wanted = ipaddress.ip_network(network, strict=False)
    except ValueError as error:
        raise Problem(f"--host network:{network}: {error}") from None
    return (a for _, a in local_addresses() if ipaddress.ip_address(a) in wanted)


def first_address(how: str, addresses: "Iterator[str]") -> str:
    found = next(addresses, "")
    if not found:
        raise Problem(f"--host {how}: there is no such address here. {inventory()}")
    return found


def inventory() -> str:
    here = ", ".join(f"{name} {address}" for name, address in local_addresses())
    return f"This is {socket.gethostname()}, with {here or 'no address at all'}"


def local_addresses() -> "List[Tuple[str, str]]":
    """(interface, address) of all that are up, IPv4 first, without link-local ones of IPv6."""
    import array
    import fcntl
    import struct

    size = 40 if sys.maxsize > 2**32 else 32  # of struct ifreq: a name, then a struct sockaddr
    requests = array.array("B", bytes(1024 * size))
    request = struct.pack("iL", len(requests), requests.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        used = struct.unpack("iL", fcntl.ioctl(any_socket, SIOCGIFCONF, request))[0]
    found = []
    for start in range(0, used, size):
        entry = requests[start : start + size].tobytes()
        found.append((os.fsdecode(entry[:16].rstrip(b"\0")), socket.inet_ntoa(entry[20:24])))
    if os.path.exists("/proc/net/if_inet6"):
        with open("/proc/net/if_inet6") as table:
            for digits, _, _, scope, _, name in map(str.split, table):
                if scope != "20":
                    found.append((name, socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))))
    return found


# --- ports, and whose they are ----------------------------------------------------------------


def candidate_ports(service: Url, allowed: range) -> "Iterator[int]":
    """Ports free when asked for: the one that JUPYTERHUB_SERVICE_URL fixes, or those allowed.

    Where the choice is ours, none on which a stranger listens at another address of this host: the
    server could never be told from it.
    """
    if service.port:
        yield service.port
    elif allowed:
        # Each launcher starts elsewhere: those of one node would meet on the first free port.
        start = int.from_bytes(os.urandom(4), "big") % len(allowed)
        for port in (*allowed[start:], *allowed[:start]):
            if bind(service, port) and not listeners(port):
                yield port
    else:
        yield from (port for port in iter(lambda: bind(service, 0), 0) if not listeners(port))


def bind(service: Url, port: int) -> int:
    """Binds the port (0: one that the kernel picks) and lets it go; 0 when it is taken."""
    host = None if service.host in ("", "*") else service.host
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return 0
        where = service.with_port(port)
        raise Problem(f"cannot listen on {where}: {error}. {inventory()}") from None


def listeners(port: int) -> "Set[str]":
    """The inodes of all TCP sockets of this host that listen on the port, whoever owns them."""
    found = set()
    suffix = f":{port:04X}"
    for table in filter(os.path.exists, ("/proc/net/tcp", "/proc/net/tcp6")):
        with open(table) as lines:
            for line in lines:
                fields = line.split(None, 10)
                if fields[3] == "0A" and fields[1].endswith(suffix):
                    found.add(f"socket:[{fields[9]}]")
    return found


def open_files(pids: "Iterable[int]") -> "Set[str]":
    found = set()
    for pid in pids:
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                found.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
        except OSError:
            continue  # closed or ended meanwhile; the next look is soon
    return found


def descendants() -> "List[int]":
    children: "Dict[int, List[int]]" = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue  # ended meanwhile
        children.setdefault(parent, []).append(int(entry))
    found = children.get(os.getpid(), [])
    for pid in found:  # grows as it goes
        found.extend(children.get(pid, []))
    return found


# --- the server -------------------------------------------------------------------------------


def prctl(option: int, value: int) -> None:
    """Does nothing on a Python without ctypes. A server that leaves its parent is then not told
    from a stranger, and outlives a launcher killed by SIGKILL until the scheduler cleans up."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value))
    except (ImportError, OSError, AttributeError):
        pass


class Server:
    """The server's process. Signals are blocked, and taken and passed on in `wait` alone."""

    def __init__(self) -> None:
        # What the job has us ignore (nohup) the server ignores as well.
        self.signals = {s for s in PASSED_ON if signal.getsignal(s) != signal.SIG_IGN}
        self.signals.add(signal.SIGCHLD)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.given_mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
        self.told_to_end = False
        self.pid = 0
        self.status: "Optional[int]" = None
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # whoever loses a parent below us becomes our child

    def await_hub(self, hub: Hub) -> bool:
        """Waits for a Hub that is away; false if we are told to end meanwhile.

        jupyterhub-singleuser ends when it finds no Hub as it starts, and a job that has come up in
        the minute of a Hub's restart would be lost.
        """
        pause: float = RETRY_FIRST
        while not hub.answers():
            if pause == RETRY_FIRST:
                say(f"{hub.name} does not answer; the server starts as soon as it does")
            got = signal.sigtimedwait(self.signals - {signal.SIGCHLD}, pause)
            if got is not None and got.si_signo in ENDING:
                self.status = 128 + got.si_signo
                return False
            pause = min(2 * pause, AWAIT_LAST)
        return True

    def start(self, command: "List[str]", environment: "Dict[bytes, bytes]") -> None:
        self.status = None
        launcher = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() == launcher:
                    signal.pthread_sigmask(signal.SIG_SETMASK, self.given_mask)
                    execute(command, environment)
            finally:
                os._exit(126)

    def wait(self, seconds: float) -> bool:
        """Passes signals on for so long; true as soon as the server has ended."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            got = signal.sigtimedwait(self.signals, max(0, deadline - time.monotonic()))
            if got is None:
                return False
            if got.si_signo == signal.SIGCHLD:
                self.reap()
            else:
                self.told_to_end |= got.si_signo in ENDING
                kill_all([self.pid], got.si_signo)
        return True

    def reap(self) -> bool:
        """Takes note of children that ended; false when none is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.pid:
                    killed = os.WIFSIGNALED(status)
                    self.status = 128 + os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)
        except ChildProcessError:
            return False

    def wait_until_listening(self, port: int) -> bool:
        """True once it listens there, itself or through a descendant; false if it ended.

        Nobody else may: on another address of this host a stranger's socket could take what
        the Hub sends.
        """
        pause, next_note = POLL_FIRST, time.monotonic() + NOTE_INTERVAL
        while not self.wait(pause):
            found = listeners(port)
            if found and found <= open_files(descendants()):
                return True
            pause = min(pause * POLL_GROWTH, POLL_LAST)
            if time.monotonic() >= next_note:
                next_note += NOTE_INTERVAL
                stranger = ", where a process that is not the server's listens" if found else ""
                say(f"still waiting for the server to listen on port {port}{stranger}")
        return False

    def terminate(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            kill_all([self.pid], number)
            if self.wait(TERM_GRACE):
                return

    def sweep(self) -> None:
        """Ends what the server leaves behind, such as the real one when a shell script was asked
        to end and just died."""
        asked: "Set[int]" = set()
        start = time.monotonic()
        while self.reap() and time.monotonic() - start < 2 * TERM_GRACE:
            left = descendants()
            if time.monotonic() - start < TERM_GRACE:
                kill_all(set(left) - asked, signal.SIGTERM)
                asked.update(left)
            else:
                kill_all(left, signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)


def execute(command: "List[str]", environment: "Dict[bytes, bytes]") -> None:
    """Becomes the command, or ends with a shell's status for one that cannot be run."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # ours is this program's text
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell is the point
    except OSError as error:
        if error.errno == errno.ENOENT:
            say(f"cannot start {command[0]}: no such command, or its first line names no program")
            os._exit(127)
        say(f"cannot start {command[0]}: {error.strerror}")


def kill_all(pids: "Iterable[int]", number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue  # ended meanwhile, or became somebody else


# --- the report -------------------------------------------------------------------------------


class Report:
    """Tells the Hub host and port, in a thread of its own: looking a name up can't be interrupted,
    while signals and the server's end are to be seen at once."""

    def __init__(self, hub: Hub, host: str, port: int) -> None:
        import http.client  # noqa: F401 - 25 ms, better spent while the server starts up than later
        import threading

        self.hub, self.where = hub, {"host": host, "port": port}
        self.refused = False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        """Tries until the Hub has taken the report, or refused it for REFUSAL_PATIENCE."""
        backoff: float = RETRY_FIRST
        refused_since: "Optional[float]" = None
        said = ""
        while True:
            status, words, pause = self.attempt(backoff)
            if 200 <= status < 300:
                break
            if words != said:
                said = words
                say(f"{self.hub.name} has not taken the report yet ({words}); trying again")
            if status == 0 or status == 429 or status >= 500:
                refused_since = None
            else:
                refused_since = refused_since or time.monotonic()
                pause = min(pause, refused_since + REFUSAL_PATIENCE - time.monotonic())
                if pause <= 0:
                    self.refused = True
                    return
            time.sleep(pause)
            backoff = min(2 * backoff, RETRY_LAST)
        say("reported {host}:{port} to the Hub".format(**self.where))

    def attempt(self, backoff: float) -> "Tuple[int, str, float]":
        """The status (0: no answer), the Hub's words, the seconds to wait before the next one."""
        import http.client
        import random

        jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads the load, guards nothing
        try:
            status, words, retry_after = self.post()
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, str(error) or type(error).__name__, jitter * backoff
        pause = jitter * backoff
        if retry_after.isdigit():
            pause = min(int(retry_after), RETRY_AFTER_LIMIT) + jitter * RETRY_FIRST
        return status, f"{status} {words}", pause

    def post(self) -> "Tuple[int, str, str]":
        """The status, the message and the Retry-After of one answer."""
        import json

        headers = {"Authorization": f"token {self.hub.token}", "Content-Type": "application/json"}
        connection = self.hub.connect()
        try:
            connection.request("POST", self.hub.report_path, json.dumps(self.where), headers)
            response = connection.getresponse()
            text = response.read(65536).decode("utf-8", "replace")
        finally:
            connection.close()
        try:
            words = json.loads(text)["message"]
        except (ValueError, TypeError, LookupError):
            words = response.reason
        return response.status, " ".join(str(words).split()), response.getheader("Retry-After", "")


# --- all together -----------------------------------------------------------------------------


def main(arguments: "List[str]") -> int:
    how, allowed, command = parse_arguments(arguments)
    hub, service = Hub(), Url("JUPYTERHUB_SERVICE_URL")
    host = find_host(how, hub)
    environment = given_environment()
    server = Server()
    if not server.await_hub(hub):
        return server.status or 0
    port = 0
    for port in islice(candidate_ports(service, allowed), PORT_TRIES):
        if port < 1024:
            raise Problem(f"port {port} is not for users")
        environment[b"JUPYTERHUB_SERVICE_URL"] = os.fsencode(service.with_port(port))
        server.start([a.replace("{port}", str(port)) for a in command], environment)
        report = Report(hub, host, port)
        if server.wait_until_listening(port):
            return see_through(server, report)
        server.sweep()
        say(f"the server ended with status {server.status} before it listened on port {port}")
        if server.told_to_end or service.port or bind(service, port):
            break
        say(f"somebody else has taken port {port}")
    if not port:
        raise Problem("no port is free" + (" of those that --ports allows" if allowed else ""))
    return server.status or 0


def see_through(server: Server, report: Report) -> int:
    """Reports a server that listens, and stays until it ends."""
    report.thread.start()
    while not server.wait(POLL_LAST if report.thread.is_alive() else NOTE_INTERVAL):
        if report.refused:
            say("the Hub does not know this server (any more): ending it")
            server.terminate()
            server.sweep()
            return 1
    server.sweep()
    return server.status or 0


if __name__ == "__main__":
    try:
        exit_status = main(sys.argv[1:])
    except Problem as problem:
        say(str(problem))
        exit_status = 1
    os._exit(exit_status)  # at once, whatever a report under way may wait for
