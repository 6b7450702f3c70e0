"""The agent's protocol: what it accepts, whom it serves, and what it keeps clean."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.agent import Agent

from unispawner.agent import protocol
from unispawner.schedulers.base import QUERY_ENVIRONMENT

NO_JSON = [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"{}", b'{"version": null}']


def test_a_request_gets_its_reply(agent: Agent) -> None:
    """A request gets a reply, which is all of standard output, and the exit status is 0."""
    done = agent.call("check")
    assert 0 == done.status, done.stderr
    assert agent.account.pw_name == done.result["account"]
    assert str(agent.state_dir) == done.result["state_dir"]
    assert set(agent.groups) == set(done.result["groups"])
    assert "" == done.stderr


@pytest.mark.parametrize("raw", NO_JSON)
def test_garbage_instead_of_a_request(agent: Agent, raw: bytes) -> None:
    """Garbage gets an error as its reply, without a traceback."""
    done = agent.send(raw)
    assert (0, "AgentError") == (done.status, done.error["type"])
    assert "Traceback" not in done.stderr


def test_another_version_of_the_protocol(agent: Agent) -> None:
    """The error for another version of the protocol has both versions."""
    error = agent.call("check", version=2).error
    assert "version 2" in error["message"]
    assert "version 1" in error["message"]


def test_an_unknown_action(agent: Agent) -> None:
    """An unknown action is an error, even if a module has an attribute of that name."""
    actions: tuple[Any, ...] = ("no_such", "__import__", "_sweep", None)
    for action in actions:
        assert f"unknown action {action!r}" in agent.call(action).error["message"]


@pytest.mark.parametrize("missing", ["uid", "min_uid", "timeout", "scheduler_path", "action"])
def test_a_request_that_lacks_something(agent: Agent, missing: str) -> None:
    """The error for an incomplete request names what is missing."""
    request = agent.request("check")
    del request[missing]
    error = agent.send(json.dumps(request).encode()).error
    assert "AgentError" == error["type"]
    assert missing in error["message"]


def test_an_oversized_request_is_refused(agent: Agent) -> None:
    """A request that is too large is refused before it is read as a whole."""
    done = agent.send(b" " * (protocol.REQUEST_LIMIT + 1))
    assert "too large" in done.error["message"]


def test_a_request_of_the_largest_size_is_read(agent: Agent) -> None:
    """A request of exactly the largest size is read."""
    raw = json.dumps(agent.request("check")).encode()
    assert agent.send(raw + b" " * (protocol.REQUEST_LIMIT - len(raw))).result


# -- whom it serves -----------------------------------------------------------------------------


def test_another_account_is_refused(agent: Agent) -> None:
    """The agent refuses to work if it runs as another account than the Hub means."""
    error = agent.call("check", uid=agent.account.pw_uid + 1, account="eve").error
    assert "eve" in error["message"]
    assert not agent.state_dir.exists()


@pytest.mark.parametrize("uid", ["1001", None, [1001], True])
def test_a_uid_that_is_text(agent: Agent, uid: Any) -> None:
    """A uid that is text is refused."""
    assert "AgentError" == agent.call("check", uid=uid).error["type"]


@pytest.mark.threat(
    who="user",
    tries="They log in under a name whose account is root or a system account.",
    stopped_by="Uid 0 and uids below min_uid are refused on both sides.",
)
def test_a_uid_below_the_lowest_is_refused(agent: Agent) -> None:
    """The agent, too, refuses uids below the lowest allowed one."""
    error = agent.call("check", min_uid=agent.account.pw_uid + 1).error
    assert f"min_uid = {agent.account.pw_uid + 1}" in error["message"]


# -- its surroundings ---------------------------------------------------------------------------


def test_what_others_print_is_no_reply(agent: Agent) -> None:
    """What PSI/J or a plugin prints goes to standard error."""
    code = (
        "import os, sys\n"
        "from unispawner.agent import actions, protocol\n"
        "def check(request, account):\n"
        "    print('stray print')\n"
        "    os.write(1, b'stray write\\n')\n"
        "    os.system('echo stray command')\n"
        "    return {'read': sys.stdin.read(), 'fds': sorted(os.listdir('/proc/self/fd'))}\n"
        "actions.ACTIONS = {'check': check}\n"
        "protocol.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=json.dumps(agent.request("check")).encode(),
        capture_output=True,
        cwd="/",
        **agent.as_user(),
    )
    assert "" == json.loads(done.stdout)["result"]["read"]
    for kind in (b"print", b"write", b"command"):
        assert b"stray " + kind in done.stderr


def test_no_child_can_write_the_reply(agent: Agent) -> None:
    """Commands that the agent starts do not inherit the reply's descriptor."""
    folder = agent.fake_command("squeue", "ls -l /proc/$$/fd >&2; echo '1|x' >&3; exit 1")
    done = agent.call("status", scheduler="slurm", scheduler_path=[folder], job_ids=["1"])
    assert "SchedulerUnavailable" == done.error["type"]
    assert "3 ->" not in done.error["output"]


@pytest.mark.threat(
    who="Hub account",
    tries="Its variables change what a user's process runs.",
    stopped_by="The agent starts with an empty environment.",
)
def test_the_environment_is_clean(agent: Agent) -> None:
    """A command sees the variables of a login and of the administrator, and none of the Hub's."""
    folder = agent.fake_command("squeue", "env >&2; pwd >&2; umask >&2; exit 1")
    request = agent.request(
        "status",
        scheduler="slurm",
        scheduler_path=[folder, "/opt/x"],
        scheduler_environment={"SLURM_CONF": "/etc/x.conf", "LANG": "C"},
        job_ids=["1"],
    )
    done = agent.send(
        json.dumps(request).encode(),
        environment={"PATH": "/evil", "SECRET": "of the Hub", "LD_X": "1", "PYTHONPATH": "/evil"},
    )
    lines = done.error["output"].splitlines()
    got = dict(line.split("=", 1) for line in lines if "=" in line)
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # the shell's own
        got.pop(name, None)
    entry = agent.account
    assert {
        **QUERY_ENVIRONMENT,
        "HOME": entry.pw_dir,
        "LANG": "C",
        "LOGNAME": entry.pw_name,
        "PATH": f"{folder}:/opt/x:/usr/local/bin:/usr/bin:/bin",
        "SHELL": entry.pw_shell or "/bin/sh",
        "SLURM_CONF": "/etc/x.conf",
        "USER": entry.pw_name,
    } == got
    assert {entry.pw_dir, "/"} & set(lines)


def test_it_ends_by_its_own_alarm(agent: Agent) -> None:
    """The agent ends itself in time: a Hub that is not root can't kill what sudo started."""
    folder = agent.fake_command("squeue", "exec sleep 600")
    done = agent.call(
        "status", scheduler="slurm", scheduler_path=[folder], job_ids=["1"], timeout=0.5
    )
    assert "did not finish within 0.5 s" in done.error["message"]


def test_the_alarm_ends_a_submission_that_sweeps(agent: Agent) -> None:
    """After the time limit no job is submitted, even if the agent was sweeping old files."""
    folder = agent.fake_command("squeue", "exec sleep 600")
    agent.fake_command("sbatch", "echo 1")
    slurm = {"scheduler": "slurm", "scheduler_path": [folder]}
    assert "1" == agent.submit(agent.spec("", mark="f" * 16), **slurm).result["job_id"]
    os.utime(agent.state_dir / "jobs" / ("f" * 16), (0, 0))
    agent.fake_command("sbatch", f"echo submitted >{agent.directory}/submitted; echo 2")
    done = agent.submit(agent.spec(""), **slurm, timeout=1)
    assert "did not finish within" in done.reply.get("error", {}).get("message", "")
    assert not (agent.directory / "submitted").exists()


def test_a_missing_command_is_an_error_with_the_setting(agent: Agent) -> None:
    """The error for a missing command names the setting for its directory."""
    folder = agent.directory / "empty"
    folder.mkdir()
    done = agent.call("status", scheduler="slurm", job_ids=["1"], scheduler_path=[str(folder)])
    if "error" in done.reply and "squeue: No such file" in done.error["message"]:
        assert "c.UniSpawner.scheduler_path" in done.error["message"]
    else:
        assert Path("/usr/bin/squeue").exists() or Path("/usr/local/bin/squeue").exists()


# -- what it costs ------------------------------------------------------------------------------


def modules(agent: Agent, action: str, **arguments: Any) -> set[str]:
    """Return the modules that the agent imports for one request (from -X importtime)."""
    raw = json.dumps(agent.request(action, **arguments)).encode()
    done = agent.send(raw, options=["-X", "importtime"])
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert "error" not in done.reply, done.reply
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("status", {"job_ids": ["1.1"]}),
        ("log", {"mark": "0123456789abcdef", "lines": 5}),
        ("cleanup", {"mark": "0123456789abcdef"}),
        ("find", {"mark": "0123456789abcdef"}),
    ],
)
def test_only_what_submits_and_cancels_loads_psij(
    agent: Agent, action: str, arguments: dict[str, Any]
) -> None:
    """Other actions do not load PSI/J, which takes a third of a second, nor other schedulers."""
    loaded = {module.partition(".")[0] for module in modules(agent, action, **arguments)}
    assert set() == loaded & {"psij", "drmaa", "jupyterhub", "tornado", "traitlets", "sqlalchemy"}


@pytest.mark.parametrize("action", ["submit", "cancel", "check"])
def test_what_submits_and_cancels_loads_psij_and_no_hub(agent: Agent, action: str) -> None:
    """Actions that submit or cancel load PSI/J, but not JupyterHub or other schedulers."""
    requests: dict[str, dict[str, Any]] = {
        "submit": {"spec": agent.spec("").to_dict(), "shell": "/bin/sh"},
        "cancel": {"job_id": "999999999.1"},
        "check": {},
    }
    loaded = modules(agent, action, **requests[action])
    top = {module.partition(".")[0] for module in loaded}
    assert "psij" in top
    assert set() == top & {"drmaa", "jupyterhub", "tornado", "traitlets", "sqlalchemy"}
    assert {"unispawner.agent.executors.local", "unispawner.agent.executors.base"} >= {
        module for module in loaded if module.startswith("unispawner.agent.executors.")
    }
    assert "unispawner.schedulers.slurm" not in loaded


@pytest.mark.parametrize("module", ["unispawner.servers.spawner", "unispawner"])
def test_the_hub_loads_neither_psij_nor_drmaa(module: str) -> None:
    """The Hub loads neither PSI/J, which runs files on sys.path, nor DRMAA, which may abort."""
    code = f"import sys, {module}; print({{'psij', 'drmaa'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "set()" == done.stdout.strip(), done.stderr


def test_the_user_side_of_the_package_is_cheap() -> None:
    """Importing the package imports nothing of JupyterHub."""
    code = "import sys, unispawner; print({'jupyterhub', 'tornado'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert "set()" == done.stdout.strip(), done.stderr


def test_a_descriptor_in_the_current_directory_is_not_run(agent: Agent) -> None:
    """PSI/J runs psij-descriptors/*.py on sys.path: with -I, the user's own are not among them."""
    folder = agent.directory / "psij-descriptors"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(agent.directory / 'ran')!r}, 'w')\n")
    code = (
        f"import os; os.chdir({str(agent.directory)!r})\n"
        "import sys; print([p for p in sys.path if p in ('', '.')])\n"
        "import psij\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd="/"
    )
    assert "[]" == done.stdout.strip(), done.stderr
    assert not (agent.directory / "ran").exists()
