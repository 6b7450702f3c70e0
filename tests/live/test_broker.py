"""The broker as root: whom its children become, what they can see, and what they leave."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.accounts import needs_root, ordinary_accounts
from support.agent import Agent, agent_of_a_user, wait_for
from support.broker import BrokerProcess, running_broker
from support.folders import readable_folder
from support.sudo_sandbox import can_have_a_sandbox, run_with_sudoers

READS_MEMORY = pytest.mark.threat(
    who="other user",
    tries="They read the token of somebody's request in the memory of their own "
    "process in the broker.",
    stopped_by="Bodies lie in memory that no other child gets, and in files that it closes.",
)
FOREIGN_CODE = pytest.mark.threat(
    who="root",
    tries="Somebody else can change code that root's broker runs.",
    stopped_by="The broker refuses to start, and names the file.",
)

pytestmark = needs_root

TOKEN = b"7f3a9c51e2d84b06"
"""Stands for a server's token; the tests look for it in other processes."""
SCRIPT = Path(sysconfig.get_path("scripts")) / "unispawner-broker"


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An ordinary account with a directory of its own."""
    with agent_of_a_user() as found:
        yield found


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    """A broker that root has started."""
    with running_broker() as found:
        yield found


def ask_squeue(agent: Agent, script: str, **arguments: Any) -> bytes:
    """Return a request whose child runs a script under the name squeue."""
    folder = agent.fake_command("squeue", script)
    values = {"scheduler": "slurm", "scheduler_path": [folder], "job_ids": ["1"], **arguments}
    return json.dumps(agent.request("status", **values)).encode()


def status_of(pid: int | str) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# -- becoming the user --------------------------------------------------------------------------


@pytest.mark.threat(
    who="other user",
    tries="They look into, or trace, a process of the broker.",
    stopped_by="A child is completely the user's, not dumpable, and leaves no core file.",
)
def test_a_child_becomes_the_user_completely(broker: BrokerProcess, agent: Agent) -> None:
    """The agent's process has the user's ids and groups, no capability, a session of its own and
    the user's home as its folder; it leaves no core, and nobody reads its memory."""
    entry = agent.account
    script = (
        "cat /proc/$PPID/status; cut -d' ' -f6 /proc/$PPID/stat | sed s/^/Session:/\n"
        "readlink /proc/$PPID/cwd || echo 'Cwd: denied'; cat /proc/$PPID/limits\n"
        "cat /proc/$PPID/environ >/dev/null || echo 'Environ: denied'\n"
        "ls /proc/$PPID/fd || echo 'Fd: denied'; ls -l /proc/self/fd; umask; pwd; env; exit 1"
    )
    body = ask_squeue(agent, f"({script}) >&2")
    output = broker.ask("agent", entry.pw_name, body).reply["error"]["output"]
    path = agent.directory / "out"
    agent.own(agent.directory)
    broker.ask("agent", entry.pw_name, ask_squeue(agent, f"({script}) >{path} 2>&1; exit 1"))
    text = path.read_text()
    assert output
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    found = {name: value.split() for name, value in lines.items()}
    assert [str(entry.pw_uid)] * 4 == found["Uid"]
    assert [str(entry.pw_gid)] * 4 == found["Gid"]
    assert set(map(str, os.getgrouplist(entry.pw_name, entry.pw_gid))) == set(found["Groups"])
    for name in ("CapPrm", "CapEff", "CapAmb"):
        assert 0 == int(found[name][0], 16), name
    assert found["Pid"] == found["Session"]
    assert ["1"] == found["Threads"]
    assert ["denied"] == found["Environ"] == found["Fd"]
    assert re.search(r"^Max core file size +0 ", text, re.MULTILINE)
    assert "\n0022\n" in text
    assert f"\nPWD={entry.pw_dir}\n" in text
    assert f"HOME={entry.pw_dir}\n" in text
    assert "SUDO" not in text
    assert "/memfd:" not in text  # what a command inherits


@pytest.mark.threat(
    who="other user",
    tries="They use the Kerberos tickets of whoever started the broker.",
    stopped_by="Each child has an empty session keyring of its own.",
)
def test_a_child_has_a_keyring_of_its_own(broker: BrokerProcess, agent: Agent) -> None:
    """Children do not share the session keyring of whoever started the broker: Kerberos may keep
    tickets there."""
    code = "import ctypes; print('ring', ctypes.CDLL(None).syscall(250, 0, -3, 1))"
    if os.uname().machine != "x86_64":
        pytest.skip("the number of keyctl(2) differs by machine")
    command = ["/usr/bin/python3", "-I", "-c", code]
    path = agent.directory / "out"
    agent.own(agent.directory)
    script = f"{command[0]} -I -c {shlex.quote(code)} >>{path}; exit 1"
    for _ in range(2):
        broker.ask("agent", agent.account.pw_name, ask_squeue(agent, script))
    own = subprocess.run(command, capture_output=True, text=True).stdout
    rings = [*path.read_text().splitlines(), own.strip()]
    if "ring -1" in rings:
        pytest.skip("keyctl(2) is forbidden here")
    assert 3 == len(set(rings)), rings


def test_a_core_limit_of_the_broker_does_not_matter(agent: Agent) -> None:
    """A child that crashes leaves no core, whatever the Hub's limit is."""
    with running_broker(code="import resource as r; r.setrlimit(r.RLIMIT_CORE, (-1, -1))") as one:
        path = agent.directory / "out"
        agent.own(agent.directory)
        body = ask_squeue(agent, f"grep core /proc/$PPID/limits >{path}; kill -SEGV $PPID")
        answer = one.ask("agent", agent.account.pw_name, body)
        assert -signal.SIGSEGV == answer.header["status"]
        assert ["0", "unlimited"] == path.read_text().split()[4:6]


def test_the_limit_on_open_files_is_that_of_the_hub(agent: Agent) -> None:
    """The broker itself may open more files, but its children, and so jobs, get the old limit."""
    code = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (777, 2000))"
    with running_broker(code=code) as one:
        path = agent.directory / "out"
        agent.own(agent.directory)
        body = ask_squeue(agent, f"grep 'open files' /proc/$PPID/limits >{path}; exit 1")
        one.ask("agent", agent.account.pw_name, body)
        assert ["777", "2000"] == path.read_text().split()[3:5]
        assert "2000" in Path(f"/proc/{one.pid}/limits").read_text().split("open files")[1][:40]


@pytest.mark.threat(
    who="Hub account",
    tries="Its variables change what a user's process runs.",
    stopped_by="No variable of whoever started the broker reaches a child.",
)
def test_the_variables_of_the_hub_reach_nobody(agent: Agent) -> None:
    """No variable of whoever started the broker reaches a child."""
    path = agent.directory / "out"
    agent.own(agent.directory)
    hub = {"SECRET": "x", "PYTHONPATH": "/evil", "LD_LIBRARY_PATH": "/evil", "HOME": "/root"}
    with running_broker(environment=hub) as broker:
        broker.ask("agent", agent.account.pw_name, ask_squeue(agent, f"env >{path}; exit 1"))
    assert "SECRET" not in path.read_text()
    assert "evil" not in path.read_text()
    assert "/root" not in path.read_text()


# -- who is refused -----------------------------------------------------------------------------


@pytest.mark.threat(
    who="Hub account",
    tries="It asks the broker to become an account outside the group.",
    stopped_by="The broker serves members of the group only.",
)
def test_the_group_of_accounts(agent: Agent) -> None:
    """With --group only its members are served; the primary group counts, too."""
    user, other = ordinary_accounts(2)
    group = grp.getgrgid(user.pw_gid).gr_name
    if user.pw_gid in os.getgrouplist(other.pw_name, other.pw_gid):
        pytest.skip("needs two accounts, of which one is not in the other's primary group")
    with running_broker("--group", group) as broker:
        assert user.pw_uid == broker.ask("account", user.pw_name).result["uid"]
        for kind in ("account", "agent"):
            error = broker.ask(kind, other.pw_name, b"{}").error
            assert f"{other.pw_name} is not in the group {group}" in error
        assert "refuses uid 0" in broker.ask("agent", "root", b"{}").error
    with running_broker("--group", "no-such-group") as broker:
        assert "no group 'no-such-group'" in broker.ask("agent", user.pw_name, b"{}").error


@pytest.mark.threat(
    who="Hub account",
    tries="It asks the broker for a job under its own account.",
    stopped_by="Who started the broker is not served.",
)
def test_the_account_that_started_it(agent: Agent) -> None:
    """The account that runs sudo is not served, and its questions are asked as this account."""
    hub, user = ordinary_accounts(2)
    folder = agent.fake_command("squeue", "id -u >&2; echo $FROM >&2; exit 7")
    started = {"SUDO_UID": str(hub.pw_uid), "SUDO_USER": hub.pw_name}
    group = grp.getgrgid(user.pw_gid).gr_name
    arguments = ("--group", group, "--path", folder, "--environment", "FROM=arguments")
    with running_broker(*arguments, environment=started) as broker:
        assert hub.pw_name == broker.greeting["account"]
        error = broker.ask("agent", hub.pw_name, b"{}").error
        assert "started the broker" in error
        question = {"name": "query_tracked", "arguments": ["1"], "scheduler": "slurm"}
        reply = broker.ask("question", body=json.dumps(question).encode()).reply
        assert [str(hub.pw_uid), "arguments"] == reply["error"]["output"].split()


@pytest.mark.parametrize("program", ["pkexec", "doas"])
def test_the_account_that_used_another_program_than_sudo(agent: Agent, program: str) -> None:
    """pkexec and doas report the account in variables of their own; it is no root either."""
    hub, user = ordinary_accounts(2)
    folder = agent.fake_command("squeue", "id -u >&2; exit 7")
    started = {
        "pkexec": {"PKEXEC_UID": str(hub.pw_uid)},
        "doas": {"DOAS_USER": hub.pw_name},
    }[program]
    group = grp.getgrgid(user.pw_gid).gr_name
    with running_broker("--group", group, "--path", folder, environment=started) as broker:
        assert "started the broker" in broker.ask("agent", hub.pw_name, b"{}").error
        question = {"name": "query_tracked", "arguments": ["1"], "scheduler": "slurm"}
        reply = broker.ask("question", body=json.dumps(question).encode()).reply
        assert str(hub.pw_uid) == reply["error"]["output"].strip()


@pytest.mark.threat(
    who="Hub account",
    tries="It starts the broker without a group.",
    stopped_by="Started through sudo without --group, the broker does not start.",
)
def test_sudo_needs_a_group() -> None:
    """Started through sudo without --group, the broker does not start."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "unispawner.broker"],
        env={"SUDO_UID": "1000", "SUDO_USER": "hub"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert "--group: it is needed" in done.stderr


@pytest.mark.threat(
    who="node",
    tries="A Hub on another host logs in as root and starts the broker.",
    stopped_by="Over ssh root's broker does not start.",
)
@pytest.mark.parametrize("variable", ["SSH_CONNECTION", "SUDO_UID"])
def test_root_on_another_host(variable: str) -> None:
    """Root's broker serves a Hub on this host only, not one that has logged in as root."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "unispawner.broker", "--group", "users"],
        env={variable: "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (1, "") == (done.returncode, done.stdout)
    assert "Let the Hub log in as an account of its own" in done.stderr


# -- tokens of others ---------------------------------------------------------------------------


def memory_of(pid: int) -> bytes:
    """Return all memory of a process that can be read."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            begin, end = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1].startswith("r") and "[v" not in line:
                with suppress(OSError):
                    memory.seek(begin)
                    found.append(memory.read(end - begin))
    return b"".join(found)


@READS_MEMORY
@pytest.mark.parametrize("through_socket", [False, True], ids=["pipe", "socket"])
def test_no_child_has_the_token_of_another(agent: Agent, through_socket: bool) -> None:
    """What is in one request or in its reply is neither in the memory of a child that serves
    another one, nor in the broker's own."""
    pids = agent.directory / "pids"
    agent.own(agent.directory)
    name = agent.account.pw_name
    hang = f"echo $PPID >>{pids}; sleep 600"
    with running_broker(through_socket=through_socket) as broker:
        body = ask_squeue(agent, hang, job_ids=["1"], state_dir="~/" + TOKEN.decode())
        broker.send("agent", name, body)
        (one,) = wait_for(lambda: pids.exists() and pids.read_text().split())
        body = ask_squeue(agent, hang, job_ids=["2"])
        broker.send("agent", name, body)
        waits = ask_squeue(agent, hang, job_ids=["3"], state_dir="~/" + TOKEN.decode())
        third = broker.send("agent", name, waits)
        other = wait_for(lambda: len(pids.read_text().split()) > 1 and pids.read_text().split()[1])
        assert TOKEN in memory_of(int(one))  # so it would be found
        assert TOKEN not in memory_of(int(other))
        assert TOKEN not in memory_of(broker.pid)
        for link in Path(f"/proc/{other}/fd").iterdir():
            target = os.readlink(link)
            assert "request" not in target, target
        broker.process.terminate()
        for pid in (one, other):
            os.kill(int(pid), signal.SIGKILL)
        assert "ending" == broker.answer(third).header["refused"]


@READS_MEMORY
def test_a_reply_is_not_in_the_next_childs_memory(broker: BrokerProcess, agent: Agent) -> None:
    """The end of one user's log, which may hold a token, is in no later child's memory."""
    pids = agent.directory / "pids"
    agent.own(agent.directory)
    name = agent.account.pw_name
    body = ask_squeue(agent, f"echo {TOKEN[::-1].decode()} | rev >&2; exit 1")
    assert TOKEN in broker.ask("agent", name, body).body
    broker.send("agent", name, ask_squeue(agent, f"echo $PPID >{pids}; sleep 600"))
    child = wait_for(lambda: pids.exists() and pids.read_text().strip())
    assert TOKEN not in memory_of(int(child))
    assert TOKEN not in memory_of(broker.pid)
    os.kill(int(child), signal.SIGKILL)


# -- the parent ---------------------------------------------------------------------------------

WATCH = """
import os, sys
watching = []
parent = os.getpid()
def hook(event, arguments):
    if watching and os.getpid() == parent and event in ("open", "import", "os.listdir",
            "subprocess.Popen", "os.exec", "socket.connect", "os.scandir", "exec", "compile"):
        os.write(2, f"AUDIT {event} {arguments[:1]!r}\\n".encode())
sys.addaudithook(hook)
from unispawner.broker import loop
run = loop.Broker.run
def watched(self):
    watching.append(1)
    run(self)
loop.Broker.run = watched
"""


@pytest.mark.threat(
    who="root",
    tries="Root reads, imports or runs something that a user can change.",
    stopped_by="The parent opens and imports nothing after its start.",
)
def test_the_parent_opens_and_imports_nothing(agent: Agent) -> None:
    """After its start the broker itself opens no file, imports nothing, looks no account up, and
    has one thread; only when it kills does it read /proc."""
    name = agent.account.pw_name
    with running_broker(code=WATCH) as broker:
        for action in ("check", "log", "no_such"):
            body = agent.request(action, mark="0" * 16, lines=3, scheduler="slurm")
            broker.ask("agent", name, json.dumps(body).encode())
        broker.ask("account", name)
        broker.ask("account", "no-such-account")
        broker.ask("question", body=b"{}")
        broker.ask("account", name, seconds=-1)
        assert "1" == status_of(broker.pid)["Threads"]
        opened = {os.readlink(one) for one in Path(f"/proc/{broker.pid}/fd").iterdir()}
        broker.close_input()
        status, log = broker.end()
    assert 0 == status
    assert [] == [line for line in log.splitlines() if line.startswith("AUDIT")]
    assert all(re.match(r"pipe:|socket:|anon_inode:|/dev/null", path) for path in opened), opened


def test_the_parent_stays_small(broker: BrokerProcess, agent: Agent) -> None:
    """Many requests leave neither memory nor descriptors behind."""
    name, body = agent.account.pw_name, json.dumps(agent.request("no_such")).encode()

    def descriptors() -> list[str]:
        with suppress(FileNotFoundError):  # one was closed meanwhile
            return [os.readlink(one) for one in Path(f"/proc/{broker.pid}/fd").iterdir()]
        return ["memfd"]

    def used() -> tuple[int, int]:
        # The files of the last answer are closed just after it was written.
        wait_for(lambda: not any("memfd" in one for one in descriptors()))
        kilobytes = int(status_of(broker.pid)["RssAnon"].split()[0])
        return kilobytes, len(descriptors())

    def serve(count: int) -> None:
        for _ in range(count):
            assert broker.ask("agent", name, body).error

    serve(50)
    before = used()
    serve(300)
    after = used()
    assert after[0] - before[0] < 1024
    assert before[1] == after[1]


# -- code that others can change ----------------------------------------------------------------


def start_with(
    path: Path, *arguments: str, first: bool = False
) -> subprocess.CompletedProcess[str]:
    """Start a broker with another folder at the end, or the beginning, of its path."""
    code = (
        f"import sys; sys.path.insert({0 if first else 1000}, {str(path)!r})\n"
        "from unispawner.broker.__main__ import main"
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", f"{code}; main()", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",  # a greeting begins with lengths that are not text
    )


@FOREIGN_CODE
def test_code_that_others_can_change(tmp_path: Path) -> None:
    """Root's broker does not start if others can write a folder of its path, what is above it, or
    a .pth file in it; the message names it. A folder in /tmp is safe."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "x.pth").write_text("")
    assert 0 == start_with(folder).returncode
    assert 0 == start_with(tmp_path / "a" / "missing").returncode
    for path in (folder, folder.parent, folder / "x.pth"):
        mode = path.stat().st_mode & 0o7777
        for changed in (0o777, 0o775):
            path.chmod(changed)
            done = start_with(folder)
            assert (1, "") == (done.returncode, done.stdout)
            assert f"{path} has the mode {changed:04o}" in done.stderr
        path.chmod(mode)
        os.chown(path, ordinary_accounts(1)[0].pw_uid, -1)
        assert f"{path} belongs to uid" in start_with(folder).stderr
        os.chown(path, 0, -1)
    link = tmp_path / "link"
    link.symlink_to(folder)
    os.chown(link, ordinary_accounts(1)[0].pw_uid, -1, follow_symlinks=False)
    assert f"{link} belongs to uid" in start_with(link).stderr


@FOREIGN_CODE
def test_a_folder_to_which_others_can_add_modules(tmp_path: Path) -> None:
    """The sticky bit does not make a folder of modules safe: others can add modules to it."""
    tmp_path.chmod(0o1777)
    assert f"{tmp_path} is a folder to which others can add" in start_with(tmp_path).stderr
    missing = start_with(tmp_path / "missing").stderr
    assert f"{tmp_path / 'missing'} does not exist, and everybody could make it" in missing


@FOREIGN_CODE
@pytest.mark.parametrize("package", ["psij", "psutil", "drmaa"])
def test_a_package_is_checked_before_it_is_loaded(tmp_path: Path, package: str) -> None:
    """Nothing of PSI/J, or of what it needs, runs if others can change it."""
    tmp_path.chmod(0o755)
    folder = tmp_path / package
    folder.mkdir()
    code = folder / "__init__.py"
    code.write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    code.chmod(0o666)
    assert f"{code} has the mode 0666" in start_with(tmp_path, first=True).stderr
    assert not (tmp_path / "was-run").exists()


@pytest.fixture
def readable() -> Iterator[Path]:
    with readable_folder() as folder:
        yield folder


def test_check_says_what_it_would_refuse(readable: Path) -> None:
    """--check ends with 0 where only root can change the broker's code, and users can read it.
    Otherwise it ends with 1 and names the file that others can change, or can't read. In neither
    case the broker is started."""
    safe, unsafe = readable / "safe", readable / "unsafe"
    for folder in (safe, unsafe):
        folder.mkdir()
    safe.chmod(0o755)
    unsafe.chmod(0o775)

    done = start_with(safe, "--check")
    expected = "Only root can change the broker's Python and its modules.\n"
    assert (0, expected, "") == (done.returncode, done.stdout, done.stderr)

    done = start_with(unsafe, "--check")
    assert (1, "") == (done.returncode, done.stderr)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{unsafe} has the mode 0775, so that others could change")

    safe.chmod(0o700)
    done = start_with(safe, "--check")
    assert (1, "") == (done.returncode, done.stderr)
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{safe} has the mode 0700, so that users can't read")


# -- sudo ---------------------------------------------------------------------------------------

EVIL = 'import os\nprint("EVIL", os.getuid())\n'


@pytest.mark.threat(
    who="Hub account",
    tries="It starts the broker with a Python, modules, arguments or links of its own.",
    stopped_by="The line in sudoers names the script and its arguments, and the script "
    "starts Python with -I.",
)
@pytest.mark.skipif(
    not can_have_a_sandbox() or not SCRIPT.exists(),
    reason="needs the script, sudo and a mount namespace",
)
def test_what_a_line_of_sudoers_confines(tmp_path: Path) -> None:
    """With a line that names the script, the Hub's account can start the broker as it is and
    nothing else: also not by links of its own, whose names sudo accepts."""
    hub, user = ordinary_accounts(2)
    group = grp.getgrgid(user.pw_gid).gr_name
    tmp_path.chmod(0o755)
    for path in tmp_path.parents:
        if path.owner() == "root" and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    packages = tmp_path / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (packages / "site-packages/unispawner/broker").mkdir(parents=True)
    for name in ("unispawner/__init__.py", "unispawner/broker/__main__.py", "usercustomize.py"):
        (packages / "site-packages" / name).write_text(EVIL)
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/unispawner-broker").symlink_to(SCRIPT)
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    arguments = ["--group", group, "--min-uid", "1000"]
    mine = str(tmp_path / "bin/unispawner-broker")
    commands = [
        ["sudo", "-n", "--", str(SCRIPT), *arguments],
        ["sudo", "-n", "--", mine, *arguments],
        ["sudo", "-n", "-D", str(tmp_path), "--", str(SCRIPT), *arguments],
        ["sudo", "-n", "--", str(SCRIPT), *arguments, "--path", "/evil"],
        ["sudo", "-n", "--", str(SCRIPT), "--group", "root"],
        ["sudo", "-n", "--", str(SCRIPT)],
        ["sudo", "-n", "-u", user.pw_name, "--", str(SCRIPT), *arguments],
        ["sudo", "-n", "--", str(tmp_path / "bin/python3"), "-I", "-m", "unispawner.broker"],
        ["sudo", "-n", f"PYTHONPATH={packages}", "--", str(SCRIPT), *arguments],
    ]
    line = f"{hub.pw_name} ALL=(root) NOPASSWD: {SCRIPT} {' '.join(arguments)}"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(packages), "HOME": str(packages)}
    outcomes = run_with_sudoers(line, hub, commands, environment=environment)
    assert not [one for one in outcomes if "EVIL" in one[1]]
    for status, stdout, stderr in outcomes[:2]:
        assert (0, f"serves {hub.pw_name}") == (
            status,
            stderr[stderr.index("serves") :][: 7 + len(hub.pw_name)],
        )
        assert f'"account": "{hub.pw_name}"' in stdout
    for status, stdout, _ in outcomes[3:]:
        assert (1, "") == (status, stdout)


# -- hanging ------------------------------------------------------------------------------------


@pytest.mark.threat(
    who="user",
    tries="They send many requests, or let them hang, to hold up everybody else.",
    stopped_by="Accounts take turns, few processes of one account run at a time, and each "
    "has a deadline.",
)
def test_a_user_cannot_keep_others_waiting(broker: BrokerProcess) -> None:
    """While all that one user may run hangs, another user is served, and questions are, too."""
    user, other = ordinary_accounts(2)
    with agent_of_a_user() as agent:
        agent.account = user
        body = ask_squeue(agent, "kill -STOP $PPID; sleep 600")
        hung = [broker.send("agent", user.pw_name, body, seconds=4) for _ in range(10)]
        agent.account = other
        begun = time.monotonic()
        answer = broker.ask("agent", other.pw_name, json.dumps(agent.request("no_such")).encode())
        assert "unknown action" in answer.error
        assert broker.ask("question", body=b"{}").error
        assert (
            pwd.getpwnam(user.pw_name).pw_uid == broker.ask("account", user.pw_name).result["uid"]
        )
        assert not set(hung) & set(broker.answers), time.monotonic() - begun
        ends = [broker.answer(one).header for one in hung]
        assert 2 == sum(end.get("status") == -signal.SIGKILL for end in ends)
        assert 8 == sum(end.get("refused") == "late" for end in ends)
