"""What the doctor makes of a probe's answers: each failure has its cause and its cure."""

from __future__ import annotations

from typing import Any

import pytest

from unispawner.admin.doctor.probe.addresses import HubAddress
from unispawner.admin.doctor.probe.answers import Answers, Finding
from unispawner.admin.doctor.probe.verdicts import Journey, judge
from unispawner.admin.doctor.results import Outcome, Result
from unispawner.job import JobInfo, JobState

HUB = HubAddress("10.0.0.1", 8081, "http://hub.example:8081/hub/api")
GOOD = {
    "shell": Finding("shell", True, "module"),
    "begun": Finding("begun", True, "node1", seconds=0.3, time=1000.0),
    "home": Finding("home", True, "/home/alice"),
    "program": Finding("program", True, "/opt/bin/jupyterhub-singleuser"),
    "version": Finding("version", True, "6.1.1", seconds=2.0),
    "same": Finding("same", True),
    "doctor-name": Finding("doctor-name", True, "10.0.0.1"),
    "doctor-connect": Finding("doctor-connect", True, "port 8081"),
    "doctor-http": Finding("doctor-http", True, "6.1.1"),
    "port": Finding("port", True, "node1.example", port=40000),
    "end": Finding("end", True),
}
RUNNING = JobInfo("alice", JobState.RUNNING, exec_host="node1")


def journey(without: str = "", *found: Finding, **more: Any) -> Journey:
    """Return a probe that went well but for what is given."""
    known = {name: one for name, one in GOOD.items() if name not in without.split()}
    answers = Answers(known | {one.name: one for one in found})
    answers.sent, answers.arrived = 1003.0, 1003.2
    values: dict[str, Any] = {
        "submit_seconds": 0.2,
        "total_seconds": 4.0,
        "info": RUNNING,
        "log_seen": True,
        "log_path": "~/.unispawner/logs/x.log",
        "port_seconds": 0.01,
        "answers": answers,
    }
    for name, value in more.items():
        target = answers if hasattr(answers, name) else None
        if target is not None:
            setattr(target, name, value)
        else:
            values[name] = value
    return Journey(HUB, "6.1.1", ["jupyterhub-singleuser"], 60.0, **values)


def bad(one: Journey) -> dict[str, Result]:
    return {result.id: result for result in judge(one) if result.outcome is not Outcome.OK}


def test_a_healthy_site() -> None:
    """Everything is right, and the time is given by phase."""
    results = {result.id: result for result in judge(journey())}
    assert {Outcome.OK} == {one.outcome for one in results.values()}
    assert (
        "4.0 s from submission to report: submit 0.2 s, queue 1.5 s, boot (shell and prologue) "
        "0.3 s, report (the probe's own questions) 2.0 s"
    ) == results["probe.time"].text


NO_NAME = Finding("doctor-name", False, "hub.example: Name or service not known")
QUEUED = JobInfo("alice", JobState.QUEUED, "Resources")
FAILED = JobInfo("alice", JobState.FAILED, exit_code=1)


@pytest.mark.parametrize(
    ("one", "name", "cause", "cure"),
    [
        (journey("doctor-connect doctor-http", NO_NAME), "hub", "DNS: ", "hub_connect_ip"),
        (
            journey("doctor-http", Finding("doctor-connect", False, "timed out", "timeout")),
            *("hub", "a firewall drops it", "Open TCP port 8081"),
        ),
        (
            journey("doctor-http", Finding("doctor-connect", False, "refused", "refused")),
            *("hub", "nothing listens there", "c.JupyterHub.hub_ip"),
        ),
        (
            journey("doctor-http", Finding("doctor-connect", False, "no", "unreachable")),
            *("hub", "no route", "Set c.JupyterHub.hub_connect_ip"),
        ),
        (
            journey("doctor-http", Finding("doctor-tls", False, "certificate verify failed")),
            *("hub", "TLS: ", "trusted_alt_names"),
        ),
        (
            journey("", Finding("doctor-http", False)),
            *("hub", "is no JupyterHub", "hub_connect_url"),
        ),
        (
            journey(port_error="timed out"),
            "port",
            "does not reach node1.example port",
            "port_range",
        ),
        (journey(host_error="host: wrong"), "port", "host: wrong", "report_host"),
        (journey("", Finding("port", False, "none is free")), "port", "none is free", "port_range"),
        (
            journey("", Finding("program", False, "/bin")),
            "singleuser",
            "PATH there is /bin",
            "Install",
        ),
        (
            journey("", Finding("version", False, "No module named x", "broken")),
            *("singleuser", "fails on the node: No module", "Run it in a job"),
        ),
        (
            journey("", Finding("version", True, "5.2.1")),
            "singleuser",
            "the Hub has 6",
            "jupyterhub 6.1",
        ),
        (journey(sent=1203.0), "clock", "200 s ahead", "NTP"),
        (journey(sent=703.0), "clock", "300 s behind", "NTP"),
        (journey(log_seen=False), "state_dir", "is not on this side", "log_dir"),
        (
            journey("", Finding("home", False, "/home/alice", "missing")),
            *("home", "has no folder /home/alice", "Mount the homes"),
        ),
        (
            journey("", Finding("home", False, "/home/alice: Disk quota exceeded", "unwritable")),
            *("home", "can't write", "quota"),
        ),
        (journey(home_seen=False), "home", "different folders", "Mount the same homes"),
        (
            journey("", Finding("shell", True, "none"), prologue="module load python"),
            *("module", "does not have", "job_shell"),
        ),
        (journey("end", timed_out=True), "end", "did not finish within 60 s", "--timeout"),
        (journey("shell begun", info=QUEUED), "queue", "still waits 60 s", "--timeout"),
        (journey("shell begun", info=None), "queue", "has not said anything", "Hub's account"),
        (
            journey("shell begun", info=FAILED, log_seen=False),
            *("state_dir", "ended with status 1", "share"),
        ),
        (
            journey("begun", info=FAILED, between=["no such module"]),
            *("script", "no such module", "prologue"),
        ),
        (
            journey("shell begun", info=FAILED, before=["environment: No such file"]),
            *("script", "environment: No such file", "state_dir"),
        ),
    ],
)
def test_what_is_broken(one: Journey, name: str, cause: str, cure: str) -> None:
    """Each fault is one result, which says why and what to do."""
    found = bad(one)
    result = found[f"probe.{name}"]
    assert Outcome.WRONG is result.outcome
    assert cause in result.text
    assert cure in result.cure


@pytest.mark.parametrize(
    ("one", "name", "cause"),
    [
        (journey(before=["Welcome", "to x"]), "shell", "print: Welcome | to x"),
        (journey("", Finding("begun", True, "node1", seconds=30.0)), "shell", "took 30.0 s"),
        (journey(sent=1010.0), "clock", "7 s ahead"),
        (journey("", Finding("version", True, "6.0.3")), "singleuser", "but the Hub has 6.1.1"),
        (journey("", Finding("version", True, "6.1.1", seconds=50.0)), "singleuser", "took 50.0 s"),
    ],
)
def test_what_should_be_looked_at(one: Journey, name: str, cause: str) -> None:
    """What works, and may be a fault, is to be looked at."""
    (result,) = bad(one).values()
    assert (f"probe.{name}", Outcome.LOOK) == (result.id, result.outcome)
    assert (True, True) == (cause in result.text, bool(result.cure))


def test_while_the_hub_runs() -> None:
    """The running Hub is what the node must reach; the doctor's own port is a second matter."""
    found = [
        Finding("name", True, "10.0.0.1"),
        Finding("connect", True),
        Finding("http", True, "6"),
    ]
    late = Finding("doctor-connect", False, "timed out", "timeout")
    one = journey("same doctor-http", *found, late, hub_runs=True, arrived=0.0)
    assert {"probe.report": Outcome.LOOK} == {k: v.outcome for k, v in bad(one).items()}
    (hub,) = [result for result in judge(one) if result.id == "probe.hub"]
    assert hub.text.endswith("JupyterHub 6 answers there")
