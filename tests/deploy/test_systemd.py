"""The units of deploy/systemd: what they may and may not set, and what the documents say of them.

`ci/deploy` has systemd itself check them.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support import CHECKOUT

FOLDER = CHECKOUT / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".service", ".timer"))
IMPLY_NO_NEW_PRIVILEGES = {
    *("NoNewPrivileges", "DynamicUser", "LockPersonality", "MemoryDenyWriteExecute"),
    *("PrivateDevices", "ProtectClock", "ProtectHostname", "ProtectKernelLogs"),
    *("ProtectKernelModules", "ProtectKernelTunables", "RestrictAddressFamilies"),
    *("RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "SystemCallArchitectures"),
    *("SystemCallFilter", "SystemCallLog"),
}
"""What sets no_new_privs for a unit with User= (systemd.exec(5) of systemd 252)."""


def settings(name: str) -> list[tuple[str, str]]:
    """Return the settings of a unit in their order."""
    lines = (FOLDER / name).read_text().splitlines()
    pairs = [line.partition("=") for line in lines if re.match(r"[A-Z]\w+=", line)]
    return [(key, value) for key, _, value in pairs]


def test_the_hub_can_start_sudo() -> None:
    """The Hub's unit sets nothing that stops sudo, hides homes or takes /tmp away from jobs."""
    impossible = {"PrivateTmp", "PrivateUsers", "ProtectHome", "PrivateNetwork", "UMask"}
    used = dict(settings("jupyterhub.service"))
    assert set() == (IMPLY_NO_NEW_PRIVILEGES | impossible) & set(used)
    assert "full" == used["ProtectSystem"]
    assert "jupyterhub" == used["User"]


def test_the_hubs_unit_says_what_is_impossible() -> None:
    """The comment in the Hub's unit names every setting that would stop sudo."""
    comment = re.search(
        r"^# This is impossible.*?^\n", (FOLDER / "jupyterhub.service").read_text(), re.M | re.S
    )
    assert comment
    assert IMPLY_NO_NEW_PRIVILEGES <= set(re.findall(r"(\w+)=", comment[0]))


def test_sudo_keeps_what_the_broker_needs() -> None:
    """The capabilities that the Hub's unit leaves let root change ids, read and write, and kill."""
    kept = set(dict(settings("jupyterhub.service"))["CapabilityBoundingSet"].split())
    assert {"CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_AUDIT_WRITE"} <= kept
    assert set() == kept & {"CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_NET_ADMIN"}


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_every_other_service_is_locked(name: str) -> None:
    """A service that needs no sudo can get no new rights; no unit has a secret in it."""
    used = dict(settings(name))
    assert name == "jupyterhub.service" or ("yes", "") == (
        used["NoNewPrivileges"],
        used["CapabilityBoundingSet"],
    )
    assert not re.search(r"(TOKEN|PASSWORD|SECRET)=\S", (FOLDER / name).read_text())


def test_a_hub_elsewhere_is_locked() -> None:
    """The drop-in for a Hub that only uses ssh locks what the Hub's own unit can't."""
    used = dict(settings("submit-host.conf"))
    assert ("yes", "yes", "strict") == (
        used["NoNewPrivileges"],
        used["ProtectHome"],
        used["ProtectSystem"],
    )
    assert IMPLY_NO_NEW_PRIVILEGES - {"DynamicUser", "SystemCallLog"} <= set(used)


def test_every_timer_has_its_service() -> None:
    """A timer starts the service of its name."""
    timers = {name.removesuffix(".timer") for name in UNITS if name.endswith(".timer")}
    assert timers
    assert set() == timers - {name.removesuffix(".service") for name in UNITS}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_names_its_place(name: str) -> None:
    """The first line of a unit says where it is installed."""
    assert f"# /etc/systemd/system/{name}" == (FOLDER / name).read_text().splitlines()[0]


def test_the_document_uses_these_files() -> None:
    """docs/install.md names each file of deploy/systemd, and has no copy of a unit."""
    page = (CHECKOUT / "docs" / "install.md").read_text()
    assert [] == [path.name for path in FOLDER.iterdir() if f"`{path.name}`" not in page]
    assert "[Service]" not in page
    named = set(re.findall(r"\bdeploy/[\w./-]*\w", page))
    assert named
    assert [] == [name for name in sorted(named) if not (CHECKOUT / name).exists()]


def test_the_hubs_configuration_fits_the_proxys_unit() -> None:
    """The Hub looks for the proxy's API where the proxy's unit lets it listen."""
    command = dict(settings("jupyterhub-proxy.service"))["ExecStart"]
    assert "--api-ip=127.0.0.1 --api-port=8001" in command
    lines = (FOLDER / "hub-and-proxy.py").read_text()
    assert 'api_url = "http://127.0.0.1:8001"' in lines
    assert "should_start = False" in lines


# -- back-up-hub ------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """Return a folder with a database in use, and the cookie secret."""
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "jupyterhub_cookie_secret").write_text("cafe")
    with sqlite3.connect(folder / "jupyterhub.sqlite") as database:
        database.execute("create table users (name)")
        database.execute("insert into users values ('alice')")
    database.close()
    (tmp_path / "copies").mkdir()
    return folder


def back_up(hub: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script, copies = str(FOLDER / "back-up-hub"), str(hub.parent / "copies")
    command = [sys.executable, "-I", script, *options, str(hub), copies]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_back_up_has_what_the_hub_has_committed(hub: Path) -> None:
    """A copy of a database that is in use has its committed rows; only its owner may read it."""
    database = sqlite3.connect(hub / "jupyterhub.sqlite")
    database.execute("insert into users values ('bob')")  # not committed
    done = back_up(hub)
    database.close()
    assert (0, "") == (done.returncode, done.stderr)
    copy = Path(done.stdout.strip())
    restored = sqlite3.connect(copy / "jupyterhub.sqlite")
    assert [("alice",)] == restored.execute("select name from users").fetchall()
    restored.close()
    assert "cafe" == (copy / "jupyterhub_cookie_secret").read_text()
    modes = {path.stat().st_mode & 0o077 for path in (copy, copy / "jupyterhub.sqlite")}
    assert {0} == modes


def test_the_oldest_back_ups_are_removed(hub: Path) -> None:
    """Only the newest copies are kept; other files, and no half copies, stay in the folder."""
    copies = hub.parent / "copies"
    for name in ("2026-01-01T000000Z", "2026-01-02T000000Z", "part-1", "mine"):
        (copies / name).mkdir()
    assert 0 == back_up(hub, "--keep", "2").returncode
    left = sorted(path.name for path in copies.iterdir())
    assert ["2026-01-02T000000Z", "mine"] == [left[0], left[2]]
    assert 3 == len(left)


@pytest.mark.parametrize("broken", ["missing", "no database"])
def test_a_back_up_that_fails_removes_nothing(hub: Path, broken: str) -> None:
    """If the database can't be copied, the exit status is 1 and the older copies stay."""
    (hub.parent / "copies" / "2026-01-01T000000Z").mkdir()
    (hub / "jupyterhub.sqlite").unlink()
    if broken == "no database":
        (hub / "jupyterhub.sqlite").write_text("not a database" * 100)
    done = back_up(hub, "--keep", "1")
    assert 1 == done.returncode
    assert done.stderr.startswith("back-up-hub: ")
    assert ["2026-01-01T000000Z"] == [path.name for path in (hub.parent / "copies").iterdir()]
    assert (broken == "no database") == (hub / "jupyterhub.sqlite").exists()


def test_at_least_one_back_up_is_kept(hub: Path) -> None:
    """--keep 0 is refused: it would remove the copy that was just made."""
    done = back_up(hub, "--keep", "0")
    assert (2, True) == (done.returncode, "at least 1 copy" in done.stderr)
