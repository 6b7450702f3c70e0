"""The launcher as a job runs it.

Its text is on the standard input of a bare Python, with a real Hub's address, real servers and real
signals. Constants that would take minutes on a node are shortened in the text. No test waits longer
than PATIENCE.
"""

import ast
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from support.attacks import LISTED_SECRET

from unispawner import launcher

TAKES_PORT = pytest.mark.threat(
    who="other user",
    tries="They listen on the port of somebody's server before the server does.",
    stopped_by="The launcher reports a port only if a process of its own job listens there.",
)

TEXT = Path(launcher.__file__).read_text()
TOKEN = "0123456789abcdef-secret"
PATIENCE = 30

# Prints that it runs, listens, and ends with status 7 on SIGTERM. It ends by os._exit, because a
# second SIGTERM would kill a Python that finalises itself.
LISTENING = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
with socket.socket() as listener:
    port = os.environ["JUPYTERHUB_SERVICE_URL"].split(":")[2].split("/")[0]
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as all web servers do
    listener.bind(("127.0.0.1", int(port)))
    listener.listen()
    print("pid", os.getpid(), flush=True)
    while True:
        signal.pause()
"""

# Waits for a file: a server that listens at once may be ready before its job has said that it runs.
WAITING = """
import os, time
while not os.path.exists("{}"):
    time.sleep(0.02)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE} s"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def interpreters() -> Iterator[str]:
    """Return the interpreters of this machine that a node might have, one of each version."""
    yield sys.executable
    for minor in range(6, 14):
        path = shutil.which(f"python3.{minor}")
        # pyenv has a shim also for versions that can't be run.
        if minor != sys.version_info.minor and path:
            if subprocess.run([path, "-I", "-c", ""], capture_output=True).returncode == 0:
                yield path


Answer = tuple[int, dict[str, str], dict[str, Any]]
"""A status, headers and the reply's JSON."""


class Hub:
    """A Hub that answers reports as a test wants, and keeps them with their times.

    Attributes
    ----------
    answers, reports, times
        The answers to reports of a server that is ready, one after the other, and these reports.
    events, event_answers
        All reports' bodies, and the answers to the events that are not "ready".
    gates, answered
        What the answer to an event waits for, and the events that have been answered.
    """

    def __init__(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self.answers: list[Answer] = [(204, {}, {})]
        self.events: list[dict[str, Any]] = []
        self.event_answers: dict[str, Answer] = {}
        self.gates: dict[str, threading.Event] = {}
        self.answered: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.times: list[float] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hub.answer(self)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        scheme = "https" if context else "http"
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self.port}/hub/api"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers.get("Content-Length", 0))))
        self.events.append(body)
        if body["event"] == "ready":
            status, headers, reply = self.answers[min(len(self.reports), len(self.answers) - 1)]
            self.times.append(time.monotonic())
            self.reports.append(
                {
                    "request": f"{request.command} {request.path}",
                    "authorization": request.headers["Authorization"],
                    "body": body,
                }
            )
        else:
            status, headers, reply = self.event_answers.get(body["event"], (204, {}, {}))
        if gate := self.gates.get(body["event"]):
            gate.wait(PATIENCE)
        self.answered.append(body["event"])
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        text = b"" if status == 204 else json.dumps(reply).encode()
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Job:
    """A launcher that runs in its own process group, as a scheduler would start it."""

    def __init__(self, process: "subprocess.Popen[str]", out: Path, err: Path) -> None:
        self.process, self.out, self.err = process, out, err

    @property
    def stdout(self) -> str:
        return self.out.read_text()

    @property
    def stderr(self) -> str:
        return self.err.read_text()

    def status(self) -> int:
        return self.process.wait(PATIENCE)

    def wait_for_output(self, pattern: str) -> str:
        def seen() -> "re.Match[str] | None":
            return re.search(pattern, self.stdout + self.stderr)

        return str(wait_for(seen, pattern)[1])

    def server_pid(self) -> int:
        return int(self.wait_for_output(r"pid (\d+)\n"))


Launch = Callable[..., Job]
Environment = dict[str, str]


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def environment(hub: Hub) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "JUPYTERHUB_API_URL": hub.url,
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0/user/alice/",
    }


@pytest.fixture
def launch(tmp_path: Path, environment: Environment) -> Iterator[Launch]:
    """launch(command, *options, interpreter=, NAME=value of a constant...) -> Job"""
    jobs: list[Job] = []

    def launch(
        command: list[str], *options: str, interpreter: str = sys.executable, **constants: object
    ) -> Job:
        """launch(command, *options, interpreter=, NAME=value of a constant...) -> Job"""
        text = TEXT
        for name, value in constants.items():
            text, replaced = re.subn(rf"^{name} = .*", f"{name} = {value}", text, flags=re.M)
            assert 1 == replaced, name
        (tmp_path / "launcher").write_text(text)
        out, err = tmp_path / f"out{len(jobs)}", tmp_path / f"err{len(jobs)}"
        options = options if "--host" in options else ("--host", "literal:node7", *options)
        with (tmp_path / "launcher").open() as stdin, out.open("w") as o, err.open("w") as e:
            process = subprocess.Popen(
                [interpreter, "-I", "-", *options, "--", *command],
                stdin=stdin, stdout=o, stderr=e, env=environment, start_new_session=True, text=True,
            )  # fmt: skip
        jobs.append(Job(process, out, err))
        return jobs[-1]

    yield launch
    for job in jobs:
        with suppress(ProcessLookupError):
            os.killpg(job.process.pid, signal.SIGKILL)
        job.status()
        outputs = [path.read_text(errors="replace") for path in (job.out, job.err)]
        print(f"--- launcher {job.process.pid}:", *outputs, sep="\n")  # shown if the test fails


@contextmanager
def listener(port: int = 0) -> Iterator[int]:
    """Listen on a port with a process that is not the launcher's."""
    with socket.create_server(("127.0.0.1", port)) as stranger:
        yield stranger.getsockname()[1]


def free_port() -> int:
    with listener() as port:
        return port


# --- the whole way ----------------------------------------------------------------------------


@pytest.mark.parametrize("interpreter", list(interpreters()))
def test_reports_a_server_that_listens(hub: Hub, launch: Launch, interpreter: str) -> None:
    """The launcher reports once, with the server's token and port, and ends with its status."""
    job = launch(python(LISTENING), interpreter=interpreter)
    job.wait_for_output("(reported node7:.* to the Hub)")

    [report] = hub.reports
    assert "POST /hub/api/unispawner/report" == report["request"]
    assert f"token {TOKEN}" == report["authorization"]
    assert {"event", "host", "port"} == set(report["body"])
    assert "node7" == report["body"]["host"]
    socket.create_connection(("127.0.0.1", report["body"]["port"]), PATIENCE).close()

    job.process.send_signal(signal.SIGTERM)
    assert 7 == job.status()
    assert 1 == len(hub.reports)


def test_runs_from_a_here_document(hub: Hub, environment: Environment, tmp_path: Path) -> None:
    """The text works from a quoted here-document in a script of sh, which gets the exit status."""
    script = tmp_path / "script"
    script.write_text(
        f"{sys.executable} -I - --host literal:node7 -- sh -c 'exit 3' <<'UNISPAWNER'\n"
        f"{TEXT}\nUNISPAWNER\n"
    )
    done = subprocess.run(["sh", script], env=environment, timeout=PATIENCE)
    assert 3 == done.returncode


def test_is_small_and_needs_nothing() -> None:
    """The text is small, is valid Python 3.6, and needs neither our package nor a `__file__`."""
    assert len(TEXT.encode()) < 44 * 1024
    assert "__file__" not in TEXT
    assert not re.search(r"^\s*(from|import) (unispawner|jupyter)", TEXT, re.M)
    ast.parse(TEXT, feature_version=(3, 6))


# --- the server's process ---------------------------------------------------------------------


def test_environment_is_untouched(launch: Launch, environment: Environment) -> None:
    """The server gets the environment as it is, except the port in JUPYTERHUB_SERVICE_URL.

    Python's own LC_CTYPE does not come in, and odd values stay as they are.
    """
    environment.update({"BASH_FUNC_f%%": "() {  echo\n}", "ODD": "a=b\udcff", "EMPTY": ""})
    job = launch(["env", "-0"])
    assert 0 == job.status()
    got = dict(entry.split("=", 1) for entry in os.fsdecode(job.out.read_bytes()).split("\0")[:-1])

    url = got.pop("JUPYTERHUB_SERVICE_URL")
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+/user/alice/", url)
    expected = dict(environment)
    del expected["JUPYTERHUB_SERVICE_URL"]
    assert expected == got


def test_stdin_is_dev_null(launch: Launch) -> None:
    """The server can't read the launcher's text."""
    job = launch(["readlink", "/proc/self/fd/0"])
    job.status()
    assert "/dev/null\n" == job.stdout


def test_signals_are_as_the_job_had_them(launch: Launch) -> None:
    """The server gets the signal mask and the ignored signals of the job."""
    command = ["grep", "^Sig[BI]", "/proc/self/status"]
    job = launch(command)
    job.status()
    assert subprocess.run(command, capture_output=True, text=True).stdout == job.stdout


def test_port_is_put_in_the_arguments(launch: Launch) -> None:
    """`{port}` in arguments is replaced, for servers that do not read JUPYTERHUB_SERVICE_URL."""
    code = "echo $JUPYTERHUB_SERVICE_URL; printf '%s|' \"$@\""
    job = launch(["sh", "-c", code, "sh", "--port={port}", "{port}:{port}", "{}{other}", "a b"])
    job.status()
    url, arguments = job.stdout.split("\n")
    port = url.split(":")[2].split("/")[0]
    assert f"--port={port}|{port}:{port}|{{}}{{other}}|a b|" == arguments


def test_ipv6_service_url(launch: Launch, environment: Environment) -> None:
    """A bracketed IPv6 address of the Hub's stays bracketed."""
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("no IPv6 here")
    environment["JUPYTERHUB_SERVICE_URL"] = "http://[::]:0/user/alice/"
    job = launch(["sh", "-c", "echo $JUPYTERHUB_SERVICE_URL"])
    job.status()
    assert re.fullmatch(r"http://\[::\]:[1-9]\d+/user/alice/\n", job.stdout)


@pytest.mark.parametrize(
    ("content", "mode", "status"),
    [(None, 0, 127), ("#!/no/such/interpreter\n", 0o755, 127), ("#!/bin/sh\n", 0o644, 126)],
)
def test_command_that_cannot_be_started(
    launch: Launch, tmp_path: Path, content: str | None, mode: int, status: int
) -> None:
    """The log names a command that can't be started, and the status is a shell's."""
    command = tmp_path / "my-server"
    if content is not None:
        command.write_text(content)
        command.chmod(mode)
    job = launch([str(command)])
    assert status == job.status()
    assert f"cannot start {command}: " in job.stderr


def test_shell_script_as_server(hub: Hub, launch: Launch, tmp_path: Path) -> None:
    """A server that is the child of a shell script is found, and ended if SIGTERM ends the
    shell.
    """
    script = tmp_path / "my-server"
    script.write_text(f"#!/bin/sh\n{sys.executable} -S -c '{LISTENING}'\ntrue\n")
    script.chmod(0o755)
    job = launch(["env", f"PATH={tmp_path}:{os.environ['PATH']}", "my-server"])
    wait_for(lambda: hub.reports, "report")
    pid = job.server_pid()
    job.process.send_signal(signal.SIGTERM)
    assert 128 + signal.SIGTERM == job.status()
    assert not alive(pid)


def test_daemon_below_the_server(hub: Hub, launch: Launch) -> None:
    """A server that left its parent and session by a double fork is found, and ended."""
    daemon = (
        "import os, signal, sys\n"
        "if os.fork():\n    os.wait()\n    sys.stdin.read()\n    signal.pause()\n"
        "os.setsid()\n"
        "if os.fork():\n    os._exit(0)\n"
    )
    stubborn = LISTENING.replace("lambda *_: os._exit(7)", "signal.SIG_IGN")
    job = launch(python(daemon + stubborn), TERM_GRACE=1)
    wait_for(lambda: hub.reports, "report")
    pid = job.server_pid()
    job.process.send_signal(signal.SIGTERM)
    assert 128 + signal.SIGTERM == job.status()
    assert not alive(pid)


# --- ports ------------------------------------------------------------------------------------


def test_ports_are_of_the_range(launch: Launch) -> None:
    """Only free ports within `--ports` are taken, and none that a stranger uses at any address."""
    with ExitStack() as taken:
        low = next(p for p in range(20000, 60000, 3) if all_free(p, p + 1, p + 2))
        taken.enter_context(socket.create_server(("127.0.0.2", low)))
        taken.enter_context(listener(low + 2))
        for _ in range(4):
            job = launch(["echo", "{port}"], "--ports", f"{low}-{low + 2}")
            job.status()
            assert f"{low + 1}\n" == job.stdout


def all_free(*ports: int) -> bool:
    try:
        with ExitStack() as stack:
            for port in ports:
                stack.enter_context(listener(port))
    except OSError:
        return False
    return True


def test_no_port_is_free(launch: Launch) -> None:
    """If no allowed port is free, no server is started."""
    with listener() as port:
        job = launch(["echo", "started"], f"--ports={port}-{port}")
        assert 1 == job.status()
    assert "" == job.stdout
    assert "no port is free" in job.stderr


@pytest.mark.parametrize("ports", ["80-90", "9000", "9001-9000", "9000-70000", "a-b"])
def test_ports_that_make_no_sense(launch: Launch, ports: str) -> None:
    """Ranges that are malformed, or have ports below 1024, are refused."""
    job = launch(["echo", "started"], "--ports", ports)
    assert 1 == job.status()
    assert "" == job.stdout
    assert "must be LOW-HIGH within 1024-65535" in job.stderr


def test_stolen_port(hub: Hub, launch: Launch, tmp_path: Path) -> None:
    """If a stranger takes the port first, the server is started again on another port."""
    lost, stolen = tmp_path / "lost", tmp_path / "stolen"
    slow = (
        "import os, sys, time\n"
        f"lost, stolen = {str(lost)!r}, {str(stolen)!r}\n"
        "if not os.path.exists(lost):\n"
        "    with open(lost + '.new', 'w') as file: file.write(sys.argv[1])\n"
        "    os.rename(lost + '.new', lost)\n"
        "    while not os.path.exists(stolen): time.sleep(0.02)\n"
        "    sys.exit('Address already in use')\n"
    )
    job = launch([*python(slow + LISTENING), "{port}"])
    wait_for(lost.exists, "first server")
    with listener(int(lost.read_text())) as port:
        stolen.touch()
        wait_for(lambda: hub.reports, "report")
        assert port != hub.reports[0]["body"]["port"]
    assert f"another process has taken port {port}" in job.stderr


def test_stolen_port_after_sigterm(launch: Launch) -> None:
    """A server that was asked to end is not started again."""
    job = launch(["sh", "-c", "echo port {port}; exec sleep 60"])
    port = int(job.wait_for_output(r"port (\d+)\n"))
    with listener(port):
        job.process.send_signal(signal.SIGTERM)
        assert 128 + signal.SIGTERM == job.status()
    assert "somebody else" not in job.stderr


def test_gives_up_after_some_ports(hub: Hub, launch: Launch) -> None:
    """After several stolen ports the launcher gives up."""
    # The side that closes a connection first keeps its port in TIME_WAIT.
    loser = (
        "import socket, sys\n"
        f"socket.create_connection(('127.0.0.1', {hub.port}), 9, ('', int(sys.argv[1]))).close()\n"
        "print('x')\n"
        "sys.exit(4)\n"
    )
    job = launch([*python(loser), "{port}"], PORT_TRIES=3)
    assert 4 == job.status()
    assert "x\nx\nx\n" == job.stdout


def test_server_that_fails(hub: Hub, launch: Launch) -> None:
    """A server that ends while its port is free has failed, and is not started again."""
    job = launch(["sh", "-c", "echo x; exit 3"])
    assert 3 == job.status()
    assert "x\n" == job.stdout
    assert "ended with status 3 before it listened" in job.stderr
    assert [] == hub.reports


def test_fixed_port(hub: Hub, launch: Launch, environment: Environment) -> None:
    """A port in JUPYTERHUB_SERVICE_URL is used, whatever `--ports` says."""
    port = free_port()
    environment["JUPYTERHUB_SERVICE_URL"] = f"http://127.0.0.1:{port}/"
    launch(python(LISTENING), "--ports=20000-20001")
    wait_for(lambda: hub.reports, "report")
    assert port == hub.reports[0]["body"]["port"]


def test_privileged_fixed_port(launch: Launch, environment: Environment) -> None:
    """A fixed port below 1024 is refused, and no server is started."""
    environment["JUPYTERHUB_SERVICE_URL"] = "http://127.0.0.1:80/"
    job = launch(["echo", "started"])
    assert 1 == job.status()
    assert ("", True) == (job.stdout, "port 80 is reserved" in job.stderr)


@TAKES_PORT
def test_foreign_listener(hub: Hub, launch: Launch, environment: Environment) -> None:
    """A stranger that listens on the server's port is never reported, and the log says so."""
    patient = (
        "import socket, time, sys\n"
        "def free():\n"
        "    try: socket.create_server(('127.0.0.1', int(sys.argv[1]))).close()\n"
        "    except OSError: return False\n"
        "    return True\n"
        "while not free(): time.sleep(0.02)\n"
    )
    with listener() as port:
        environment["JUPYTERHUB_SERVICE_URL"] = f"http://127.0.0.1:{port}/"
        job = launch([*python(patient + LISTENING), "{port}"], NOTE_INTERVAL=0.5)
        job.wait_for_output("(still waiting .* a process that is not the server's listens)")
        assert [] == hub.reports
    wait_for(lambda: hub.reports, "report")


@TAKES_PORT
def test_stranger_beside_the_server(hub: Hub, launch: Launch, environment: Environment) -> None:
    """A server is not reported while a stranger listens on its port at another address."""
    with listener() as port:
        environment["JUPYTERHUB_SERVICE_URL"] = f"http://127.0.0.2:{port}/"
        job = launch(python(LISTENING.replace("127.0.0.1", "127.0.0.2")), NOTE_INTERVAL=0.5)
        job.wait_for_output("pid (.*)")
        job.wait_for_output("(still waiting .* a process that is not the server's listens)")
        assert [] == hub.reports


# --- servers that are no child of the launcher ---------------------------------------------------


def test_server_that_forks_away(hub: Hub, launch: Launch) -> None:
    """A server whose first process ends well, because it runs in the background from then on, is
    reported, gets signals, and the launcher ends when it ends."""
    fork = "import os\nif os.fork(): os._exit(0)\nos.setsid()\n"
    job = launch(python(fork + "import time\ntime.sleep(0.5)\n" + LISTENING))
    wait_for(lambda: hub.reports, "report")
    pid = job.server_pid()
    assert job.process.poll() is None
    job.process.send_signal(signal.SIGTERM)
    assert 0 == job.status()
    assert not alive(pid)


def test_server_that_forks_away_when_it_listens(hub: Hub, launch: Launch) -> None:
    """It may also listen first and then go into the background, as daemons do. If it no longer
    listens, the processes that it has left are ended, and so is the job."""
    fork = (
        "import os, signal, time\nif os.fork():\n    time.sleep(1)\n    os._exit(0)\nos.setsid()\n"
        "if not os.fork():\n    print('left', os.getpid(), flush=True)\n    time.sleep(600)\n"
    )
    job = launch(python(fork + LISTENING), NOTE_INTERVAL=0.5)
    wait_for(lambda: hub.reports, "report")
    time.sleep(1.5)
    assert job.process.poll() is None
    left = int(job.wait_for_output(r"left (\d+)"))
    os.kill(job.server_pid(), signal.SIGKILL)
    assert 0 == job.status()
    assert not alive(left)
    assert "does not listen any more" in job.stderr


@pytest.mark.parametrize("mark", ["0123456789abcdef", "f" * 16, ""])
def test_server_of_another_parent(
    hub: Hub, launch: Launch, environment: Environment, mark: str
) -> None:
    """A server that another program starts, such as the daemon behind srun, is reported if the
    environment of its process has the job's mark. Another job's server of the same account is not,
    and the log says what was seen."""
    port = free_port()
    environment["JUPYTERHUB_SERVICE_URL"] = f"http://127.0.0.1:{port}/"
    environment["UNISPAWNER_MARK"] = "0123456789abcdef"
    job = launch(["sh", "-c", "echo began; exec sleep 600"], NOTE_INTERVAL=0.5)
    job.wait_for_output("(began)")
    code = f"import socket, time\ns = socket.create_server(('127.0.0.1', {port}))\ntime.sleep(600)"
    step = subprocess.Popen(python(code), env={"UNISPAWNER_MARK": mark} if mark else {})
    try:
        if mark == environment["UNISPAWNER_MARK"]:
            wait_for(lambda: hub.reports, "report")
        else:
            seen = job.wait_for_output("(still waiting .*)")
            assert f"a process that is not the server's listens there: pid {step.pid} (" in seen
            assert "this account's), without this job's UNISPAWNER_MARK in its environment" in seen
            assert [] == hub.reports
    finally:
        step.kill()
        step.wait()


SLURM = "/system.slice/slurmstepd.scope/job_71"


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        ([f"{SLURM}/step_batch/user/task_0"], [f"{SLURM}/step_0/user/task_0"], True),
        ([f"{SLURM}/step_batch/user/task_0"], [f"{SLURM}2/step_batch/user/task_0"], False),
        ([f"{SLURM}/step_batch"], ["/user.slice/user-71.slice/session-1.scope"], False),
        (["/slurm/uid_71/job_71/step_batch"], ["/slurm/uid_71/job_72/step_batch"], False),
        (["/slurm/uid_71/job_71/step_batch", "/"], ["/slurm/uid_71/job_71/step_0", "/"], True),
        (["/system.slice/slurmd.service"], ["/system.slice/slurmd.service"], False),
        (["/user.slice/user-71.slice/session-1.scope"], ["/user.slice/user-71.slice"], False),
    ],
)
def test_cgroups_of_jobs(
    monkeypatch: pytest.MonkeyPatch, mine: list[str], other: list[str], expected: bool
) -> None:
    """All steps of a job are in the cgroup with the job's id. Another job's is not, and a cgroup
    that several jobs share shows nothing."""
    monkeypatch.setenv("SLURM_JOB_ID", "71")
    monkeypatch.delenv("UNISPAWNER_MARK", raising=False)
    monkeypatch.setattr(launcher, "cgroups", lambda pid: mine if pid == os.getpid() else other)
    assert expected is launcher.in_this_job(12345)


def test_who_listens() -> None:
    """The kernel's answer and its table in /proc say the same: each socket with its account."""
    with listener() as port, suppress(OSError), socket.create_server(("::1", port)) as _:
        found = launcher.asked_listeners(port)
        assert launcher.listed_listeners(port) == found
        assert {os.getuid()} == set(found.values())
        assert set(found) <= launcher.open_files([os.getpid()])
    assert {} == launcher.asked_listeners(port)


def test_a_server_is_found_without_a_look_at_all_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is the launcher's child is found at once, on a node with many processes."""
    with subprocess.Popen(
        [sys.executable, "-c", "import socket; s = socket.create_server(('', 0)); "
         "print(s.getsockname()[1], flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout
        port = int(server.stdout.readline())
        assert [] == launcher.strangers(port)
        if launcher.own_children():
            monkeypatch.setattr(launcher, "descendants", lambda: pytest.fail("all were looked at"))
            assert [] == launcher.strangers(port)
        assert server.stdin
        server.stdin.close()


def test_a_kernel_that_does_not_say_who_listens(hub: Hub, launch: Launch) -> None:
    """Where the kernel can't be asked, as in some sandboxes, its table in /proc is read."""
    job = launch(python(LISTENING), NETLINK_SOCK_DIAG=99)
    job.wait_for_output("(reported node7:.* to the Hub)")
    assert 1 == len(hub.reports)


def test_a_kernel_without_the_module_that_says_who_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kernel that can't say which sockets listen, because it has no module for that, ends its
    answer with an error. That does not mean that nobody listens: the table in /proc is read."""
    with listener() as port:
        monkeypatch.setattr(socket, "IPPROTO_TCP", 250)  # for which no kernel has a module
        with pytest.raises(OSError, match="the kernel"):
            launcher.asked_listeners(port)
        assert {os.getuid()} == set(launcher.listeners(port).values())


@TAKES_PORT
def test_listener_of_another_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket of another account is never the server's, whatever its process says."""
    monkeypatch.setattr(launcher, "listeners", lambda port: {"socket:[1]": os.getuid() + 1})
    assert [f"a process of uid {os.getuid() + 1}"] == launcher.strangers(4000)
    monkeypatch.setattr(launcher, "listeners", lambda port: {})
    assert launcher.strangers(4000) is None


# --- the report -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", False),
    ],
)
def test_an_answer_is_whole(answer: bytes, expected: bool) -> None:
    """An answer has come whole when its body is as long as it says; without a length, only the
    end of the connection shows that."""
    assert expected is launcher.is_whole(answer)


def test_an_answer_in_chunks() -> None:
    """A web server before the Hub may send the Hub's answer in chunks."""
    assert b"abcde" == launcher.join_chunks(b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n")
    assert b"abc" == launcher.join_chunks(b"3\r\nabc\r\n5\r\n")
    with pytest.raises(ValueError, match="invalid literal"):
        launcher.join_chunks(b"no chunk")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_hub_that_cannot_answer_now(hub: Hub, launch: Launch, status: int) -> None:
    """Answers of a Hub that can't answer now are not refusals; the log has them once."""
    hub.answers = [(status, {}, {"message": "come back"})] * 3 + [(200, {}, {})]
    job = launch(python(LISTENING), REFUSAL_PATIENCE=0)
    job.wait_for_output("(reported )")
    assert 4 == len(hub.reports)
    assert 1 == job.stderr.count(f"({status} come back)")


def test_backoff_grows(hub: Hub, launch: Launch) -> None:
    """Pauses double from 0.2 s, each shortened at random by up to a half."""
    hub.answers = [(503, {}, {})]
    launch(python(LISTENING))
    wait_for(lambda: len(hub.times) >= 5, "five reports")
    pauses = [later - sooner for sooner, later in zip(hub.times, hub.times[1:], strict=False)]
    for pause, longest in zip(pauses, [0.2, 0.4, 0.8, 1.6], strict=False):
        assert longest / 2 <= pause < longest + 2  # a busy machine may add to it


def test_retry_after(hub: Hub, launch: Launch) -> None:
    """The Hub's Retry-After sets the next pause."""
    hub.answers = [(503, {"Retry-After": "2"}, {}), (204, {}, {})]
    launch(python(LISTENING))
    wait_for(lambda: len(hub.times) == 2, "second report")
    assert 2 <= hub.times[1] - hub.times[0] < 5


@pytest.mark.threat(
    who="node",
    tries="What answers in the Hub's place makes the launcher wait for ever.",
    stopped_by="Retry-After has an upper limit.",
)
def test_retry_after_has_a_limit(hub: Hub, launch: Launch) -> None:
    """Retry-After has an upper limit."""
    assert "RETRY_AFTER_LIMIT = 0.2, 30, 60\n" in TEXT
    hub.answers = [(503, {"Retry-After": "86400"}, {}), (204, {}, {})]
    launch(python(LISTENING), **{"RETRY_FIRST, RETRY_LAST, RETRY_AFTER_LIMIT": "0.2, 30, 1"})
    wait_for(lambda: len(hub.times) == 2, "second report")


def test_hub_that_is_down(launch: Launch, environment: Environment) -> None:
    """A Hub that restarts gets the report when it is back."""
    with socket.create_server(("127.0.0.1", 0)) as first:
        first.settimeout(PATIENCE)
        port = first.getsockname()[1]
        environment["JUPYTERHUB_API_URL"] = f"http://127.0.0.1:{port}/hub/api"
        job = launch(python(LISTENING))
        first.accept()[0].close()  # the launcher has seen that there is a Hub
    job.wait_for_output("(Connection refused)")
    hub = Hub(port)
    wait_for(lambda: hub.reports, "report")
    hub.close()


def test_hub_that_is_away_at_first(launch: Launch, environment: Environment) -> None:
    """The server starts only when the Hub answers, because jupyterhub-singleuser would end."""
    port = free_port()
    environment["JUPYTERHUB_API_URL"] = f"http://127.0.0.1:{port}/hub/api"
    job = launch(python(LISTENING))
    job.wait_for_output("(does not answer; the server starts as soon as the Hub answers)")
    children = Path(f"/proc/{job.process.pid}/task/{job.process.pid}/children")
    assert "" == children.read_text()
    hub = Hub(port)
    wait_for(lambda: hub.reports, "report")
    hub.close()


def test_end_while_the_hub_is_away(launch: Launch, environment: Environment) -> None:
    """A job that is cancelled while it waits for the Hub ends at once without a server."""
    environment["JUPYTERHUB_API_URL"] = f"http://127.0.0.1:{free_port()}/hub/api"
    job = launch(python(LISTENING))
    job.wait_for_output("(does not answer)")
    job.process.send_signal(signal.SIGTERM)
    assert 128 + signal.SIGTERM == job.status()


def test_hub_that_hangs(launch: Launch, environment: Environment) -> None:
    """A request that is not answered ends in time, and the next one may be answered."""
    with listener() as port:
        environment["JUPYTERHUB_API_URL"] = f"http://127.0.0.1:{port}/hub/api"
        job = launch(python(LISTENING), REQUEST_TIMEOUT=0.5)
        job.wait_for_output("(timed out)")
        job.process.send_signal(signal.SIGTERM)
        assert 7 == job.status()


def test_end_during_a_request(launch: Launch, environment: Environment) -> None:
    """The server's end is noticed at once, even while a request waits for its answer."""
    ends = LISTENING.replace("signal.pause()", "listener.accept(); sys.exit(5)")
    with socket.create_server(("127.0.0.1", 0)) as hub:
        hub.settimeout(PATIENCE)
        environment["JUPYTERHUB_API_URL"] = f"http://127.0.0.1:{hub.getsockname()[1]}/hub/api"
        job = launch(python(ends))
        hub.accept()[0].close()  # the launcher has seen that there is a Hub
        with ExitStack() as requests:
            port = None
            while port is None:  # the first request says that the job has begun
                request = requests.enter_context(hub.accept()[0])
                request.settimeout(PATIENCE)
                text = b""
                while b"}" not in text:
                    received = request.recv(65536)
                    assert received, "the request ended early"
                    text += received
                port = json.loads(text.split(b"\r\n\r\n")[1]).get("port")
            start = time.monotonic()
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            assert 5 == job.status()
            assert time.monotonic() - start < launcher.REQUEST_TIMEOUT / 2


def test_end_between_reports(hub: Hub, launch: Launch) -> None:
    """The server's end is noticed at once, even between two reports."""
    hub.answers = [(503, {"Retry-After": "60"}, {})]
    job = launch(python(LISTENING))
    wait_for(lambda: hub.reports, "report")
    job.process.send_signal(signal.SIGTERM)
    assert 7 == job.status()


@pytest.mark.threat(
    who="node",
    tries="What answers in the Hub's place redirects the launcher elsewhere.",
    stopped_by="The launcher follows no redirect.",
)
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409])
def test_refused_report(hub: Hub, launch: Launch, status: int) -> None:
    """If the Hub refuses the report for some time, its words are in the log and the server is
    ended. Redirects are not followed.
    """
    hub.answers = [(status, {"Location": "/elsewhere"}, {"message": "no such\nserver"})]
    job = launch(python(LISTENING), REFUSAL_PATIENCE=1)
    pid = job.server_pid()
    assert 1 == job.status()
    assert not alive(pid)
    assert f"({status} no such server)" in job.stderr
    assert "the Hub does not know this server any more" in job.stderr
    assert {"POST /hub/api/unispawner/report"} == {r["request"] for r in hub.reports}
    assert 1 < len(hub.reports)


# --- the beginning and the end ----------------------------------------------------------------


def test_the_job_s_events(hub: Hub, launch: Launch, tmp_path: Path) -> None:
    """The Hub hears that the job has begun, where the server listens, and its end with status."""
    go = tmp_path / "go"
    job = launch(python(WAITING.format(go) + LISTENING))
    wait_for(lambda: hub.answered == ["begun"], "the first event")
    go.touch()
    job.wait_for_output("(reported )")
    wait_for(lambda: len(hub.events) == 2, "the second event")
    job.process.send_signal(signal.SIGTERM)
    assert 7 == job.status()
    begun, ready = hub.events[:2]
    assert {"event": "begun", "host": "node7"} == begun
    assert "ready" == ready["event"]
    assert [{**ready, "event": "ended", "status": 7, "signalled": True}] == hub.events[2:]


def test_server_that_ends_by_itself(hub: Hub, launch: Launch) -> None:
    """The Hub can tell the end of a server that nobody has asked to end by a signal."""
    job = launch(python(LISTENING))
    job.wait_for_output("(reported )")
    wait_for(lambda: len(hub.events) == 2, "the second event")
    os.kill(job.server_pid(), signal.SIGTERM)
    assert 7 == job.status()
    assert [{**hub.events[1], "event": "ended", "status": 7}] == hub.events[2:]


def test_server_that_ends_before_it_listens(hub: Hub, launch: Launch) -> None:
    """The end of a server that never listened has its status and no port."""
    job = launch(["sh", "-c", "exit 3"])
    assert 3 == job.status()
    ended = [event for event in hub.events if event["event"] == "ended"]
    assert [{"event": "ended", "host": "node7", "status": 3}] == ended


@pytest.mark.parametrize("status", [400, 403, 404, 503])
def test_hub_without_events(hub: Hub, launch: Launch, status: int) -> None:
    """A Hub that refuses the events stops no server, and none of its words are in the log."""
    hub.event_answers = dict.fromkeys(("begun", "ended"), (status, {}, {"message": "what"}))
    job = launch(python(LISTENING), **{SHORT_HOLD: "1, 1, 1"})
    job.wait_for_output("(reported )")
    job.process.send_signal(signal.SIGTERM)
    assert 7 == job.status()
    assert "what" not in job.stderr


def test_hub_that_is_slow_to_hear_of_the_beginning(
    hub: Hub, launch: Launch, tmp_path: Path
) -> None:
    """A beginning that is not answered delays neither the server nor its report."""
    hub.gates["begun"], go = threading.Event(), tmp_path / "go"
    job = launch(python(WAITING.format(go) + LISTENING))
    wait_for(lambda: hub.events, "the first event")
    go.touch()
    job.wait_for_output("(reported )")
    assert (2, ["ready"]) == (len(hub.events), hub.answered)
    hub.gates["begun"].set()


def holds(port: int) -> bool:
    """Return whether a port is taken."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return False
    except OSError:
        return True


def answer(port: int) -> int:
    """Return the status with which a request for a page is answered; 0 without an answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/user/alice/api", timeout=PATIENCE) as reply:
            return int(reply.status)
    except HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


SHORT_HOLD = "HOLD_LONGEST, HOLD_AFTER_SIGNAL, HOLD_UNREPORTED"


@pytest.mark.threat(
    who="other user",
    tries="They take the port that a server has left, to receive what its user's browser sends.",
    stopped_by="The launcher holds the port until the Hub has moved the route to a dead address.",
)
def test_port_is_held_until_the_hub_knows(hub: Hub, launch: Launch) -> None:
    """The Hub's route still leads to the port: nobody gets it until the Hub has answered."""
    hub.event_answers["ended"] = (503, {"Retry-After": "0"}, {})
    job = launch(python(LISTENING.replace("signal.pause()", "listener.accept(); os._exit(5)")))
    job.wait_for_output("(reported )")
    port = hub.reports[0]["body"]["port"]
    socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    wait_for(lambda: hub.events[-1]["event"] == "ended", "the end")
    assert holds(port)
    for _ in range(2):  # a request that takes more than a second to come has no answer
        wait_for(lambda: answer(port) == 503, "an answer")
    hub.event_answers["ended"] = (200, {}, {})
    assert 5 == job.status()
    assert not holds(port)


@pytest.mark.parametrize("then", ["nothing", "signal"])
def test_port_is_not_held_for_ever(hub: Hub, launch: Launch, then: str) -> None:
    """If the Hub does not answer, the job ends after a while, and soon when it has to end."""
    hub.event_answers["ended"] = (503, {}, {})
    limits = "1, 60, 60" if then == "nothing" else "60, 1, 60"
    ends = LISTENING.replace("signal.pause()", "listener.accept(); os._exit(5)")
    job = launch(python(ends), **{SHORT_HOLD: limits})
    job.wait_for_output("(reported )")
    port = hub.reports[0]["body"]["port"]
    socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    wait_for(lambda: hub.events[-1]["event"] == "ended", "the end")
    if then == "signal":
        job.process.send_signal(signal.SIGTERM)
    assert 5 == job.status()
    assert "has not answered the report that the server has ended" in job.stderr


def test_end_does_not_overtake_the_report(hub: Hub, launch: Launch) -> None:
    """A report that the Hub still checks is answered before the Hub hears of the server's end."""
    hub.gates["ready"] = threading.Event()
    ends = LISTENING.replace("signal.pause()", "listener.accept(); os._exit(5)")
    job = launch(python(ends), **{SHORT_HOLD: "60, 60, 60"})
    wait_for(lambda: hub.reports, "report")
    port = hub.reports[0]["body"]["port"]
    socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    wait_for(lambda: not alive(job.server_pid()), "the server's end")
    hub.gates["ready"].set()
    assert 5 == job.status()
    assert ["ready", "ended"] == hub.answered[-2:]


def test_refused_stubborn_server(hub: Hub, launch: Launch) -> None:
    """A server that ignores SIGTERM is killed."""
    hub.answers = [(403, {}, {})]
    stubborn = LISTENING.replace("lambda *_: os._exit(7)", "signal.SIG_IGN")
    job = launch(python(stubborn), REFUSAL_PATIENCE=0.5, TERM_GRACE=1)
    pid = job.server_pid()
    assert 1 == job.status()
    assert not alive(pid)


def test_refused_then_accepted(hub: Hub, launch: Launch) -> None:
    """A refusal does not count if another answer follows, since a Hub may just be starting."""
    refusal: Answer = (403, {}, {})
    busy: Answer = (503, {"Retry-After": "1"}, {})
    hub.answers = [refusal, busy, busy, refusal, (204, {}, {})]
    job = launch(python(LISTENING), REFUSAL_PATIENCE=2)
    job.wait_for_output("(reported )")
    assert job.process.poll() is None


@pytest.mark.threat(
    who="node",
    tries="A variable of the job's environment sends reports through a proxy of somebody's.",
    stopped_by="The launcher uses no proxy of the environment.",
)
def test_no_proxy(hub: Hub, launch: Launch, environment: Environment) -> None:
    """Proxies in the job's environment are not used."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        environment[name] = "http://127.0.0.1:9"
    launch(python(LISTENING))
    wait_for(lambda: hub.reports, "report")


@pytest.mark.threat(**LISTED_SECRET)
def test_token_stays_secret(hub: Hub, launch: Launch) -> None:
    """The token is in no output and in no process's arguments."""
    hub.answers = [(403, {}, {"message": "Forbidden"})] * 2 + [(204, {}, {})]
    job = launch(python(LISTENING))
    looked = 0
    while "reported" not in job.stderr:
        wait_for(lambda: hub.reports, "report")
        looked += 1
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                assert TOKEN.encode() not in path.read_bytes()
    assert looked
    assert TOKEN not in job.stdout + job.stderr


@pytest.mark.parametrize("token", ["", "two words", f"{TOKEN}\nX: y"])
def test_no_token(launch: Launch, environment: Environment, token: str) -> None:
    """Text that can't be a token is refused without being shown."""
    environment["JUPYTERHUB_API_TOKEN"] = token
    job = launch(["echo", "started"])
    assert 1 == job.status()
    assert "" == job.stdout
    assert "unispawner: JUPYTERHUB_API_TOKEN is not set, or is not a token\n" == job.stderr


@pytest.mark.parametrize("name", ["JUPYTERHUB_API_URL", "JUPYTERHUB_SERVICE_URL"])
@pytest.mark.parametrize("url", ["", "http+unix://%2Fsock/x", "http://h:x/", "//h:1/"])
def test_no_url(launch: Launch, environment: Environment, name: str, url: str) -> None:
    """The error for a wrong URL names the variable, and no server is started."""
    environment[name] = url
    job = launch(["echo", "started"])
    assert 1 == job.status()
    assert "" == job.stdout
    assert f"unispawner: {name}: " in job.stderr
    assert "is not an http or https URL" in job.stderr


def test_internal_ssl(launch: Launch, environment: Environment, tmp_path: Path) -> None:
    """Where the server's certificate is made before the start, as by the legacy classes, both sides
    use the certificates that JupyterHub made."""
    certipy = pytest.importorskip("certipy").Certipy(store_dir=str(tmp_path))
    for name in ("hub", "user"):
        certipy.create_ca(f"{name}-ca")
        certipy.create_signed_pair(name, f"{name}-ca", alt_names=["IP:127.0.0.1"])
    files = {name: certipy.store.get_record(name)["files"] for name in certipy.store.store}
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files["user-ca"]["cert"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files["hub"]["cert"], files["hub"]["key"])
    hub = Hub(context=context)
    environment.update(
        JUPYTERHUB_API_URL=hub.url,
        JUPYTERHUB_SSL_KEYFILE=files["user"]["key"],
        JUPYTERHUB_SSL_CERTFILE=files["user"]["cert"],
        JUPYTERHUB_SSL_CLIENT_CA=files["user-ca"]["cert"],
    )
    distrustful = launch(python(LISTENING))
    distrustful.wait_for_output("(certificate verify failed)")
    assert [] == hub.reports

    environment["JUPYTERHUB_SSL_CLIENT_CA"] = files["hub-ca"]["cert"]
    launch(python(LISTENING))
    wait_for(lambda: hub.reports, "report")
    hub.close()


# --- the certificate for the node ---------------------------------------------------------------

SHOWING = """
import os
path = os.environ["JUPYTERHUB_SSL_CERTFILE"]
print("certificate", path, oct(os.stat(path).st_mode), open(path).read(), flush=True)
"""
GIVEN: Answer = (200, {}, {"certificate": "for node7"})


@pytest.fixture
def certified(environment: Environment, tmp_path: Path) -> Path:
    """Give the private folder of a job that gets a certificate when its node is known."""
    folder = tmp_path / "job"
    folder.mkdir()
    environment["UNISPAWNER_CLIENT_CERTIFICATE"] = str(folder / "clientfile")
    environment["JUPYTERHUB_SSL_KEYFILE"] = str(folder / "keyfile")
    return folder


def test_certificate_for_the_node(hub: Hub, launch: Launch, certified: Path) -> None:
    """The server starts with the certificate that the Hub's answer to "begun" has, in a new private
    file beside the key. It is reported once. A job that is run again gets another file."""
    hub.event_answers["begun"] = GIVEN
    for run in (1, 2):
        job = launch(python(SHOWING + LISTENING))
        path = job.wait_for_output(r"certificate (\S+) 0o100600 for node7\n")
        assert certified == Path(path).parent
        job.wait_for_output("(reported )")
        assert ["begun", "ready"] == [event["event"] for event in hub.events]
        assert run == len(list(certified.glob("certfile-*")))
        job.process.send_signal(signal.SIGTERM)
        assert 7 == job.status()
        hub.events.clear()


def test_certificate_that_takes_time(hub: Hub, launch: Launch, certified: Path) -> None:
    """Until the answer has a certificate, the launcher asks again and starts nothing: the scheduler
    may not have said yet where the job runs, or the Hub may be restarted meanwhile, in the middle
    of an answer."""
    hub.event_answers["begun"] = (503, {"Retry-After": "0"}, {"message": "not yet"})
    job = launch(python(SHOWING + LISTENING))
    wait_for(lambda: len(hub.events) > 2, "some reports")
    assert {"begun"} == {event["event"] for event in hub.events}
    assert 1 == job.stderr.count("has not accepted the report yet (503 not yet)")
    hub.event_answers["begun"] = (200, {}, {})
    job.wait_for_output(r"has not accepted the report yet \((200 OK)\)")
    assert not list(certified.glob("certfile-*"))
    hub.event_answers["begun"] = GIVEN
    job.wait_for_output("(reported )")


def test_end_before_there_is_a_certificate(hub: Hub, launch: Launch, certified: Path) -> None:
    """A job that is cancelled while it waits for its certificate ends at once without a server."""
    hub.gates["begun"] = threading.Event()
    job = launch(["echo", "started"])
    wait_for(lambda: hub.events, "the report")
    job.process.send_signal(signal.SIGTERM)
    assert 128 + signal.SIGTERM == job.status()
    assert "" == job.stdout
    hub.gates["begun"].set()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((409, {}, {"message": "being ended"}), "has not accepted that the job begins (409 being"),
        ((200, {}, {}), "has not accepted that the job begins (200 OK)"),
        ((200, {}, []), "has not accepted that the job begins (200 OK)"),
    ],
)
def test_no_certificate(
    hub: Hub, launch: Launch, certified: Path, answer: Answer, message: str
) -> None:
    """A job that gets no certificate ends without a server, and its log says why."""
    hub.event_answers["begun"] = answer
    job = launch(["echo", "started"], REFUSAL_PATIENCE=1)
    assert 1 == job.status()
    assert ("", True) == (job.stdout, message in job.stderr)


def test_certificate_that_cannot_be_written(hub: Hub, launch: Launch, certified: Path) -> None:
    """A folder that can't be written into ends the job, and the log names the file."""
    hub.event_answers["begun"] = GIVEN
    certified.rmdir()
    job = launch(["echo", "started"])
    assert 1 == job.status()
    assert "the server's certificate can't be written: " in job.stderr
    assert str(certified / "certfile-") in job.stderr


# --- signals and ends -------------------------------------------------------------------------

RECORDING = """
import os, signal, sys
for number in map(int, sys.argv[1].split()):
    # Not print(): the next signal may come before it has returned, and it can't be entered again.
    signal.signal(number, lambda number, _: os.write(1, b"got %d\\n" % number))
print("pid", os.getpid(), flush=True)
while True:
    signal.pause()
"""


def test_signals_are_passed_on(launch: Launch) -> None:
    """Each signal of a scheduler reaches the server once, and the server decides what it does."""
    names = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "CONT", "XCPU")
    numbers = [signal.Signals[f"SIG{name}"].value for name in names]
    job = launch([*python(RECORDING), " ".join(map(str, numbers))])
    pid = job.server_pid()
    for number in numbers:
        job.process.send_signal(number)
        job.wait_for_output(rf"got ({number})\n")
    os.kill(pid, signal.SIGKILL)
    assert 128 + signal.SIGKILL == job.status()
    assert numbers == [int(line.split()[1]) for line in job.stdout.splitlines()[1:]]


WARNINGS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


def test_warnings_end_no_server_that_does_not_expect_them(launch: Launch) -> None:
    """SIGUSR1, SIGUSR2 and SIGXCPU, which would end a server without a handler, do not reach it."""
    job = launch(python(LISTENING))
    pid = job.server_pid()
    for number in WARNINGS:
        job.process.send_signal(number)
    job.process.send_signal(signal.SIGTERM)
    assert 7 == job.status()
    assert not alive(pid)


def announcement(job: Job) -> Path:
    return Path(job.wait_for_output("ending (/.+)\n"))


ANNOUNCING = 'import os; print("ending", os.environ["UNISPAWNER_ENDING"], flush=True)\n'


def test_announced_end(launch: Launch, environment: Environment, tmp_path: Path) -> None:
    """The signal of --ending puts the end into a private file that the server knows. It ends
    neither the server nor a process of the job that gets it as well, and the first one counts. The
    file is gone after the job."""
    environment["TMPDIR"] = str(tmp_path)
    job = launch(python(ANNOUNCING + LISTENING), "--ending", "USR2@60")
    pid, path = job.server_pid(), announcement(job)
    assert (tmp_path, False) == (path.parent, path.exists())
    before = time.time()
    os.killpg(job.process.pid, signal.SIGUSR2)
    assert before + 59 < float(wait_for(lambda: path.exists() and path.read_text(), "an end"))
    assert 0o600 == path.stat().st_mode & 0o777
    written = path.read_text()
    os.killpg(job.process.pid, signal.SIGUSR2)
    time.sleep(0.2)
    assert (True, written) == (alive(pid), path.read_text())
    job.process.send_signal(signal.SIGTERM)
    assert (7, False) == (job.status(), path.exists())
    assert "the scheduler has announced that it will end this job" in job.stderr


def test_end_that_is_announced_early(launch: Launch, environment: Environment) -> None:
    """An announcement before the Hub answers, and so before there is a server, is kept for it."""
    port = free_port()
    environment["JUPYTERHUB_API_URL"] = f"http://127.0.0.1:{port}/hub/api"
    job = launch(python(ANNOUNCING + LISTENING), "--ending=USR1@300")
    job.wait_for_output("(does not answer)")
    job.process.send_signal(signal.SIGUSR1)
    job.wait_for_output("(has announced)")
    hub = Hub(port)
    assert announcement(job).exists()
    hub.close()


def test_announcement_that_cannot_be_written(launch: Launch, environment: Environment) -> None:
    """Without a folder for the announcement the log says so, and the server goes on."""
    environment["TMPDIR"] = "/nowhere"
    job = launch(python(LISTENING), "--ending", "USR1@300")
    pid = job.server_pid()
    job.process.send_signal(signal.SIGUSR1)
    job.wait_for_output("(the user is not warned in JupyterLab)")
    assert alive(pid)


@pytest.mark.parametrize(
    "text", ["USR1", "USR1@", "USR1@soon", "TERM@60", "KILL@60", "@60", "1@60"]
)
def test_ending_that_makes_no_sense(launch: Launch, text: str) -> None:
    """An announcing signal that would end the job, or no number of seconds, is refused."""
    job = launch(["true"], "--ending", text)
    assert 1 == job.status()
    assert f"--ending: '{text}' must be USR1, USR2 or XCPU" in job.stderr


def test_server_of_the_job_s_process_group(launch: Launch) -> None:
    """The server is in the job's process group and session, where schedulers look for it."""
    job = launch([*python(RECORDING), ""])
    pid = job.server_pid()
    assert job.process.pid == os.getpgid(pid) == os.getsid(pid)


def test_signal_to_the_whole_group(hub: Hub, launch: Launch) -> None:
    """After a signal to all processes of the job, the status is the server's own."""
    job = launch(python(LISTENING))
    wait_for(lambda: hub.reports, "report")
    os.killpg(job.process.pid, signal.SIGTERM)
    assert 7 == job.status()


def test_ignored_signals_stay_ignored(launch: Launch) -> None:
    """Signals that the job ignores (nohup) are ignored by the launcher and the server."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        job = launch(["sh", "-c", "grep SigIgn /proc/self/status; echo pid $$; exec sleep 60"])
        pid = job.server_pid()
    finally:
        signal.signal(signal.SIGHUP, previous)
    mask = int(job.wait_for_output(r"SigIgn:\s+(\w+)"), 16)
    assert mask & 1 << signal.SIGHUP - 1
    job.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert alive(pid)


def test_launcher_killed(hub: Hub, launch: Launch) -> None:
    """If SIGKILL ends the launcher, the server ends, too."""
    job = launch(python(LISTENING))
    wait_for(lambda: hub.reports, "report")
    pid = job.server_pid()
    job.process.kill()
    wait_for(lambda: not alive(pid), "the server's end")


# --- the host ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "host"),
    [
        ("literal:login.example.org", "login.example.org"),
        ("route", "127.0.0.1"),  # towards the Hub of these tests
        ("interface:lo", "127.0.0.1"),
        ("network:127.0.0.0/8", "127.0.0.1"),
        ("short", socket.gethostname().split(".")[0]),
    ],
)
def test_host(hub: Hub, launch: Launch, how: str, host: str) -> None:
    """Each value of --host gives the right name or address."""
    launch(python(LISTENING), "--host", how)
    wait_for(lambda: hub.reports, "report")
    assert host == hub.reports[0]["body"]["host"]


def test_fqdn_is_the_default(hub: Hub, environment: Environment, launch: Launch) -> None:
    """Without --host the name is one that other hosts can use, or else an address."""
    launch(python(LISTENING), "--host=fqdn", "--host", "fqdn")
    wait_for(lambda: hub.reports, "report")
    names = {socket.getfqdn(), socket.gethostname().split(".")[0], "127.0.0.1"}
    assert hub.reports[0]["body"]["host"] in names
    assert "fqdn" == launcher.parse_arguments(["server"])[0]["--host"]


@pytest.mark.parametrize(
    ("fqdn", "short", "expected"),
    [
        ("good.example", "good", "good.example"),
        ("localhost.localdomain", "good", "good"),
        ("own.example", "own", "127.0.0.1"),  # 127.0.1.1 in /etc/hosts
        ("nowhere.example", "nowhere", "127.0.0.1"),
    ],
)
def test_fqdn_is_no_loopback(
    monkeypatch: pytest.MonkeyPatch,
    environment: Environment,
    fqdn: str,
    short: str,
    expected: str,
) -> None:
    """A name that leads to a loopback address is replaced by the short name or an address.

    Name resolution is replaced in this test, because setting it up needs root.
    """
    table = {
        "good.example": "192.0.2.7",
        "good": "192.0.2.7",
        "127.0.0.1": "127.0.0.1",
        "localhost.localdomain": "127.0.0.1",
        "own.example": "127.0.1.1",
        "own": "127.0.1.1",
    }

    def resolve(name: str, port: Any, *_: Any) -> list[Any]:
        if name not in table:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 0, "", (table[name], port))]

    monkeypatch.setattr(socket, "getfqdn", lambda: fqdn)
    monkeypatch.setattr(socket, "gethostname", lambda: short)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == launcher.find_host("fqdn", launcher.Hub())


@pytest.mark.parametrize("how", ["interface:ib9", "network:203.0.113.0/24"])
def test_host_that_is_not_there(launch: Launch, how: str) -> None:
    """The error for a missing address lists those of the node, and no server is started."""
    job = launch(["echo", "started"], "--host", how)
    assert 1 == job.status()
    assert "" == job.stdout
    assert f"--host: this node has no address for {how!r}" in job.stderr
    assert "lo 127.0.0.1" in job.stderr


@pytest.mark.parametrize("how", ["", "ip", "interface:", "literal:", "network:1.2.3"])
def test_host_that_makes_no_sense(launch: Launch, how: str) -> None:
    """An unknown value of --host is an error before a server is started."""
    job = launch(["echo", "started"], "--host", how)
    assert 1 == job.status()
    assert "" == job.stdout
    assert "--host" in job.stderr


def test_local_addresses() -> None:
    """The addresses are those that `ip` shows, with IPv6 and further ones of an interface."""
    if not shutil.which("ip"):
        pytest.skip("no ip command here")
    listed = subprocess.run(
        ["ip", "-j", "address", "show", "up"], capture_output=True, text=True, check=True
    )
    expected = {
        (link["ifname"], address["local"])
        for link in json.loads(listed.stdout)
        for address in link.get("addr_info", ())
        if (address["family"], address["scope"]) != ("inet6", "link")
    }
    assert expected == set(launcher.local_addresses())


@pytest.mark.parametrize("arguments", [[], ["--"], ["--host"], ["--prot", "1", "server"]])
def test_usage(arguments: list[str]) -> None:
    """The error for wrong arguments shows the right form."""
    with pytest.raises(launcher.Problem, match="usage: python3 -I -"):
        launcher.parse_arguments(arguments)


def test_server_s_own_options() -> None:
    """Options after the command belong to the command."""
    options, command = launcher.parse_arguments(
        ["--host=short", "--ports", "9000-9001", "server", "--host", "x"]
    )
    assert ("short", "9000-9001") == (options["--host"], options["--ports"])
    assert ["server", "--host", "x"] == command
