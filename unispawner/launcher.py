"""Starts a user's server on the compute node and reports to the Hub where it listens.

The job's script contains this text and runs it, as the user, from standard input:

    python3 -I - [--host HOW] [--ports LOW-HIGH] [--ending SIGNAL@SECONDS] [--] SERVER-COMMAND
        ARGUMENTS... <<'EOF'

The launcher picks a free port and starts the server. The port is in JUPYTERHUB_SERVICE_URL and
replaces each `{port}` in the arguments. The launcher waits until this very server listens, and
reports host and port with the server's own token. When the server ends, it ends with its status.
It also reports that the job has begun and that the server has ended; see `Report` and `hold_port`.
With the signal of `--ending` the scheduler announces the job's end; see `Announcement`.
The server may be no child of the launcher, as in a job step of srun: see `strangers`.

unispawner is not installed on nodes. Therefore this is one file that needs only Linux, Python 3.6
and its standard library. Imports that take more than a few milliseconds are made while the server
itself starts.

The server stays in the process group and session of the job, because PBS and TORQUE account and
kill by session, and Grid Engine and some configurations of Slurm by process group. If a scheduler
signals the whole group, the server therefore gets the signal twice, once from the launcher. Jupyter
2.21 treats two SIGTERM as one. The second of two SIGINT (LSF's bkill) interrupts its clean-up, and
`sweep` ends its kernels.
"""

import errno
import os
import signal
import socket
import struct
import sys
import time
from itertools import islice

TYPE_CHECKING = False  # importing typing would take 2 to 14 ms
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

USAGE = (
    "usage: python3 -I - [--host HOW] [--ports LOW-HIGH] [--ending SIGNAL@SECONDS] [--] "
    "SERVER-COMMAND ARGUMENTS..."
)

# In seconds, unless a comment says otherwise.
PORT_TRIES = 10  # how many servers are started in a row if somebody else takes their ports
POLL_FIRST, POLL_GROWTH, POLL_LAST = 0.02, 1.05, 0.5  # growth 1.05: at most 5 % late
NOTE_INTERVAL = 60
REQUEST_TIMEOUT = 10
ANSWER_LIMIT = 65536  # bytes
RETRY_FIRST, RETRY_LAST, RETRY_AFTER_LIMIT = 0.2, 30, 60
AWAIT_LAST = 5  # between attempts to reach a Hub that does not answer
REFUSAL_PATIENCE = 120  # a Hub that starts may not know its servers yet
# How long the job's end waits for the Hub: if it has a route here, after a signal, without a route
HOLD_LONGEST, HOLD_AFTER_SIGNAL, HOLD_UNREPORTED = 30, 5, 3
TERM_GRACE = 10

MARK = "UNISPAWNER_MARK"  # the variable that all processes of this job have
ANNOUNCED = "UNISPAWNER_ENDING"  # where the server may read when its job ends
CLIENT_CERTIFICATE = "UNISPAWNER_CLIENT_CERTIFICATE"  # with internal_ssl: what reports show
JOB_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")

ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
# Warnings of a scheduler or of a CPU limit. They would end a process that does not expect them: the
# launcher, and also Jupyter's server.
WARNING = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU}
PASSED_ON = ENDING | WARNING | {signal.SIGCONT}

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
SIOCGIFCONF = 0x8912  # linux/sockios.h
NETLINK_SOCK_DIAG = 4  # linux/netlink.h
SOCK_DIAG_BY_FAMILY, TCP_LISTEN = 20, 10  # linux/sock_diag.h, net/tcp_states.h
NLM_F_REQUEST, NLM_F_DUMP, NLMSG_DONE = 0x1, 0x300, 0x3  # linux/netlink.h


class Problem(Exception):
    """An error with a message for the job's log, raised before a server was started."""


def say(text: str) -> None:
    try:
        os.write(2, f"unispawner: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return  # a full disk must not end the server


# --- arguments and environment ----------------------------------------------------------------


class Url:
    """The parts of a URL that are needed here; importing urllib.parse would take 3 to 10 ms."""

    def __init__(self, variable: str) -> None:
        text = os.environ.get(variable, "")
        self.scheme, _, rest = text.partition("://")
        netloc, slash, path = rest.partition("/")
        if ":" not in netloc or netloc.endswith("]"):
            netloc += ":"
        host, _, port = netloc.rpartition(":")
        if self.scheme not in ("http", "https") or not (port or "0").isdigit():
            raise Problem(f"{variable}: {text!r} is not an http or https URL")
        self.host = host.strip("[]")
        self.port = int(port or 0)
        self.path = slash + path

    def with_port(self, port: int) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{port}{self.path}"


class Hub:
    """The address of the Hub's API, and the token for it."""

    def __init__(self) -> None:
        url = Url("JUPYTERHUB_API_URL")
        self.scheme, self.host = url.scheme, url.host
        self.port = url.port or {"http": 80, "https": 443}[url.scheme]
        self.name = f"the Hub at {self.host} port {self.port}"
        self.report_path = url.path.rstrip("/") + "/unispawner/report"
        self.token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
        # Another character could begin a header of its own.
        if not self.token or any(not "!" <= character <= "~" for character in self.token):
            raise Problem("JUPYTERHUB_API_TOKEN is not set, or is not a token")

    def answers(self) -> bool:
        """Return whether anything listens at the Hub's address."""
        try:
            socket.create_connection((self.host, self.port), REQUEST_TIMEOUT).close()
            return True
        except OSError:
            return False

    def post(self, body: bytes) -> bytes:
        """Send a report, and return the whole answer.

        Importing http.client would take two thirds of the processor time that a launcher needs, on
        a node on which a whole class may start.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        head = (
            f"POST {self.report_path} HTTP/1.1\r\nHost: {host}:{self.port}\r\n"
            f"Authorization: token {self.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        answer = b""
        with self.connect() as connection:
            connection.sendall(head.encode() + body)
            while len(answer) < ANSWER_LIMIT and not is_whole(answer):
                more = connection.recv(ANSWER_LIMIT)
                if not more:
                    break
                answer += more
        return answer

    def connect(self) -> socket.socket:
        """Return a connection to the Hub itself: no proxy of the user's is used."""
        plain = socket.create_connection((self.host, self.port), REQUEST_TIMEOUT)
        if self.scheme == "http":
            return plain
        import ssl

        context = ssl.create_default_context(cafile=os.environ.get("JUPYTERHUB_SSL_CLIENT_CA"))
        certificate = os.environ.get(CLIENT_CERTIFICATE)
        certificate = certificate or os.environ.get("JUPYTERHUB_SSL_CERTFILE")
        if certificate:
            context.load_cert_chain(certificate, os.environ.get("JUPYTERHUB_SSL_KEYFILE"))
        try:
            return context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def is_whole(answer: bytes) -> bool:
    """Return whether an answer of HTTP has come whole, as far as it says how long it is."""
    head, end, body = answer.partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"]
    return bool(end and lengths) and len(body) >= int(lengths[0])


def join_chunks(body: bytes) -> bytes:
    """Return a body that comes in chunks (RFC 9112, 7.1), as some web servers before the Hub do."""
    joined = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            break
        joined, body = joined + body[:length], body[length + 2 :]
    return joined


def parse_arguments(arguments: "List[str]") -> "Tuple[Dict[str, str], List[str]]":
    """Return the options with their values, and the server's command."""
    rest, options = list(arguments), {"--host": "fqdn", "--ports": "", "--ending": ""}
    while rest and rest[0].startswith("--"):
        name, equals, value = rest.pop(0).partition("=")
        if name == "--":
            break
        if name not in options or not (equals or rest):
            raise Problem(f"{name}: {USAGE}")
        options[name] = value if equals else rest.pop(0)
    if not rest:
        raise Problem(USAGE)
    return options, rest


def parse_ports(text: str) -> range:
    if not text:
        return range(0)
    low, _, high = text.partition("-")
    if not (low.isdigit() and high.isdigit() and 1024 <= int(low) <= int(high) <= 65535):
        raise Problem(f"--ports: {text!r} must be LOW-HIGH within 1024-65535")
    return range(int(low), int(high) + 1)


def parse_ending(text: str) -> "Tuple[int, int]":
    """Return the signal that announces the job's end, and how many seconds before; (0, 0): none."""
    if not text:
        return 0, 0
    name, _, seconds = text.partition("@")
    number = getattr(signal, f"SIG{name}", 0)
    if number not in WARNING or not seconds.isdigit():
        raise Problem(f"--ending: {text!r} must be USR1, USR2 or XCPU, @, and a number of seconds")
    return int(number), int(seconds)


def given_environment() -> "Dict[bytes, bytes]":
    """Return the environment from the job's script; Python may add LC_CTYPE to it (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0"))
        return {name: value for name, equals, value in pairs if equals}


# --- the host to report -----------------------------------------------------------------------


def find_host(how: str, hub: Hub) -> str:
    """Return the host that `--host` asks for; raise Problem if this node does not have it."""
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
        f"--host: {how!r} must be fqdn, short, route, interface:NAME, network:ADDRESS/BITS or "
        "literal:NAME"
    )


def short_name() -> str:
    return socket.gethostname().split(".")[0]


def others_may_use(name: str) -> bool:
    """Return whether the name probably leads to this host from other hosts, too.

    Debian's installer writes a host's name with the address 127.0.1.1 into /etc/hosts.
    """
    try:
        found = {info[4][0] for info in socket.getaddrinfo(name, None)}
    except (OSError, UnicodeError):
        return False
    return not any(str(address).startswith("127.") or address == "::1" for address in found)


def address_towards(hub: Hub) -> str:
    """Return this host's address as the Hub sees it; connecting a UDP socket sends nothing."""
    try:
        family, _, _, _, address = socket.getaddrinfo(hub.host, hub.port, 0, socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise Problem(f"there is no route to {hub.name}: {error}. {inventory()}") from None


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
        raise Problem(
            f"--host: this node has no address for {how!r} (c.UniSpawner.report_host). "
            + inventory()
        )
    return found


def inventory() -> str:
    here = ", ".join(f"{name} {address}" for name, address in local_addresses())
    return f"This node is {socket.gethostname()}; its addresses are: {here or 'none'}"


def local_addresses() -> "List[Tuple[str, str]]":
    """Return (interface, address) of all that are up: IPv4, then IPv6 that is not link-local."""
    import array
    import fcntl

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


# --- ports and their owners -------------------------------------------------------------------


def candidate_ports(service: Url, allowed: range) -> "Iterator[int]":
    """Yield free ports: the one in JUPYTERHUB_SERVICE_URL if it has one, else allowed ones.

    A port is left out if another process listens on it at another address of this host, because the
    server could not be distinguished from that process. The port of JUPYTERHUB_SERVICE_URL is
    fixed.
    """
    if service.port:
        yield service.port
    elif allowed:
        # Each launcher begins at another port, so that those of one node do not collide.
        start = int.from_bytes(os.urandom(4), "big") % len(allowed)
        for port in (*allowed[start:], *allowed[:start]):
            if bind(service, port) and not listeners(port):
                yield port
    else:
        yield from (port for port in iter(lambda: bind(service, 0), 0) if not listeners(port))


def bind(service: Url, port: int) -> int:
    """Return the port if it is free, or 0; for port 0 the kernel picks a free one."""
    try:
        with bound_socket(service, port, 0) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return 0
        where = service.with_port(port)
        raise Problem(f"the server can't listen on {where}: {error}. {inventory()}") from None


def bound_socket(service: Url, port: int, reuse: int) -> socket.socket:
    host = None if service.host in ("", "*") else service.host
    family, kind, _, _, address = socket.getaddrinfo(
        host, port, 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def hold_port(service: Url, port: int) -> bool:
    """Listen on the port of a server that has ended, until this process ends, too.

    Requests with secrets may still come, and another user could take the port.
    """
    import threading

    try:
        listener = bound_socket(service, port, 1)
        listener.listen(16)
        threading.Thread(target=refuse_requests, args=(listener,), daemon=True).start()
    except (OSError, RuntimeError):
        return False  # a process that the server has left may listen there
    return True


def refuse_requests(listener: socket.socket) -> None:
    while True:
        try:
            with listener.accept()[0] as connection:
                connection.settimeout(1)
                connection.recv(65536)
                connection.sendall(
                    b"HTTP/1.1 503 Service Unavailable\r\n"
                    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
                )
        except OSError:
            time.sleep(0.1)  # the client has gone, or there are too many of them


def listeners(port: int) -> "Dict[str, int]":
    """Return the uids of all TCP sockets on this host that listen on the port, by inode."""
    try:
        return asked_listeners(port)
    except (OSError, struct.error):  # a kernel without this interface, or a sandbox that forbids it
        return listed_listeners(port)


def asked_listeners(port: int) -> "Dict[str, int]":
    """Ask the kernel for the sockets that listen: see sock_diag(7) and linux/inet_diag.h.

    /proc/net/tcp says the same. But to read it takes the kernel 5 to 20 ms of processor time on a
    node with much memory, because it also looks through its table of connections. A node on which
    a whole class starts would do little else.
    """
    found = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(REQUEST_TIMEOUT)
        for family in (socket.AF_INET, socket.AF_INET6):
            ask = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, 1 << TCP_LISTEN)
            header = struct.pack(
                "=IHHII", 16 + len(ask), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, family, 0
            )
            kernel.send(header + ask)
            for message in messages(kernel):
                (listens_on,) = struct.unpack_from("!H", message, 4)
                uid, inode = struct.unpack_from("=II", message, 64)
                if listens_on == port:
                    found[f"socket:[{inode}]"] = uid
    return found


def messages(kernel: socket.socket) -> "Iterator[bytes]":
    """Return the messages of an answer by netlink(7); raise OSError if the kernel refuses it."""
    while True:
        data = kernel.recv(1 << 16)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind == NLMSG_DONE:
                if length >= 20 and struct.unpack_from("=i", data, 16)[0] < 0:
                    raise OSError("the kernel has no answer")  # without the module tcp_diag
                return
            if kind != SOCK_DIAG_BY_FAMILY:
                raise OSError("the kernel refuses the question")
            yield data[16:length]
            data = data[(length + 3) & ~3 :]


def listed_listeners(port: int) -> "Dict[str, int]":
    """Read in /proc/net which sockets listen: see proc(5)."""
    found = {}
    suffix = f":{port:04X}"
    for table in filter(os.path.exists, ("/proc/net/tcp", "/proc/net/tcp6")):
        with open(table) as lines:
            for line in lines:
                fields = line.split(None, 10)
                if fields[3] == "0A" and fields[1].endswith(suffix):
                    found[f"socket:[{fields[9]}]"] = int(fields[7])
    return found


def open_files(pids: "Iterable[int]") -> "Set[str]":
    found = set()
    for pid in pids:
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                found.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
        except OSError:
            continue  # the file was closed, or the process has ended
    return found


def strangers(port: int) -> "Optional[List[str]]":
    """Return who listens on the port and is no process of this job; None if nobody listens.

    A server may be no descendant of ours: a job step is started by the scheduler's daemon (srun),
    a container by its engine. It counts if it has this account's uid and is in this job.
    """
    found = listeners(port)
    if not found:
        return None
    foreign = {inode for inode in found if found[inode] != os.getuid()}
    words = [f"a process of uid {found[inode]}" for inode in sorted(foreign)]
    left = set(found) - foreign
    left -= open_files(own_children()) if left else set()
    left -= open_files(descendants()) if left else set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc") if left else [])):
        mine = left & open_files([pid])
        if mine:
            left -= mine
            if not in_this_job(pid):
                words.append(f"pid {pid} ({command_name(pid)}, this account's), {what_lacks()}")
    return words + [f"a process that can't be seen ({inode})" for inode in sorted(left)]


def in_this_job(pid: int) -> bool:
    """Return whether a process is in this job's cgroup or, without one, has this job's mark."""
    groups = job_cgroups()
    if groups:
        return any(f"{path}/".startswith(f"{group}/") for path in cgroups(pid) for group in groups)
    mark = os.environ.get(MARK)
    while mark and pid > 1:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if os.fsencode(f"{MARK}={mark}") in file.read().split(b"\0"):
                    return True
        except OSError:
            return False  # another account's, or it has ended
        pid = parent_of(pid)
    return False


def what_lacks() -> str:
    if job_cgroups():
        return "which is not in this job's cgroup"
    return f"without this job's {MARK} in its environment"


def job_cgroups() -> "Set[str]":
    """Return the cgroups of this whole job, by the job's id in their names; empty if unknown."""
    found = set()
    ids = {os.environ.get(name, "").partition(".")[0] for name in JOB_IDS} - {""}
    for path in cgroups(os.getpid()):
        parts = path.split("/")
        for length in range(len(parts), 0, -1):
            name = parts[length - 1]
            words = "".join(c if c.isalnum() else " " for c in name).split()
            if ids & set(words) and not name.startswith(("uid_", "user-")):
                found.add("/".join(parts[:length]))
                break
    return found


def cgroups(pid: int) -> "List[str]":
    try:
        with open(f"/proc/{pid}/cgroup") as lines:
            return [line.rstrip("\n").split(":", 2)[2] for line in lines]
    except OSError:
        return []  # it has ended


def command_name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return "?"  # it has ended


def parent_of(pid: int) -> int:
    """Return the parent of a process; 0 if the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def own_children() -> "List[int]":
    """Return this process's children, and nearly always the server, without a look at all others.

    A node may run thousands of processes; a kernel without CONFIG_PROC_CHILDREN lists none here.
    """
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def descendants() -> "List[int]":
    children: "Dict[int, List[int]]" = {}
    for entry in map(int, filter(str.isdigit, os.listdir("/proc"))):
        children.setdefault(parent_of(entry), []).append(entry)
    found = children.get(os.getpid(), [])
    for pid in found:  # the list grows in this loop
        found.extend(children.get(pid, []))
    return found


# --- the server -------------------------------------------------------------------------------


def prctl(option: int, value: int) -> None:
    """Call prctl(2); do nothing on a Python without ctypes.

    In that case a server that leaves its parent can't be distinguished from other processes, and a
    server whose launcher was killed by SIGKILL goes on until the scheduler cleans up.
    """
    try:
        import ctypes

        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value))
    except (ImportError, OSError, AttributeError):
        pass


class Announcement:
    """The scheduler's announcement that the job will end, in a file that the server may read.

    The file has the end in seconds since the epoch. The announcing signal itself is not passed on:
    the server ignores it, because some schedulers send it to all processes of the job.
    """

    def __init__(self, signal_and_seconds: "Tuple[int, int]") -> None:
        self.signal, self.seconds = signal_and_seconds
        folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 (a name that nobody can guess)
        self.path = os.path.join(folder, f"unispawner-ending-{os.urandom(16).hex()}")

    def write(self) -> None:
        say("the scheduler has announced that it will end this job")
        try:
            with open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(str(time.time() + self.seconds))
        except OSError as error:
            if error.errno != errno.EEXIST:  # the first announcement counts
                say(f"the user is not warned in JupyterLab: {error}")

    def remove(self) -> None:
        try:
            os.unlink(self.path)
        except OSError:
            return  # there was no announcement


class Server:
    """The server's process. Signals are blocked; only `wait` takes them and passes them on."""

    def __init__(self, announcement: Announcement) -> None:
        self.announcement = announcement
        # The server, too, ignores the signals that the job ignores (nohup).
        self.signals = {s for s in PASSED_ON if signal.getsignal(s) != signal.SIG_IGN}
        self.signals.add(signal.SIGCHLD)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.given_mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
        self.end_requested = False
        self.pid = self.port = 0
        self.forked = self.listens = False
        self.status: "Optional[int]" = None
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # a descendant whose parent has ended becomes our child

    def await_hub(self, hub: Hub) -> bool:
        """Wait until the Hub answers; return False if a signal requests the end meanwhile.

        jupyterhub-singleuser ends if it does not reach the Hub at its start. A job that starts in
        the minute of a Hub's restart would be lost.
        """
        pause: float = RETRY_FIRST
        while not hub.answers():
            if pause == RETRY_FIRST:
                say(f"{hub.name} does not answer; the server starts as soon as the Hub answers")
            got = self.take_signal(pause)
            if got in ENDING:
                self.status = 128 + got
                return False
            pause = min(2 * pause, AWAIT_LAST)
        return True

    def await_answer(self, report: "Report") -> bool:
        """Return True when a report is accepted, False if a signal requests the end meanwhile."""
        while report.thread.is_alive():
            got = self.take_signal(POLL_FIRST)
            if got in ENDING:
                report.withdrawn.set()
                self.status = 128 + got
                return False
        if report.accepted:
            return True
        raise Problem(f"the Hub has not accepted that the job begins ({report.words})")

    def take_signal(self, seconds: float) -> int:
        """Return the next signal before there is a server; 0 if none comes, or only a warning."""
        got = signal.sigtimedwait(self.signals - {signal.SIGCHLD}, seconds)
        if got is not None and got.si_signo == self.announcement.signal:
            self.announcement.write()
        return got.si_signo if got is not None else 0

    def start(self, command: "List[str]", environment: "Dict[bytes, bytes]", port: int) -> None:
        self.status, self.forked, self.port, self.listens = None, False, port, False
        launcher = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() == launcher:
                    if self.announcement.signal:
                        signal.signal(self.announcement.signal, signal.SIG_IGN)
                    signal.pthread_sigmask(signal.SIG_SETMASK, self.given_mask)
                    execute(command, environment)
            finally:
                os._exit(126)

    def wait(self, seconds: float) -> bool:
        """Pass signals on for so many seconds; return True as soon as the server has ended."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            got = signal.sigtimedwait(self.signals, max(0, deadline - time.monotonic()))
            if got is None:
                return False
            if got.si_signo == signal.SIGCHLD:
                self.reap()
            elif got.si_signo == self.announcement.signal:
                self.announcement.write()
            else:
                self.end_requested |= got.si_signo in ENDING
                self.kill(got.si_signo)
        return True

    def reap(self) -> bool:
        """Take note of the children that have ended; return False if none is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.pid:
                    killed = os.WIFSIGNALED(status)
                    code = 128 + os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)
                    self.forked = code == 0 and self.has_forked()
                    self.status = None if self.forked else code
        except ChildProcessError:
            if self.forked and self.status is None:
                self.status = 0
            return False

    def has_forked(self) -> bool:
        """Return whether the server's first process has ended well and left the real server.

        Before the server listens, that may be any process that it has left; afterwards, only one
        that still listens. A server that is shut down leaves kernels, for example.
        """
        if self.end_requested:
            return False
        left = descendants()
        return bool(set(listeners(self.port)) & open_files(left) if self.listens else left)

    def ending(self) -> "Dict[str, Any]":
        """Return what the Hub should know of the server's end.

        A server that gets SIGTERM from the scheduler ends in order, as after its user's shutdown.
        """
        return dict(status=self.status or 0, **({"signalled": True} if self.end_requested else {}))

    def kill(self, number: int) -> None:
        pids = descendants() if self.forked else [self.pid]
        kill_all([p for p in pids if expects(p, number)] if number in WARNING else pids, number)

    def wait_until_listening(self, port: int) -> bool:
        """Return True when a process of this job listens on the port, False if the server ended.

        No other process may listen on the port: at another address of this host it could receive
        what the Hub sends.
        """
        pause, next_note = POLL_FIRST, time.monotonic() + NOTE_INTERVAL
        while not self.wait(pause):
            others = strangers(port)
            if others == []:
                self.listens = True
                return True
            pause = min(pause * POLL_GROWTH, POLL_LAST)
            if time.monotonic() >= next_note:
                next_note += NOTE_INTERVAL
                stranger = "; a process that is not the server's listens there: " if others else ""
                stranger += ", ".join(others or ())
                say(f"still waiting for the server to listen on port {port}{stranger}")
        return False

    def terminate(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.kill(number)
            if self.wait(TERM_GRACE):
                return

    def sweep(self) -> None:
        """End the processes that the server leaves behind.

        They are for example the real server, if the command was a shell script that a signal ended.
        """
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
    """Become the command, or end with the status of a shell that can't run it."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # standard input is this program's text
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 (without a shell on purpose)
    except OSError as error:
        if error.errno == errno.ENOENT:
            say(
                f"cannot start {command[0]}: this node has no such command, or not the program "
                "that its first line names (c.Spawner.cmd)"
            )
            os._exit(127)
        say(f"cannot start {command[0]}: {error.strerror}")


def expects(pid: int, number: int) -> bool:
    """Return whether a process catches a signal: see proc(5), SigCgt."""
    try:
        with open(f"/proc/{pid}/status") as lines:
            caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return False  # it has ended
    return bool(int(caught, 16) & 1 << number - 1)


def kill_all(pids: "Iterable[int]", number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue  # the process has ended, or is another user's by now


# --- the report -------------------------------------------------------------------------------


class Report:
    """Reports one event to the Hub in its own thread: "begun", "ready" or "ended".

    Resolving a name can't be interrupted, while signals and the server's end must be noticed at
    once. Only "ready" must be accepted, and with internal_ssl "begun".
    """

    def __init__(self, hub: Hub, event: str, after: "Optional[Report]" = None, **facts: object):
        import threading

        self.hub, self.after, self.facts = hub, after, facts
        mark = os.environ.get(MARK)
        if mark:  # a server may have a second job, with the same token
            self.facts = dict(facts, mark=mark)
        self.event = event
        self.certified = event == "begun" and CLIENT_CERTIFICATE in os.environ
        self.must = self.certified or event == "ready"
        self.refused = self.accepted = False
        self.words, self.certificate = "", ""
        self.withdrawn = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        try:
            self.thread.start()
        except RuntimeError:  # too many processes
            if self.must:
                raise

    def run(self) -> None:
        """Try until the Hub has accepted the report, or refused it for REFUSAL_PATIENCE."""
        backoff: float = RETRY_FIRST
        refused_since: "Optional[float]" = None
        if self.after:
            self.after.thread.join()  # a report that is under way must not overtake this one
        while not self.withdrawn.is_set():
            status, words, pause = self.attempt(backoff)
            lacks = self.certified and not self.certificate  # the answer may have been cut off
            if 200 <= status < 300 and not lacks:
                self.accepted = True
                if self.event == "ready":
                    say("reported {host}:{port} to the Hub".format(**self.facts))
                return
            later = status == 0 or status == 429 or status >= 500
            if not (self.must or later):
                return
            if self.must and words != self.words:
                self.words = words
                say(f"{self.hub.name} has not accepted the report yet ({words}); trying again")
            if later:
                refused_since = None
            else:
                refused_since = refused_since or time.monotonic()
                pause = min(pause, refused_since + REFUSAL_PATIENCE - time.monotonic())
                if pause <= 0:
                    self.refused = True
                    return
            self.withdrawn.wait(pause)
            backoff = min(2 * backoff, AWAIT_LAST if self.certified else RETRY_LAST)

    def attempt(self, backoff: float) -> "Tuple[int, str, float]":
        """Return the status (0: no answer), the Hub's words, and the seconds until the next try."""
        jitter = 0.5 + os.urandom(1)[0] / 512  # importing random would take some milliseconds
        try:
            status, words, retry_after = self.post()
        except (OSError, ValueError) as error:
            return 0, str(error) or type(error).__name__, jitter * backoff
        pause = jitter * backoff
        try:
            seconds = min(max(0, int(retry_after)), RETRY_AFTER_LIMIT)
            pause = seconds + jitter * RETRY_FIRST
        except ValueError:
            pass  # there is none, or it is a date
        return status, f"{status} {words}", pause

    def post(self) -> "Tuple[int, str, str]":
        """Return the status, the message and the Retry-After of one answer."""
        import json

        answer = self.hub.post(json.dumps(dict(self.facts, event=self.event)).encode())
        head, _, text = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, status = first.partition(" ")
        if not version.startswith("HTTP/") or not status[:3].isdigit():
            raise ValueError("the answer is not HTTP")
        parts = (line.partition(":") for line in lines)
        fields = {name.lower(): value.strip() for name, _, value in parts}
        if "chunked" in fields.get("transfer-encoding", ""):
            text = join_chunks(text)
        words, body = status[4:], {}
        try:
            body = dict(json.loads(text.decode("utf-8", "replace")))
            words = body["message"]
        except (ValueError, TypeError, LookupError, RecursionError):
            pass
        self.certificate = str(body.get("certificate", ""))
        return int(status[:3]), " ".join(str(words).split()), fields.get("retry-after", "")


def take_certificate(begun: Report) -> bytes:
    """Write the certificate for this host, which is public, beside its key; return the path.

    The job may have run elsewhere before, and another host may still have the old file's contents.
    """
    folder = os.path.dirname(os.environ.get("JUPYTERHUB_SSL_KEYFILE", ""))
    path = os.path.join(folder, f"certfile-{os.urandom(4).hex()}")
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(begun.certificate)
    except OSError as error:
        raise Problem(f"the server's certificate can't be written: {error}") from None
    return os.fsencode(path)


# --- all together -----------------------------------------------------------------------------


def main(arguments: "List[str]") -> int:
    options, command = parse_arguments(arguments)
    announcement = Announcement(parse_ending(options["--ending"]))
    try:
        return run(options["--host"], parse_ports(options["--ports"]), command, announcement)
    finally:
        announcement.remove()


def run(how: str, allowed: range, command: "List[str]", announcement: Announcement) -> int:
    hub, service = Hub(), Url("JUPYTERHUB_SERVICE_URL")
    host = find_host(how, hub)
    environment = given_environment()
    if announcement.signal:
        environment[ANNOUNCED.encode()] = os.fsencode(announcement.path)
    server = Server(announcement)
    if not server.await_hub(hub):
        return server.status or 0
    port, begun = 0, None  # type: Tuple[int, Optional[Report]]
    if CLIENT_CERTIFICATE in os.environ:
        begun = Report(hub, "begun", host=host)
        if not server.await_answer(begun):
            return server.status or 0
        environment[b"JUPYTERHUB_SSL_CERTFILE"] = take_certificate(begun)
    for port in islice(candidate_ports(service, allowed), PORT_TRIES):
        if port < 1024:
            raise Problem(f"port {port} is reserved for the system; ports begin at 1024")
        environment[b"JUPYTERHUB_SERVICE_URL"] = os.fsencode(service.with_port(port))
        server.start([a.replace("{port}", str(port)) for a in command], environment, port)
        begun = begun or Report(hub, "begun", host=host)
        listens = server.wait_until_listening(port)
        begun.withdrawn.set()
        if listens:
            return see_through(server, Report(hub, "ready", host=host, port=port), service)
        others = strangers(port)
        server.sweep()
        stranger = f"; on it listens {', '.join(others)}" if others else ""
        say(
            f"the server ended with status {server.status} before it listened on port {port}"
            f"{stranger}"
        )
        if server.end_requested or service.port or bind(service, port):
            break
        say(f"another process has taken port {port}; trying another port")
        begun.thread.join(1)  # a fork should have one thread
    if not port:
        where = " in the range of --ports (c.UniSpawner.port_range)" if allowed else ""
        raise Problem("no port is free" + where)
    await_answer(server, Report(hub, "ended", host=host, **server.ending()), HOLD_UNREPORTED)
    return server.status or 0


def see_through(server: Server, ready: Report, service: Url) -> int:
    """Return the exit status of a server that listens when it has ended and the Hub knows of it."""
    while not server.wait(POLL_LAST if ready.thread.is_alive() else NOTE_INTERVAL):
        if ready.refused:
            say("the Hub does not know this server any more, so the server is ended")
            server.terminate()
            server.sweep()
            return 1
        if server.forked and strangers(server.port) is None:
            say("the server does not listen any more, so the processes that it left are ended")
            break
    ready.withdrawn.set()
    held = hold_port(service, server.port)
    ended = Report(ready.hub, "ended", ready, **dict(ready.facts, **server.ending()))
    server.sweep()
    held = held or hold_port(service, server.port)
    await_answer(server, ended, HOLD_LONGEST if ready.accepted else HOLD_UNREPORTED)
    return server.status or 0


def await_answer(server: Server, ended: Report, seconds: float) -> None:
    """Wait until the Hub has answered, and not for long if the job must end."""
    start, requested = time.monotonic(), server.end_requested
    while ended.thread.is_alive():
        requested = requested or bool(signal.sigtimedwait(ENDING & server.signals, 0))
        limit = min(seconds, HOLD_AFTER_SIGNAL) if requested else seconds
        if time.monotonic() - start > limit:
            say(f"{ended.hub.name} has not answered the report that the server has ended")
            return
        ended.thread.join(0.1)


if __name__ == "__main__":
    try:
        exit_status = main(sys.argv[1:])
    except Problem as problem:
        say(str(problem))
        exit_status = 1
    os._exit(exit_status)  # at once, even if the report's thread is waiting
