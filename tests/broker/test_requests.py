"""What the broker answers and refuses: a real broker of an ordinary account."""

from __future__ import annotations

import json
import math
import os
import pwd
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.agent import Agent, wait_for
from support.broker import BrokerProcess, running_broker

from unispawner import __version__, frames
from unispawner.schedulers.questions import Tracked, decode

NO_REQUEST = pytest.mark.threat(
    who="Hub account",
    tries="It writes to the broker what is not a request.",
    stopped_by="The broker refuses it, finishes what runs, and ends.",
)

KILLED_IN_TIME = 30.0
"""How long (seconds) a killed process may be seen at most; it is far from what a hung one takes."""


def request(agent: Agent, action: str = "check", **arguments: Any) -> bytes:
    return json.dumps(agent.request(action, **arguments)).encode()


def ask_squeue(agent: Agent, script: str) -> bytes:
    """Return a request whose child runs a script under the name squeue."""
    folder = agent.fake_command("squeue", script)
    return request(agent, "status", scheduler="slurm", scheduler_path=[folder], job_ids=["1"])


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    except OSError:
        return False


def test_the_greeting(broker: BrokerProcess, agent: Agent) -> None:
    """The first frame says which protocol, which release, which host and which account this is."""
    greeting = broker.greeting
    assert (frames.PROTOCOL, __version__) == (greeting["protocol"], greeting["version"])
    assert (os.uname().nodename, agent.account.pw_name) == (greeting["host"], greeting["account"])
    assert isinstance(greeting["clock"], float)


def test_a_request_to_the_agent(broker: BrokerProcess, agent: Agent) -> None:
    """The reply to an agent's request is the one that the agent itself writes."""
    name = agent.account.pw_name
    answer = broker.ask("agent", name, request(agent))
    assert (0, "") == (answer.header["status"], answer.stderr)
    assert agent.call("check").result == answer.result
    assert broker.greeting["clock"] < answer.header["clock"] <= time.monotonic()


def test_a_question(broker: BrokerProcess) -> None:
    """A question gets the answer of its dialogue."""
    question = {"name": "query_tracked", "arguments": ["1.2"], "scheduler": "local", "options": {}}
    answer = broker.ask("question", body=json.dumps(question).encode())
    assert Tracked() == decode("query_tracked", answer.result).result


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 100_000, b'{"name": "no_such"}', b"\xff"])
def test_a_question_that_is_none(broker: BrokerProcess, body: bytes) -> None:
    """What is not a question is an error of its reply, and the broker goes on."""
    assert broker.ask("question", body=body).error
    assert broker.ask("account", "root").error


def test_accounts(broker: BrokerProcess, agent: Agent) -> None:
    """The entry of an account has its name, uid and home; an unknown account is null."""
    entry = agent.account
    expected = {"name": entry.pw_name, "uid": entry.pw_uid, "home": entry.pw_dir, "uid_name": ""}
    assert expected == {**broker.ask("account", entry.pw_name).result, "uid_name": ""}
    for name in ("no-such-account", "#0", "-x", "%wheel", " ", "../root"):
        assert broker.ask("account", name).result is None, name


def test_names_of_nodes(broker: BrokerProcess) -> None:
    """A name is answered with its addresses, and one that nobody has with none. What can't be a
    name is an error: it may have been made up to reach something else."""
    found = broker.ask("name", body=b"localhost").result
    assert {"127.0.0.1"} <= set(found) <= {"127.0.0.1", "::1"}
    assert [] == broker.ask("name", body=b"node1.invalid").result
    for name in (b"", b"-x", b"a b", b"a\0b", b"::1%lo", "ünï".encode(), b"a" * 300, b"a" * 10**6):
        assert "is not the name of a host" in broker.ask("name", body=name).error, name


@pytest.mark.threat(
    who="Hub account",
    tries="It asks the broker to become root or a system account.",
    stopped_by="Uid 0, uids below the lowest and nobody are refused.",
)
def test_refused_accounts(broker: BrokerProcess) -> None:
    """Uid 0, uids below the lowest and nobody are refused, also for the agent."""
    low = next(entry for entry in pwd.getpwall() if 0 < entry.pw_uid < 100)
    for name in ("root", low.pw_name):
        assert "refuses uid 0" in broker.ask("account", name).error
        assert "refuses uid 0" in broker.ask("agent", name, b"{}").error
    assert "nobody" in broker.ask("agent", "nobody", b"{}").error


def test_another_account(broker: BrokerProcess, agent: Agent) -> None:
    """A broker that is not root serves its own account alone, and says what to do."""
    others = [
        entry
        for entry in pwd.getpwall()
        if 1000 <= entry.pw_uid < 60_000 and entry.pw_uid != agent.account.pw_uid
    ]
    if not others:
        pytest.skip("needs another ordinary account")
    error = broker.ask("agent", others[0].pw_name, request(agent)).error
    assert "doctor --sudoers" in error


def test_an_account_that_does_not_exist(broker: BrokerProcess) -> None:
    """The error names the account and the submit host."""
    error = broker.ask("agent", "#0", b"{}").error
    assert "'#0'" in error and os.uname().nodename in error


# -- refusals -----------------------------------------------------------------------------------


@NO_REQUEST
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": "no_such"}, "kind: 'no_such' must be one of agent, question, account, name"),
        ({"kind": ["agent"]}, "kind: "),
        ({"account": "a\nb"}, r"account: 'a\nb' can't be an account"),
        ({"account": "a\0b"}, "account: "),
        ({"account": ""}, "account: "),
        ({"account": "a" * 300}, "account: "),
        ({"account": None}, "account: "),
        ({"account": 0}, "account: "),
        ({"deadline": "soon"}, "deadline: 'soon' must be a time"),
        ({"deadline": None}, "deadline: "),
        ({"deadline": math.nan}, "deadline: "),
        ({"deadline": math.inf}, "deadline: "),
        ({"deadline": 1e15}, "is it a time on the broker's clock?"),
    ],
)
def test_an_invalid_request(broker: BrokerProcess, changed: dict[str, Any], message: str) -> None:
    """An invalid header is refused with its id and a reason; its body is passed over."""
    refusal = broker.ask("agent", "root", b"x" * 100_000, changed=changed).header
    assert "invalid" == refusal["refused"]
    assert message in refusal["message"]
    assert broker.ask("account", "root").error


@pytest.mark.parametrize(
    "header", [b"", b"{", b"[]", b"null", b"[" * 4000, b'{"id": {}}', b"\xff", b'{"a":' * 500]
)
def test_a_header_that_is_none(broker: BrokerProcess, header: bytes) -> None:
    """A frame whose header is not that of a request is refused, and the next one is served."""
    prefix = frames.MAGIC + len(header).to_bytes(2, "big") + (5).to_bytes(4, "big")
    broker.write(prefix + header + b"12345")
    refusal = broker.answer(None).header
    assert ("invalid", None) == (refusal["refused"], refusal["id"])
    assert broker.ask("account", "root").error


@NO_REQUEST
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "is not the beginning of a frame"),
        (frames.MAGIC + (10).to_bytes(2, "big") + (2**30).to_bytes(4, "big"), "too long"),
        (frames.MAGIC + (2**15).to_bytes(2, "big") + bytes(4), "too long"),
    ],
)
def test_garbage(broker: BrokerProcess, agent: Agent, data: bytes, message: str) -> None:
    """Behind something that is not a frame nothing can be read: the broker says so, finishes what
    runs, and ends."""
    running = broker.send("agent", agent.account.pw_name, request(agent))
    broker.write(data)
    refusal = broker.answer(None).header
    assert "invalid" == refusal["refused"]
    assert message in refusal["message"]
    answer = broker.answer(running)
    assert answer.header.get("refused") == "ending" or answer.result
    assert broker.read() is None
    status, log = broker.end()
    assert 0 == status
    assert "what came is not a request" in log


@pytest.mark.parametrize("missing", [1, 50, 5000])
def test_a_truncated_frame(broker: BrokerProcess, agent: Agent, missing: int) -> None:
    """A frame that ends early is never served."""
    header = {"id": 7, "kind": "agent", "account": agent.account.pw_name, "deadline": 1e12}
    header["deadline"] = time.monotonic() + 60
    body = request(agent, state_dir="~/" + "x" * 5000)
    broker.write((frames.pack(header, len(body)) + body)[:-missing])
    broker.close_input()
    refusal = broker.answer(None).header
    assert "invalid" == refusal["refused"]
    assert "ended" in refusal["message"]
    assert broker.read() is None


def test_a_late_request(broker: BrokerProcess) -> None:
    """A request whose deadline has passed is not begun."""
    assert "late" == broker.ask("account", "root", seconds=-1).header["refused"]


def test_a_request_that_becomes_late(broker: BrokerProcess, agent: Agent) -> None:
    """A request that waits for others of its account until its deadline is not begun."""
    name, body = agent.account.pw_name, ask_squeue(agent, "sleep 60")
    hung = [broker.send("agent", name, body, seconds=2) for _ in range(2)]
    assert "late" == broker.ask("agent", name, body, seconds=1).header["refused"]
    assert all(broker.answer(one).header for one in hung)


@pytest.mark.threat(
    who="user",
    tries="They send many requests, or let them hang, to hold up everybody else.",
    stopped_by="Accounts take turns, few processes of one account run at a time, and each "
    "has a deadline.",
)
def test_too_many_requests(broker: BrokerProcess, agent: Agent) -> None:
    """A bounded number of requests of one account waits; the others are refused as busy, and other
    kinds of requests are served."""
    name, body = agent.account.pw_name, ask_squeue(agent, "sleep 60")
    hung = [broker.send("agent", name, body, seconds=8) for _ in range(2)]
    sent = [broker.send("agent", name, body, seconds=2) for _ in range(48)]
    assert broker.ask("account", "root").error
    refusals = [broker.answer(one).header.get("refused") for one in sent]
    assert (16, 32) == (refusals.count("busy"), refusals.count("late"))
    assert [None, None] == [broker.answer(one).header.get("refused") for one in hung]


# -- the end of a child -------------------------------------------------------------------------


@pytest.mark.threat(
    who="user",
    tries="Their process in the broker ignores its time-out.",
    stopped_by="At the deadline the broker kills every process of its session.",
)
def test_a_hung_child_dies_with_its_session(broker: BrokerProcess, agent: Agent) -> None:
    """A child that ignores its time-out is killed, with the processes of its session in other
    process groups; the answer says so."""
    pids = agent.own(agent.directory) / "pids"
    script = f"trap '' ALRM TERM HUP; set -m; sleep 600 & echo $! $PPID >>{pids}; kill -STOP $PPID"
    answer = broker.ask(
        "agent", agent.account.pw_name, ask_squeue(agent, f"{script}; sleep 600"), seconds=4
    )
    assert (-signal.SIGKILL, 0, True) == (
        answer.header["status"],
        answer.header["stdout"],
        answer.header["late"],
    )
    assert "did not finish in time" in answer.stderr
    killed = [int(word) for word in pids.read_text().split()]
    assert 2 == len(killed)
    wait_for(lambda: not any(map(is_alive, killed)))


@pytest.mark.threat(
    who="user",
    tries="They kill or stop their process in the broker.",
    stopped_by="The answer says so, and the broker goes on.",
)
def test_a_child_that_is_killed(broker: BrokerProcess, agent: Agent) -> None:
    """The answer says by which signal a child was ended before its time."""
    body = ask_squeue(agent, "kill -KILL $PPID")
    answer = broker.ask("agent", agent.account.pw_name, body)
    assert (-signal.SIGKILL, 0) == (answer.header["status"], answer.header["stdout"])
    assert "late" not in answer.header
    assert "ended by signal 9 before its time was up" in answer.stderr


def test_the_agents_own_time_out(broker: BrokerProcess, agent: Agent) -> None:
    """A child that can do it ends itself at the deadline with a reply, whatever the request
    allows."""
    body = ask_squeue(agent, "sleep 600")
    answer = broker.ask("agent", agent.account.pw_name, body, seconds=1)
    assert 0 == answer.header["status"]
    assert "did not finish within" in answer.error


@pytest.mark.parametrize("end", ["sleep 600", "kill -KILL $PPID; sleep 600"])
def test_a_child_that_gives_up_leaves_no_command_at_work(
    broker: BrokerProcess, agent: Agent, end: str
) -> None:
    """When the answer to a request without a result has come, nothing of it goes on: a submission
    that others take for lost must not happen later."""
    pids = agent.own(agent.directory) / "pids"
    body = ask_squeue(agent, f"sleep 600 & echo $! $$ >{pids}; {end}")
    assert broker.ask("agent", agent.account.pw_name, body, seconds=2).header
    left = [int(word) for word in pids.read_text().split()]
    assert [] == list(filter(is_alive, left))


def test_whoever_does_not_read(broker: BrokerProcess, agent: Agent) -> None:
    """Children are killed in time also if nobody reads the answers, and no answer is lost."""
    pid = agent.directory / "pid"
    body = ask_squeue(agent, f"echo $$ >{pid}; kill -STOP $PPID; sleep 600")
    hung = broker.send("agent", agent.account.pw_name, body, seconds=4)
    refused = [broker.send("account", "no" * 100, seconds=-1) for _ in range(400)]  # a pipe is full
    child = int(wait_for(lambda: pid.exists() and pid.read_text().strip()))
    wait_for(lambda: not is_alive(child))
    assert {"late"} == {broker.answer(one).header["refused"] for one in refused}
    assert -signal.SIGKILL == broker.answer(hung).header["status"]


# -- the end of the broker ----------------------------------------------------------------------


def test_the_end_of_file(broker: BrokerProcess, agent: Agent) -> None:
    """At the end of its input the broker finishes what runs, answers it, and ends."""
    body = ask_squeue(agent, "sleep 1; exit 1")
    running = broker.send("agent", agent.account.pw_name, body)
    wait_for(broker.children)
    broker.close_input()
    assert broker.answer(running).error
    assert broker.read() is None
    status, log = broker.end()
    assert 0 == status
    assert "standard input has ended; 1 processes" in log


def test_a_request_while_it_ends(broker: BrokerProcess, agent: Agent) -> None:
    """While the broker ends, what runs is finished, and what waits or comes is refused."""
    go = agent.directory / "go"
    body = ask_squeue(agent, f"until [ -e {go} ]; do sleep 0.1; done; exit 1")
    name = agent.account.pw_name
    running = [broker.send("agent", name, body) for _ in range(2)]
    waiting = broker.send("agent", name, body)
    wait_for(lambda: 2 == len(broker.children()))
    broker.process.terminate()
    assert "ending" == broker.answer(waiting).header["refused"]
    assert "ending" == broker.ask("agent", name, body).header["refused"]
    go.touch()
    assert all(broker.answer(one).error for one in running)
    assert broker.read() is None


def test_a_request_that_comes_halfway(broker: BrokerProcess, agent: Agent) -> None:
    """A request whose body is not complete when the broker begins to end is not begun."""
    name = agent.account.pw_name
    go = agent.directory / "go"
    wait_for_it = ask_squeue(agent, f"until [ -e {go} ]; do sleep 0.1; done; exit 1")
    running = broker.send("agent", name, wait_for_it)
    wait_for(broker.children)
    body = request(agent)
    header = {"id": 99, "kind": "agent", "account": name, "deadline": time.monotonic() + 60}
    broker.write(frames.pack(header, len(body)) + body[:10])
    time.sleep(0.2)  # so that the header is read before the signal comes
    broker.process.terminate()
    time.sleep(0.2)
    broker.write(body[10:])
    assert "ending" == broker.answer(99).header["refused"]
    go.touch()
    assert broker.answer(running).error


def test_a_reader_that_has_gone(broker: BrokerProcess) -> None:
    """The broker ends if nobody reads its answers any more."""
    assert broker.process.stdout
    broker.process.stdout.close()
    broker.process.wait(KILLED_IN_TIME)


def test_ctrl_c_on_the_hubs_terminal(broker: BrokerProcess) -> None:
    """Ctrl-C, which reaches the broker too, does not end it: the Hub needs it until it ends."""
    broker.process.send_signal(signal.SIGINT)
    assert broker.ask("account", "root").error


@pytest.mark.parametrize("through_socket", [False, True], ids=["pipe", "socket"])
def test_a_large_body(agent: Agent, through_socket: bool) -> None:
    """A body of megabytes arrives through a pipe and through a socket."""
    lowest = str(min(1000, agent.account.pw_uid))
    body = request(agent) + b" " * (8 * 1024**2 - 1000)
    options = agent.as_user()
    with running_broker("--min-uid", lowest, through_socket=through_socket, **options) as broker:
        assert broker.ask("agent", agent.account.pw_name, body).result
        assert "too large" in broker.ask("agent", agent.account.pw_name, b" " * (9 << 20)).error
        broker.close_input()
        assert broker.read() is None
