"""What the probe's job runs on its node, as the user: it writes what it finds to the job's log.

The job's environment, which is a private file, contains this text and the launcher's. So the names,
addresses, certificates and ports are found by the launcher's own code. What is found also goes to
the doctor over the network, if there is a way; the log is the second way.

As the launcher, this needs only Linux, Python 3.6 and its standard library.
"""

import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

PREFIX = "unispawner-probe: "  # how the lines of the log begin that the doctor reads
LONGEST_TEXT = 300  # characters
CONNECT_SECONDS = 10.0
VERSION_SECONDS = 60.0  # a command on a slow file system takes long the first time
ANSWER_LIMIT = 65536  # bytes

# The job's variables beside those that each server has.
PROBE, HUB, SECONDS, SHELL = (
    f"UNISPAWNER_PROBE{suffix}" for suffix in ("", "_HUB", "_SECONDS", "_SHELL")
)
HOME_FILE = "UNISPAWNER_PROBE_HOME_FILE"


class Findings:
    """What was found, in the job's log and, as far as the doctor can be reached, with it."""

    def __init__(self) -> None:
        self.all = []  # type: List[Dict[str, Any]]

    def add(self, name: str, ok: bool, text: object = "", **more: object) -> None:
        """Write down one finding; `more` are numbers and short words."""
        words = " ".join(str(text).split())[:LONGEST_TEXT]
        found = dict(more, name=name, ok=ok, text=words)
        self.all.append(found)
        try:
            os.write(2, f"{PREFIX}{json.dumps(found)}\n".encode())
        except OSError:
            return  # a full disk; the network may be a way


def main(launcher: "Any", arguments: "List[str]") -> int:
    """Find out everything, report it, and answer on the port until the time is over."""
    signal.alarm(int(os.environ.pop(SECONDS, "60")))  # the probe ends also if its doctor is gone
    os.environ.pop(PROBE, None)
    findings = Findings()
    token = os.environ.pop("JUPYTERHUB_API_TOKEN", "")
    findings.add(
        "begun",
        True,
        socket.gethostname(),
        seconds=find_age(os.environ.pop(SHELL, "")),
        python=".".join(map(str, sys.version_info[:3])),
        time=time.time(),
    )
    options, command = launcher.parse_arguments(arguments)
    find_home(findings)
    find_program(findings, command)
    hub_url, doctor_url = os.environ.pop(HUB), os.environ["JUPYTERHUB_API_URL"]
    if hub_url != doctor_url:
        reach(launcher, findings, hub_url, token, "")
    else:
        findings.add("same", True)
    listening = listen(launcher, findings, options, doctor_url, token)
    reach(launcher, findings, doctor_url, token, "doctor")
    findings.add("end", True)
    send(launcher, findings, doctor_url, token)
    if listening is not None:
        answer(listening, token)
    return 0


def find_age(pid: str) -> float:
    """Return how long (seconds) ago a process has begun: the job's shell, or this process."""
    try:
        with open(f"/proc/{int(pid or os.getpid())}/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/uptime") as file:
            return float(file.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0


# --- what the node has ------------------------------------------------------------------------


def find_home(findings: Findings) -> None:
    """Find out whether the home can be used here; leave a file in it that the doctor looks for."""
    home = os.environ.get("HOME", "")
    if not os.path.isdir(home):
        findings.add("home", False, home, kind="missing")
        return
    path = os.path.join(home, os.environ.pop(HOME_FILE, ""))
    try:
        if path != os.path.join(home, ""):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        findings.add("home", False, f"{home}: {error.strerror}", kind="unwritable")
        return
    findings.add("home", True, home)


def find_program(findings: Findings, command: "List[str]") -> None:
    """Find the server's command and, of jupyterhub-singleuser, its version."""
    path = shutil.which(command[0])
    if path is None:
        findings.add("program", False, os.environ.get("PATH", ""))
        return
    findings.add("program", True, path)
    if "jupyterhub-singleuser" not in os.path.basename(command[-1]):
        return
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*command, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=VERSION_SECONDS,
        )
    except subprocess.TimeoutExpired:
        findings.add("version", False, f"no answer within {VERSION_SECONDS:g} s", kind="timeout")
        return
    except OSError as error:
        findings.add("version", False, f"{path}: {error.strerror}", kind="broken")
        return
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines() or [""]
    seconds = time.monotonic() - began
    if done.returncode:
        findings.add("version", False, lines[-1], kind="broken", status=done.returncode)
    else:
        findings.add("version", True, lines[-1], seconds=seconds)


# --- the way to the Hub -----------------------------------------------------------------------


def reach(launcher: "Any", findings: Findings, url: str, token: str, which: str) -> None:
    """Go the way to a Hub step by step, up to the first step that fails."""
    os.environ.update(JUPYTERHUB_API_URL=url, JUPYTERHUB_API_TOKEN=token)
    prefix = f"{which}-" if which else ""
    hub = launcher.Hub()
    began = time.monotonic()
    try:
        infos = socket.getaddrinfo(hub.host, hub.port, 0, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        seconds = time.monotonic() - began
        findings.add(f"{prefix}name", False, f"{hub.host}: {error}", seconds=seconds)
        return
    addresses = ", ".join(sorted({str(info[4][0]) for info in infos}))
    findings.add(f"{prefix}name", True, addresses, seconds=time.monotonic() - began)
    began = time.monotonic()
    try:
        socket.create_connection((hub.host, hub.port), CONNECT_SECONDS).close()
    except OSError as error:
        why = "timeout" if isinstance(error, socket.timeout) else ""
        refused = "refused" if isinstance(error, ConnectionRefusedError) else "unreachable"
        seconds = time.monotonic() - began
        findings.add(f"{prefix}connect", False, error, kind=why or refused, seconds=seconds)
        return
    findings.add(f"{prefix}connect", True, f"port {hub.port}", seconds=time.monotonic() - began)
    began = time.monotonic()
    try:
        with hub.connect() as connection:
            if hub.scheme == "https":
                findings.add(f"{prefix}tls", True, connection.version())
            path = hub.report_path[: -len("/unispawner/report")]
            text = get(connection, hub, path + "/")
    except OSError as error:
        kind = "tls" if hub.scheme == "https" else "http"
        findings.add(f"{prefix}{kind}", False, str(error) or type(error).__name__)
        return
    findings.add(f"{prefix}http", bool(text), text, seconds=time.monotonic() - began)


def get(connection: socket.socket, hub: "Any", path: str) -> str:
    """Return the version in the answer of a Hub's API; empty if it is no Hub's."""
    host = f"[{hub.host}]" if ":" in hub.host else hub.host
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{hub.port}\r\nConnection: close\r\n\r\n".encode()
    )
    received = b""
    while len(received) < ANSWER_LIMIT:
        more = connection.recv(ANSWER_LIMIT)
        if not more:
            break
        received += more
    try:
        return str(json.loads(received.partition(b"\r\n\r\n")[2].decode())["version"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""


def send(launcher: "Any", findings: Findings, url: str, token: str) -> None:
    """Send everything to the doctor; it is in the log, too."""
    os.environ.update(JUPYTERHUB_API_URL=url, JUPYTERHUB_API_TOKEN=token)
    body = {"event": "probe", "found": findings.all, "time": time.time()}
    began = time.monotonic()
    try:
        launcher.Hub().post(json.dumps(body).encode())
    except OSError as error:
        findings.add("report", False, error, seconds=time.monotonic() - began)


# --- the way from the Hub ---------------------------------------------------------------------


def listen(
    launcher: "Any", findings: Findings, options: "Dict[str, str]", url: str, token: str
) -> "Optional[socket.socket]":
    """Listen where a server would, and find the host that the launcher would report."""
    os.environ.update(JUPYTERHUB_API_URL=url, JUPYTERHUB_API_TOKEN=token)
    try:
        service = launcher.Url("JUPYTERHUB_SERVICE_URL")
        host = launcher.find_host(options["--host"], launcher.Hub())
        ports = launcher.candidate_ports(service, launcher.parse_ports(options["--ports"]))
        port = next(ports, 0)
        if not port:
            findings.add("port", False, "no port of c.UniSpawner.port_range is free")
            return None
        listening = launcher.bound_socket(service, port, 1)
        listening.listen(16)
    except (launcher.Problem, OSError) as error:
        findings.add("port", False, error)
        return None
    findings.add("port", True, host, port=listening.getsockname()[1])
    return listening  # type: ignore[no-any-return] # the launcher is loaded from its text


def answer(listening: socket.socket, token: str) -> None:
    """Show to whoever sends a line that this is the probe: only the doctor can check it."""
    while True:
        try:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(2)
                line = connection.recv(200).strip()
                connection.sendall(sign(token, line).encode() + b"\n")
        except OSError:
            time.sleep(0.1)


def sign(token: str, line: bytes) -> str:
    """Return what only a process with the job's token can answer to a line."""
    return hmac.new(token.encode(), b"unispawner-probe " + line, hashlib.sha256).hexdigest()
