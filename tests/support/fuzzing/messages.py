"""Targets: what the agent, the broker, the Hub and the launcher say to each other."""

from __future__ import annotations

import json
import logging
import os
import pwd
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from tornado import web

from support import OUTPUTS
from unispawner import frames, launcher
from unispawner._version import __version__
from unispawner.agent import protocol
from unispawner.broker.incoming import Incoming, InvalidRequestError, Request, parse_header
from unispawner.broker.memory import Buffer, make_file
from unispawner.command import Finished
from unispawner.errors import AgentError, UniSpawnerError, clean_output
from unispawner.job import JobSpec
from unispawner.legacy.status import for_log
from unispawner.profiles.mine import Mine, find_errors, mine_to_dict
from unispawner.profiles.option import Option
from unispawner.run_as import get_run_as
from unispawner.run_as.accounts import Account
from unispawner.run_as.client import AgentClient
from unispawner.schedulers import get_scheduler, plain
from unispawner.schedulers.questions import RESULTS, Notice, Question, decode
from unispawner.schedulers.reading import first_of_each_kind, quote_lines
from unispawner.schedulers.usage import Accounting, EndedJob, Usage
from unispawner.submit_host.broker_process import KEPT, BrokenConnection, BrokerProcess
from unispawner.submit_host.connection import Connection
from unispawner.submit_host.host import SubmitHost
from unispawner.submit_host.notices import Notices
from unispawner.submit_host.ssh import Destination, explain_failure
from unispawner.testing import read_saved_reply
from unispawner.web.reports import ReportHandler

from .mutations import TOKENS, changed, changed_bytes, json_values
from .target import SECRET, Target

MARK = "0123456789abcdef"
ACCOUNT = Account("alice", 1001, "/home/alice")


def as_texts(values: SearchStrategy[Any]) -> SearchStrategy[str]:
    return values.map(json.dumps)


def in_bytes(values: SearchStrategy[Any]) -> SearchStrategy[str]:
    """Make JSON as bytes, changed or not."""
    texts = as_texts(values)
    return changed_bytes(texts) | texts


# -- the agent's request reader ------------------------------------------------------------------

_REQUEST = {
    "version": 1,
    "action": "submit",
    "account": "alice",
    "uid": 1001,
    "min_uid": 1000,
    "scheduler": "slurm",
    "scheduler_options": {"slurm_cluster": ""},
    "scheduler_path": ["/opt/slurm/bin"],
    "scheduler_environment": {},
    "state_dir": "~/.unispawner",
    "timeout": 60.0,
    "shell": "/bin/sh",
    "spec": {
        **JobSpec(environment={"JUPYTERHUB_API_TOKEN": SECRET}, mark=MARK).to_dict(),
        "duration": 3600.0,
    },
}


@st.composite
def requests(draw: DrawFn) -> dict[str, Any]:
    """Make a request with odd values in it, at the top or in its job."""
    request: dict[str, Any] = json.loads(json.dumps(_REQUEST))
    for _ in range(draw(st.integers(0, 2))):
        inner: dict[str, Any] = draw(st.sampled_from((request, request["spec"])))
        key = draw(st.sampled_from(sorted(inner)))
        if draw(st.booleans()) and key != "spec":
            del inner[key]
        elif key != "spec":
            inner[key] = draw(json_values())
    return request


def run_request(value: str) -> None:
    """Read a request, and the job in it."""
    request = protocol.read_request(value.encode("latin-1"))
    spec = request.get("spec")
    if isinstance(spec, dict):
        job = JobSpec.from_dict(spec)
        assert SECRET not in repr(job)


def run_service(value: str) -> None:
    """Serve a request up to its action: the reply is one of ours whatever the request has."""
    raw = value.encode("latin-1")
    entry = pwd.getpwuid(os.getuid())
    read, write = os.pipe()

    def work() -> Any:
        request = protocol.read_request(raw)
        float(request["timeout"])
        if os.getuid() != request["uid"]:
            raise AgentError(f"not {entry.pw_name}: {request['account']}")
        return {}

    protocol.write_reply(write, work)
    with os.fdopen(read, "rb") as stream:
        reply = json.loads(stream.read())
    assert reply["version"] == 1
    assert SECRET not in json.dumps(reply)


# -- replies, on the Hub's side ------------------------------------------------------------------

_INFO = {
    "owner": "alice",
    "state": "RUNNING",
    "message": "waits",
    "exit_code": 1,
    "exec_host": "node1",
    "queue_position": 2,
    "estimated_start": 1.5e9,
    "native_state": "R",
}
_RESULTS: Mapping[str, Any] = {
    "submit": {"job_id": "12"},
    "status": {"12": _INFO},
    "find": {"job_id": "12"},
    "find_jobs": {"job_ids": ["12", "13"]},
    "log_end": {"tail": "a line\n", "size": 7},
    "stage": {"wrapper": f"/home/alice/.unispawner/jobs/{MARK}/wrapper"},
    "missing": {"missing": ["/bin/x"]},
    "check": {"account": "alice"},
    "usable": {
        "entries": {"account": [{"name": "ml", "default": True, "begins": None, "ends": None}]},
        "rules": [[{"account": ["ml"], "queue_name": ["gpu"]}]],
        "partial": False,
    },
    "usage": plain.encode(Accounting(Usage())),
    "estimate": {"outlook": "later", "start": 1.5e9, "reason": "Priority"},
}
_ERROR = {
    "type": "SubmitError",
    "message": "refused",
    "command": ["sbatch", "x"],
    "exit_status": 1,
    "output": "no",
}


_OWN = {
    name: Option.model_validate({"name": name, "choices": "mine"})
    for name in ("account", "queue_name")
}


@st.composite
def replies(draw: DrawFn) -> list[str]:
    """Make a request's name, and a reply to it."""
    name = draw(st.sampled_from(sorted(_RESULTS)))
    result = draw(json_values()) if draw(st.booleans()) else _RESULTS[name]
    kind = draw(st.sampled_from(("result", "result", "error")))
    error = {**_ERROR, **draw(st.dictionaries(st.sampled_from(sorted(_ERROR)), json_values()))}
    reply = {"version": 1, kind: result if kind == "result" else error}
    return [name, draw(in_bytes(st.just(reply)))]


class _Host(SubmitHost):
    def __init__(self, stdout: bytes) -> None:
        super().__init__()
        self.stdout = stdout

    async def run(self, *_: Any, **__: Any) -> Finished:
        return Finished(0, self.stdout, b"")


def run_reply(value: list[str]) -> None:
    """Take a reply to each request of the Hub's; what it is made of can be shown and saved."""
    name, reply = value
    scheduler, host = get_scheduler("slurm"), _Host(reply.encode("latin-1"))
    client = AgentClient(
        ACCOUNT,
        scheduler,
        get_run_as("sudo", agent_python="/usr/bin/python3", allow_shared_account=False),
        host,
    )
    calls: Mapping[str, Any] = {
        "submit": lambda: client.submit(JobSpec(mark=MARK), "/bin/sh"),
        "status": lambda: client.status(["12"]),
        "find": lambda: client.find(MARK),
        "find_jobs": lambda: client.find_jobs(MARK),
        "log_end": lambda: client.log_end(MARK, 20),
        "stage": lambda: client.stage(MARK, {}, python="python3", options=[]),
        "missing": lambda: client.missing(["/bin/x"]),
        "check": client.check,
        "usable": client.usable,
        "usage": lambda: client.usage(EndedJob("12", "alice", MARK)),
        "estimate": lambda: client.estimate(JobSpec(mark=MARK), "/bin/sh"),
    }
    result = _finish(calls[name]())
    if name == "status":
        for info in result.values():
            json.dumps(info.to_dict(), allow_nan=False).encode()
            assert len(info.message) <= 1000
            info.owner.encode()
    elif name in ("submit", "find"):
        assert result == "" or scheduler.job_id.fullmatch(result)
    elif name == "usable":
        shown = mine_to_dict({}, Mine(result))
        json.dumps(shown, allow_nan=False).encode()
        find_errors(_OWN, _OWN, {"account": "ml", "queue_name": "gpu"}, Mine(result))
    elif name in ("usage", "estimate"):
        json.dumps(plain.encode(result), allow_nan=False).encode()
    elif name == "log_end":
        clean_output(result[0]).encode()


def _finish(coroutine: Any) -> Any:
    """Run a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


_ANSWERS: Mapping[str, Any] = {
    "query_tracked": {"jobs": {"12": {"owner": "alice", "state": "RUNNING"}}, "unread": ["3"]},
    "query": {"jobs": {"12": {"owner": "alice", "state": "QUEUED", "start_time": 1.0}}},
    "survey": {"jobs": 3, "owners": ["alice"]},
    "inventory": {
        "queues": [{"name": "q", "max_duration": 60.0}],
        "nodes": [{"name": "n", "cores": 4, "queues": ["q"]}],
    },
    "find_address": "node1",
    "identify": {"answer": "slurm 22.05", "confirmed": True},
}


@st.composite
def answers(draw: DrawFn) -> list[str]:
    """Make an answer of another process to a question."""
    name = draw(st.sampled_from(sorted(_ANSWERS)))
    notices = [{"command": "squeue", "lines": ["Welcome"]}]
    found = {"result": _ANSWERS[name], "notices": notices, "size": 3}
    found.update(draw(st.dictionaries(st.sampled_from(sorted(found)), json_values(), max_size=1)))
    return [name, draw(in_bytes(st.just(found)))]


def run_answer(value: list[str]) -> None:
    """Take an answer to a question: its types are right, and it can be shown."""
    name, raw = value
    try:
        data = json.loads(raw.encode("latin-1"))
    except (ValueError, RecursionError):
        return
    found = decode(name, data)
    assert plain.decode(RESULTS[name], json.loads(json.dumps(plain.encode(found.result)))) is not (
        NotImplemented
    )


@st.composite
def questions(draw: DrawFn) -> str:
    """Make a question."""
    question: dict[str, Any] = Question(
        "query", ("1", "2"), "slurm", {"slurm_cluster": "a"}
    ).to_dict()
    question.update(
        draw(st.dictionaries(st.sampled_from(sorted(question)), json_values(), max_size=2))
    )
    return draw(in_bytes(st.just(question)))


def run_question(value: str) -> None:
    """Read a question as the broker's child does, and make its scheduler."""
    try:
        data = json.loads(value.encode("latin-1"))
    except (ValueError, RecursionError):
        return
    question = Question.from_dict(data)
    question.make_scheduler()


# -- frames --------------------------------------------------------------------------------------

_HEADERS = (
    {"id": 1, "kind": "agent", "account": "alice", "deadline": 60.0},
    {"id": 2, "kind": "question", "account": "", "deadline": 60.0},
    {"id": "x", "kind": "account", "account": "alice", "deadline": 60.0},
    {
        "protocol": 1,
        "version": __version__,
        "clock": 5.0,
        "time": 5.0,
        "host": "login1",
        "account": "hub",
        "uid": 0,
    },
    {"id": 1, "status": 0, "stdout": 3, "clock": 5.0},
    {"id": 1, "status": -9, "stdout": 0, "late": True, "clock": 6.0},
    {"id": 1, "refused": "busy", "message": "Try again later.", "clock": 7.0},
)


@st.composite
def headers(draw: DrawFn, known: Any = _HEADERS) -> dict[str, Any]:
    """Make a frame's header, right or odd."""
    header: dict[str, Any] = dict(draw(st.sampled_from(known)))
    return {**header, **draw(st.dictionaries(st.sampled_from(sorted(header)), json_values()))}


@st.composite
def streams(draw: DrawFn, first: bool = False) -> str:
    """Make some frames in a row, as latin-1; a byte may be wrong."""
    raw = b""
    for number in range(draw(st.integers(1, 3))):
        greets = first and number == 0 and draw(st.integers(0, 4))
        header = draw(st.just(_HEADERS[3]) if greets else headers())
        body = draw(st.binary(max_size=6))
        text = json.dumps(header).encode()
        if draw(st.integers(0, 3)) == 3:
            text = draw(changed_bytes(st.just(text.decode()))).encode("latin-1")
        if len(text) <= frames.HEADER_LIMIT:
            length = draw(st.sampled_from((len(body), len(body), 0, 5, 2**24, 2**32 - 1)))
            raw += frames._PREFIX.pack(frames.MAGIC, len(text), length) + text + body
    if draw(st.booleans()):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=4)) + raw[at + draw(st.integers(0, 4)) :]
    return raw.decode("latin-1")


def run_incoming(value: str) -> None:
    """Read requests as the broker does: a body goes unread into a file."""
    read, write = os.pipe()
    taken: list[Request] = []

    def accept(header: bytes, length: int) -> Request | None:
        try:
            request = parse_header(header, length, 0.0)
            request.body = make_file("request")
            return request
        except InvalidRequestError as error:
            assert len(str(error)) < 1000
            json.dumps({"id": error.id, "message": clean_output(str(error))}).encode()
            return None

    try:
        with os.fdopen(write, "wb") as stream:
            stream.write(value.encode("latin-1")[:60_000])
        incoming = Incoming(read, _BUFFER, accept, taken.append)
        try:
            while incoming.read():
                pass
        finally:
            incoming.abandon()
        assert all(request.kind in ("agent", "question", "account") for request in taken)
    finally:
        os.close(read)
        for request in taken:
            request.close()


_BUFFER = Buffer()


class _Broker(BrokerProcess):
    """A broker whose output is a pipe of the test's."""

    def __init__(self, descriptor: int) -> None:
        self.started, self.greeting = time.monotonic(), None
        self.preamble, self.errors, self._incoming = bytearray(), bytearray(), bytearray()
        self._clock_set, self._largest_offset = self.started, float("-inf")
        self._out = SimpleNamespace(fileno=lambda: descriptor)

    @property
    def stdout(self) -> Any:
        return self._out


def run_outgoing(value: str) -> None:
    """Read a broker's frames as the Hub does, and take the answers."""
    read, write = os.pipe()
    connection = Connection(["x"], {})
    given: list[tuple[Finished | None, Exception | None]] = []
    try:
        with os.fdopen(write, "wb") as stream:
            stream.write(value.encode("latin-1")[:60_000])
        broker = _Broker(read)
        connection._process = broker
        connection._open = {
            number: SimpleNamespace(  # type: ignore[misc] # what the connection uses of a request
                sent=True,
                deadline=time.monotonic(),
                answer=SimpleNamespace(
                    deliver=lambda done, error=None: given.append((done, error))
                ),
                fail=lambda message, printed="", open_until=0.0: given.append(
                    (None, UniSpawnerError(message, output=printed))
                ),
            )
            for number in (1, 2)
        }
        while True:
            for frame in broker.read():
                connection._take_answer(frame)
    finally:
        connection._process = None
        os.close(read)
        for end in (connection._wake_end, connection._waker):
            os.close(end)
        connection._selector.close()
        for done, error in given:
            assert (done is None) != (error is None)
            assert error is None or len(str(error)) < 20_000


# -- reports of jobs -----------------------------------------------------------------------------

REPORTS = (
    {"event": "ready", "host": "node1", "port": 8888},
    {"host": "192.0.2.1", "port": 65535},
    {"event": "begun", "host": "node1.cluster.example"},
    {"event": "ended", "host": "node1", "port": 8888, "status": 1},
)


class _Reports(ReportHandler):
    """The handler without a Hub around it."""

    def __init__(self, body: bytes, taken: list[Any]) -> None:
        self.request: Any = SimpleNamespace(
            body=body,
            headers={},
            connection=SimpleNamespace(context=SimpleNamespace(address=("192.0.2.1", 1))),
        )
        self.taken = taken

    def _spawner(self) -> Any:
        taken = self.taken

        async def take(what: Any) -> None:
            taken.append(what)

        async def begin(host: str, peer: str, mark: str) -> dict[str, str]:
            assert isinstance(host, str)
            taken.append(None)
            return {}

        return SimpleNamespace(take_report=take, take_end=take, take_begin=begin)

    def finish(self, chunk: Any = None) -> Any:
        return None


def run_report(value: str) -> None:
    """Take a report: 400, or values of the right kinds."""
    taken: list[Any] = []
    raw = value.encode("latin-1")
    try:
        _finish(_Reports(raw, taken).post())
    except web.HTTPError as error:
        assert error.status_code in (400, 413)
        assert not taken
        return
    (what,) = taken
    if what is not None:
        assert isinstance(what.host, str)
        assert what.port is None or 1024 <= what.port <= 65535


# -- the launcher's side -------------------------------------------------------------------------


@st.composite
def hub_answers(draw: DrawFn) -> list[Any]:
    """Make an answer to a report: body, reason, Retry-After."""
    body = draw(in_bytes(st.just({"status": 503, "message": "The job has no host yet."})))
    after = draw(st.sampled_from(("", "1", "2.5", "Wed, 21 Oct", "\u00b2", *TOKENS)))
    return [body, draw(st.sampled_from(("OK", "", "\x1b"))), after]


def run_hub_answer(value: list[Any]) -> None:
    """Read the Hub's answer to a report as the launcher on a node does."""
    body, reason, after = value

    def post(_: bytes) -> bytes:
        head = f"HTTP/1.1 503 {reason}\r\nRetry-After: {after}\r\n\r\n"
        return (head + str(body)).encode("latin-1", "replace")

    report = launcher.Report.__new__(launcher.Report)
    hub: Any = SimpleNamespace(post=post)
    report.hub = hub
    report.facts, report.event = {"host": "node1"}, "ready"
    status, words, pause = report.attempt(1.0)
    assert status in (0, 503)
    assert 0 <= pause < 3600
    assert "\n" not in words


# -- text for people -----------------------------------------------------------------------------


def run_text(value: list[str]) -> None:
    """Clean text for the log, a page or a terminal: nothing in it moves a cursor or adds a line."""
    for text in (clean_output(value[0]), for_log(value[0]), quote_lines(value)):
        assert all(one.isprintable() or one in "\n\t\u00a0" or one > "\u00a0" for one in text)
        assert "\x1b" not in text
        text.encode()
    assert len(first_of_each_kind(value, 3)) <= 3
    log = logging.getLogger("JupyterHub.unispawner")
    log.disabled = True
    try:
        Notices().warn(Notice("squeue", tuple(value)), "x")
    finally:
        log.disabled = False


_TEXTS = changed(st.sampled_from(("Welcome to the cluster\nline 2", "\x1b[31mred", "a\r\nb", "")))

# -- what ssh and the far side's shell print -----------------------------------------------------

_SSH = [read_saved_reply(path) for path in sorted((OUTPUTS / "ssh").iterdir())]


@st.composite
def failures(draw: DrawFn) -> list[Any]:
    """Make what ssh has printed, and what came before the greeting."""
    saved = draw(st.sampled_from(_SSH))
    errors = draw(changed(st.just(saved.stderr)))[-KEPT:]
    return [saved.exit_status, errors, draw(changed_bytes(st.just(saved.stdout)))]


def run_failure(value: list[Any]) -> None:
    """Explain why ssh has failed."""
    status, errors, began = value
    words = explain_failure(Destination("hub", "login1"), status, errors, began.encode("latin-1"))
    assert len(words) < 5000


TARGETS = (
    Target("ssh-output", failures(), run_failure),
    Target("agent-request", in_bytes(requests()), run_request, (UniSpawnerError,)),
    Target("agent-service", in_bytes(requests()), run_service),
    Target("agent-reply", replies(), run_reply, (UniSpawnerError,)),
    Target("answer", answers(), run_answer, (UniSpawnerError,)),
    Target("question", questions(), run_question, (UniSpawnerError,)),
    Target("broker-in", streams(), run_incoming, (frames.FrameError,)),
    Target("broker-out", streams(first=True), run_outgoing, (BrokenConnection,)),
    Target("report", in_bytes(st.sampled_from(REPORTS) | json_values()), run_report),
    Target("hub-answer", hub_answers(), run_hub_answer),
    Target("log-text", st.lists(_TEXTS, min_size=1, max_size=3), run_text),
)
