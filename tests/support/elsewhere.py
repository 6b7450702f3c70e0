"""A Hub in a container's place, and this host as the login node that it reaches by ssh.

The container is a set of namespaces: network, mounts, host name and clock. It has no accounts but
its own, no /home, no scheduler, and an address of its own on the network of a cluster's nodes. The
login node is this host, with a real sshd on that network, and an account that stays: hubsvc.

    with LoginNode(Slurm()) as login:
        hub = HubElsewhere(Slurm(), login)
        await hub.start()
        login.cut()                             # the connection breaks
        login.stop()                            # and sshd is down
        login.start()
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from support.clusters import CLUSTERS, Cluster
from support.hub import HUB_ACCOUNT, USER_GROUP, RunningHub, free_ports, why_no_hub
from unispawner.run_as.broker import BrokerCommand

SERVICE_ACCOUNT = "hubsvc"
CLOCK_OFFSET = 100_000
"""By how many seconds the clock of the Hub's container is ahead of this host's (monotonic)."""
COMMANDS = (
    *("sbatch", "squeue", "scancel", "sinfo", "scontrol", "srun", "salloc", "sacct", "sacctmgr"),
    *("sstat", "munge", "unmunge", "qsub", "qstat", "qdel", "qconf", "qhost", "qacct", "sudo"),
    *("condor_submit", "condor_q", "condor_rm", "condor_status"),
)
"""The commands that the container does not have."""
HIDDEN = (
    *("/home", "/root", "/etc/slurm", "/etc/munge", "/run/munge", "/var/run/munge"),
    *("/etc/sudoers.d", "/var/lib/gridengine", "/usr/lib/gridengine", "/run/netns"),
)
"""The folders that are empty in the container."""

SSHD_CONFIG = """\
ListenAddress {address}:{port}
HostKey {folder}/host_key
PidFile none
UsePAM yes
AuthorizedKeysFile {folder}/authorized_keys
AllowUsers {account}
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitUserEnvironment no
LogLevel VERBOSE
"""

CONTAINER = """\
set -e
folder=$1
shift
hostname hub-container
for path; do
    if [ -d "$path" ]; then mount -t tmpfs -o mode=755 tmpfs "$path"; fi
done
for name in $HIDE; do
    for path in /usr/local/bin /usr/bin /bin /usr/sbin; do
        if [ -f "$path/$name" ]; then mount --bind /dev/null "$path/$name"; fi
    done
done
for name in passwd group hosts resolv.conf; do
    if [ -e "/etc/$name" ]; then mount --bind "$folder/$name" "/etc/$name"; fi
done
ip link set lo up
echo $$
exec sleep infinity
"""


def why_not_elsewhere() -> str:
    """Return why there can be no Hub elsewhere on this machine; empty if there can."""
    if reason := why_no_hub():
        return reason
    for name in ("sshd", "ssh", "ssh-keygen", "unshare", "nsenter", "ip"):
        if _find(name) is None:
            return f"there is no {name} (Debian: openssh-server, openssh-client, iproute2)"
    done = subprocess.run(["unshare", "-n", "-m", "-u", "-T", "true"], capture_output=True)
    return "" if done.returncode == 0 else "namespaces can't be made here"


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert 0 == done.returncode, f"{command}: {done.stderr}"
    return done.stdout.strip()


class LoginNode:
    """This host with an sshd of its own, and an account that the Hub logs in to.

    Attributes
    ----------
    address
        Where sshd listens.
    known_hosts, key
        The line for the Hub's known_hosts, and the file of the Hub's private key.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.address = cluster.hub_ip
        (self.port,) = free_ports(self.address, 1)
        # sshd accepts no files below a folder that others can write, such as /tmp.
        self.folder = Path(tempfile.mkdtemp(prefix="unispawner-sshd-", dir="/run"))
        self.folder.chmod(0o755)
        self._sshd: subprocess.Popen[bytes] | None = None
        self._sudoers = Path(f"/etc/sudoers.d/{self.folder.name}")
        self.key = self.folder / "key"
        for name in ("host_key", "key"):
            make = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "")
            _run(*make, "-f", str(self.folder / name))
        public = (self.folder / "host_key.pub").read_text()
        self.known_hosts = f"[{self.address}]:{self.port} {public}"
        self.accept()

    def __enter__(self) -> LoginNode:
        _make_account()
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._sudoers.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def change_host_key(self, key: str = "") -> str:
        """Give the stopped sshd a new host key, or the given one; return the one before."""
        path = self.folder / "host_key"
        before = path.read_text()
        if key:
            path.write_text(key)
        else:
            path.unlink()
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path))
        return before

    # -- what it permits -----------------------------------------------------------------------

    def accept(self, command: str = "") -> None:
        """Accept the Hub's key; with a command, for this command only."""
        options = f'restrict,command="{command}" ' if command else "restrict "
        text = options + (self.folder / "key.pub").read_text()
        (self.folder / "authorized_keys").write_text(text)

    def permit(self, line: str) -> None:
        """Write a line of sudoers, with which the service account starts the broker."""
        draft = self.folder / "sudoers"
        draft.write_text(f"{line}\n")
        draft.chmod(0o440)
        _run("visudo", "-cqf", str(draft))
        shutil.move(draft, self._sudoers)

    # -- its processes -------------------------------------------------------------------------

    def start(self) -> None:
        """Start sshd; return when it listens."""
        config = self.folder / "sshd_config"
        config.write_text(
            SSHD_CONFIG.format(
                address=self.address, port=self.port, folder=self.folder, account=SERVICE_ACCOUNT
            )
        )
        sshd = _find("sshd")
        assert sshd
        with open(self.folder / "log", "ab") as log:
            self._sshd = subprocess.Popen(
                [sshd, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log
            )
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port)):
                return
            assert self._sshd.poll() is None, self.log()
            assert time.monotonic() < deadline, "sshd does not listen"
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """The process id of sshd."""
        assert self._sshd is not None
        return self._sshd.pid

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def connections(self) -> list[psutil.Process]:
        """Return the processes of sshd that serve connections."""
        assert self._sshd is not None
        found = []
        for process in psutil.Process(self._sshd.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name().startswith("sshd"):
                    found.append(process)
        return found

    def cut(self) -> int:
        """Kill the processes of sshd that serve connections; return how many there were."""
        found = self.connections()
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return len(found)

    def stop(self) -> None:
        """Stop sshd and cut its connections."""
        if self._sshd is not None:
            connections = self.connections()
            self._sshd.terminate()
            self._sshd.wait(10)
            self._sshd = None
            for process in connections:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def _make_account() -> None:
    """Make the service account of the login node: a system account that may not use a password."""
    try:
        pwd.getpwnam(SERVICE_ACCOUNT)
    except KeyError:
        home = f"/var/lib/{SERVICE_ACCOUNT}"
        _run("useradd", "--system", "--create-home", "--home-dir", home, SERVICE_ACCOUNT)
    _run("usermod", "--shell", "/bin/sh", SERVICE_ACCOUNT)


class Container:
    """Namespaces without accounts, homes or a scheduler, at an address of their own."""

    def __init__(self, cluster: Cluster, account: str) -> None:
        number = 100 + os.getpid() % 100
        self.address = f"{cluster.hub_ip.rpartition('.')[0]}.{number}"
        self.folder = Path(tempfile.mkdtemp(prefix="unispawner-container-"))
        self.folder.chmod(0o755)
        self._write_files(account)
        hidden = [*HIDDEN, *(cls().folder for cls in CLUSTERS.values())]
        command = ["unshare", "-n", "-m", "-u", "-T", "--monotonic", str(CLOCK_OFFSET)]
        command += [
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            CONTAINER,
            "sh",
            str(self.folder),
            *hidden,
        ]
        with open(self.folder / "errors", "wb") as errors:
            self._holder = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "HIDE": " ".join(COMMANDS)},
            )
        assert self._holder.stdout
        ready = self._holder.stdout.readline()
        assert ready, (self.folder / "errors").read_text()
        self.pid = int(ready)
        try:
            self._connect(cluster, number)
        except BaseException:
            self.close()
            raise

    def _write_files(self, account: str) -> None:
        entry = pwd.getpwnam(account)
        ids = f"{entry.pw_uid}:{entry.pw_gid}"
        files = {
            "passwd": f"root:x:0:0::/root:/bin/sh\n{account}:x:{ids}::/nonexistent:/bin/sh\n",
            "group": f"root:x:0:\n{account}:x:{entry.pw_gid}:\n",
            "hosts": f"127.0.0.1 localhost\n{self.address} hub-container\n",
            "resolv.conf": "",
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def _connect(self, cluster: Cluster, number: int) -> None:
        """Connect the container with the bridge on which this host has the cluster's address."""
        bridge = _run("ip", "-o", "addr", "show", "to", f"{cluster.hub_ip}/32").split()[1]
        link, pid = f"uhub{self.pid}", str(self.pid)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid)
        _run("ip", "link", "set", link, "master", bridge, "up")
        enter = ("nsenter", "-t", pid, "-n", "ip")
        _run(*enter, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _run(*enter, "link", "set", "eth0", "up")

    def enter(self, folder: Path) -> list[str]:
        """Return the words before a command that run it in the container, in a folder."""
        enter = ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "-T"]
        return [*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(folder)]

    def run(self, *command: str) -> str:
        """Run a command as root in the container and return its output."""
        done = subprocess.run(
            [*self.enter(Path("/")), *command], capture_output=True, text=True, timeout=30
        )
        return done.stdout + done.stderr

    def close(self) -> None:
        """End the container; its network link goes with it."""
        os.kill(self.pid, signal.SIGKILL)
        self._holder.wait(10)
        assert self._holder.stdout
        self._holder.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


CONFIG = """
c.UniSpawner.broker_group = {group!r}
c.UniSpawner.submit_host = {submit_host!r}
c.UniSpawner.ssh_options = [
    *("-F", "none", "-p", "{port}", "-i", "{folder}/key"),
    *("-o", "UserKnownHostsFile={folder}/known_hosts", "-o", "ConnectTimeout=3"),
]
c.UniSpawner.agent_python = {python!r}
"""


class HubElsewhere(RunningHub):
    """A Hub and its proxy in a container."""

    def __init__(self, cluster: Cluster, login: LoginNode, *, config: str = "") -> None:
        self.login = login
        self.container = Container(cluster, HUB_ACCOUNT)
        try:
            super().__init__(cluster, config=config)
        except BaseException:
            self.container.close()
            raise
        self._write("key", login.key.read_text())
        self._write("known_hosts", login.known_hosts)

    def _choose_addresses(self) -> None:
        # Nothing else listens in the container.
        self.hub_ip, self.hub_port = self.container.address, 8081
        self.front_ip, self.front_port, self._proxy_port = self.hub_ip, 8000, 8001

    def _more_config(self) -> str:
        return CONFIG.format(
            group=USER_GROUP,
            submit_host=f"{SERVICE_ACCOUNT}@{self.login.address}",
            port=self.login.port,
            folder=self.folder,
            python=sys.executable,
        )

    def _let_it_become_users(self) -> None:
        """Let the service account on the login node start the broker, and by the key only that."""
        command = BrokerCommand(
            sys.executable,
            group=USER_GROUP,
            path=self.cluster.path,
            environment=self.cluster.environment,
        )
        self.login.permit(command.sudoers_line(SERVICE_ACCOUNT))
        self.login.accept(shlex.join(command.with_sudo))

    def _enter(self) -> list[str]:
        return self.container.enter(self.folder)

    async def close(self) -> None:
        """Stop the Hub and the proxy in any state, and remove the container."""
        try:
            await super().close()
        finally:
            self.container.close()
