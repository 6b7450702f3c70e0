"""The checks of ``unispawner doctor``: profiles, wrappers, the Hub and the scheduler."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from support.doctor import API, PROFILES, TORQUE, Doctor

from unispawner.admin.cli import main
from unispawner.monitor.inventory_cache import InventoryCache
from unispawner.schedulers.inventory import Inventory, Node

UNISPAWNER = """
c.JupyterHub.spawner_class = "unispawner"
c.JupyterHub.hub_ip = "0.0.0.0"
c.UniSpawner.scheduler = "local"
c.UniSpawner.agent_python = "/bin/sh"
c.UniSpawner.run_as = "sudo"
import unispawner
c.JupyterHub.template_paths = [unispawner.template_path]
"""

HERE = socket.gethostname()


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests see what a Hub that runs as root would."""
    monkeypatch.setattr(os, "getuid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_profiles_that_are_right(doctor: Doctor) -> None:
    """Each profile has a line, and what several profiles share is checked once."""
    status, lines = doctor(PROFILES)
    assert 0 == status, lines
    assert [
        "ok      profiles: hub, small, large, new",
        "ok      profile hub: LocalProcessSpawner",
        "ok      profile small: TorqueSpawner",
        "ok      profile large: TorqueSpawner",
        "ok      profile new: UniSpawner, checked at every bound of its options",
    ] == [line for line in lines if " profile" in line]
    assert [
        *("run_as", "scheduler", "hub", "security", "settings", "commands", "commands", "query"),
        "agent_python",
    ] == [line.split()[1].rstrip(":") for line in lines[1:] if " profile" not in line]


@pytest.mark.parametrize(
    ("line", "check", "text"),
    [
        (
            'c.ProfilesSpawner.profiles[1][3]["batch_script"] = "{typo}"',
            "profile small",
            "there is no field 'typo'",
        ),
        (
            'c.ProfilesSpawner.profiles[1][3]["batch_submit_cmd"] = "nosuch"',
            "commands",
            "c.TorqueSpawner.batch_submit_cmd: nosuch not found",
        ),
        (
            'c.ProfilesSpawner.profiles[1][3]["command_timeout"] = "soon"',
            "profile small",
            "command_timeout",
        ),
        (
            'c.ProfilesSpawner.profiles[3]["config"] = {"queue": "x"}',
            "profile new",
            "UniSpawner has no setting queue (did you mean queue_name?)",
        ),
        (
            'c.ProfilesSpawner.profiles[3]["resources"] = {"memory": "1G"}',
            "profile new",
            "memory",
        ),
        (
            'c.ProfilesSpawner.profiles[3]["spawner"] = "unispawner.Nosuch"',
            "profile new",
            "WRONG   profile new: spawner: unispawner.Nosuch: ",  # and not its name twice
        ),
        ('c.ProfilesSpawner.profiles.append(("x", "y"))', "profiles", "profiles[4]: a tuple must"),
        (
            'c.ProfilesSpawner.profile = "x"',
            "hub",
            "has no setting profile (did you mean ",
        ),
        ('c.TorqueSpawner.req_que = "x"', "hub", "c.TorqueSpawner has no setting req_que"),
        ('c.JupyterHub.hub_ip = "127.0.0.1"', "hub", "can't reach the Hub's API at 127.0.0.1"),
    ],
)
def test_what_is_wrong_with_profiles(doctor: Doctor, line: str, check: str, text: str) -> None:
    """An error in a profile is one line that names the profile; the other profiles are right."""
    wrong = doctor.wrong(f"{PROFILES}\n{line}")
    assert wrong.startswith(f"WRONG   {check}: ")
    assert text in wrong


def test_no_profiles(doctor: Doctor) -> None:
    """An empty list of profiles is an error."""
    status, lines = doctor(f"{PROFILES}\nc.ProfilesSpawner.profiles = []")
    (line,) = [line for line in lines if line.startswith("WRONG   profiles: ")]
    assert line.endswith("c.ProfilesSpawner.profiles: the list is empty; add a profile")
    assert 1 == status


def test_profiles_of_another_spawner(doctor: Doctor) -> None:
    """Profiles that no spawner uses are pointed at; this may be intended, and is not an error."""
    status, lines = doctor(f'{PROFILES}\nc.JupyterHub.spawner_class = "unispawner"')
    (line,) = [line for line in lines if line.startswith("look at hub: ")]
    assert "c.ProfilesSpawner is set but not used" in line
    assert 0 == status, lines


def test_profiles_of_a_function(doctor: Doctor) -> None:
    """The profiles of a function are not checked, because they depend on the user."""
    status, lines = doctor(f"{PROFILES}\nc.ProfilesSpawner.profiles = lambda spawner: [spawner]")
    expected = "a function; its result depends on the user and is checked at each start"
    assert f"ok      profiles: {expected}" in lines
    assert 0 == status, lines


def test_a_wrapper_without_profiles(doctor: Doctor) -> None:
    """For a WrapSpawner its child is checked, with the settings of child_config."""
    wrapper = """
c.JupyterHub.spawner_class = "unispawner.WrapSpawner"
c.WrapSpawner.child_class = "unispawner.SlurmSpawner"
c.WrapSpawner.child_config = {"batch_cancel_cmd": "nosuch"}
"""
    wrong = doctor.wrong(TORQUE + wrapper)
    assert "c.SlurmSpawner.batch_cancel_cmd: nosuch not found" in wrong
    assert 1 == main(["doctor", "-f", str(doctor.config)])


SITE = """
import unispawner
class Site(unispawner.WrapSpawner):
    def construct_child(self):
        self.child_class = "unispawner.SlurmSpawner"
        self.child_config = {"batch_cancel_cmd": "nosuch"}
        super().construct_child()
c.JupyterHub.spawner_class = Site
"""


def test_a_wrapper_of_a_site(doctor: Doctor) -> None:
    """A site's own construct_child, which returns nothing, is called like wrapspawner's."""
    assert "c.SlurmSpawner.batch_cancel_cmd: nosuch not found" in doctor.wrong(TORQUE + SITE)


def test_a_wrapper_of_a_site_that_needs_a_user(doctor: Doctor) -> None:
    """A site's own construct_child that reads the user's name is checked with a name."""
    site = SITE.replace("self.child_config = ", "self.user.name; self.child_config = ")
    assert "c.SlurmSpawner.batch_cancel_cmd: nosuch not found" in doctor.wrong(TORQUE + site)


def test_a_wrapper_of_a_site_that_needs_a_choice(doctor: Doctor) -> None:
    """What a site's own construct_child makes of a choice can't be known: it is pointed at, and
    the rest is checked."""
    site = SITE.replace("self.child_config = ", "self.user_options['size']; x = ")
    status, lines = doctor(TORQUE + site)
    assert 0 == status
    (line,) = [line for line in lines if line.startswith("look at child: ")]
    assert "Site.construct_child fails for a user who has chosen nothing: KeyError: 'size'" in line


def test_a_class_of_a_site_that_needs_a_user(doctor: Doctor) -> None:
    """A template that code of a site's class makes of the user is pointed at: it isn't checked."""
    site = """
import unispawner
class Site(unispawner.TorqueSpawner):
    batch_script = property(lambda self: self.user.name)
c.JupyterHub.spawner_class = Site
"""
    status, lines = doctor(TORQUE + site)
    (found,) = [line for line in lines if line.startswith("look at ")]
    assert found.startswith("look at job: batch_script: code of the site's own needs a user")
    assert 0 == status, lines


# -- the Hub itself -----------------------------------------------------------------------------


def test_where_the_api_is(doctor: Doctor) -> None:
    """The line about the Hub has the address of the API, and for all addresses a name."""
    line = "c.JupyterHub.hub_connect_ip = 'hub.example.org'"
    for config, address in (
        (UNISPAWNER, API),
        (f"{UNISPAWNER}\n{line}", "hub.example.org"),
        (f"{UNISPAWNER}\nc.JupyterHub.hub_bind_url = 'http://:9081'", "http://:9081"),
        (f"{UNISPAWNER}\nc.JupyterHub.hub_ip = '127.0.0.1'", "127.0.0.1"),
    ):
        status, lines = doctor(config)
        assert f"ok      hub: UniSpawner, the API at {address}" in lines
        assert 0 == status, lines


@pytest.mark.parametrize(
    ("line", "text"),
    [
        # 192.0.2.0/24 is for documentation (RFC 5737), so that no host has such an address.
        (
            'c.JupyterHub.hub_ip = "192.0.2.77"',
            "c.JupyterHub.hub_ip: 192.0.2.77 is not an address of this host, so a Hub can't start",
        ),
        (
            'c.UniSpwaner.queue_name = "long"',
            "c.UniSpwaner: there is no class of this name; did you mean c.UniSpawner?",
        ),
        ("c.Jupyterhub.port = 80", "c.Jupyterhub: there is no class of this name; did you mean"),
    ],
)
def test_what_to_look_at(doctor: Doctor, line: str, text: str) -> None:
    """What is probably a mistake is pointed at; it may be right on another host."""
    status, lines = doctor(f"{UNISPAWNER}\n{line}")
    (found,) = [line for line in lines if line.startswith("look at ")]
    assert found.startswith(f"look at hub: {text}")
    assert 0 == status, lines


def test_a_host_name_that_can_not_be_resolved(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub_ip that is a name without an address is pointed at."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    _, lines = doctor(f'{UNISPAWNER}\nc.JupyterHub.hub_ip = "hbu"')
    (found,) = [line for line in lines if line.startswith("look at ")]
    assert "hub_ip: hbu can't be resolved (Name or service not known)" in found


def test_sections_of_classes_that_are_not_loaded(doctor: Doctor) -> None:
    """The settings of other classes are not pointed at, loaded or not."""
    others = "c.LDAPAuthenticator.port = c.ConfigurableHTTPProxy.debug = c.KubeSpawner.x = 1"
    _, lines = doctor(f"{UNISPAWNER}\n{others}\nc.Spawner.debug = True")
    assert [] == [line for line in lines if line.startswith("look at ")]


def test_internal_ssl(doctor: Doctor) -> None:
    """With internal_ssl the Hub's certificate must name the address at which the nodes reach it."""
    address = 'c.JupyterHub.internal_ssl = True\nc.JupyterHub.hub_connect_ip = "10.1.2.3"'
    _, lines = doctor(f"{UNISPAWNER}\n{address}")
    assert any(
        "c.JupyterHub.trusted_alt_names: the nodes or the proxy reach the Hub at 10.1.2.3" in line
        for line in lines
        if line.startswith("WRONG")
    )
    named = 'c.JupyterHub.trusted_alt_names = ["IP:10.1.2.3"]'
    _, lines = doctor(f"{UNISPAWNER}\n{address}\n{named}")
    assert not any("trusted_alt_names" in line for line in lines)
    elsewhere = 'c.Spawner.hub_connect_url = "http://hub.example.org:8081"'
    _, lines = doctor(f"{UNISPAWNER}\n{address}\n{named}\n{elsewhere}")
    (found,) = [line for line in lines if "trusted_alt_names" in line]
    assert "reach the Hub at hub.example.org" in found
    assert "add 'DNS:hub.example.org'" in found
    assert "'http://hub.example.org:8081' must begin with https://" in found


def test_internal_ssl_of_a_hub_that_listens_everywhere(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy then uses the host's short name, and the certificate has the full one by itself."""
    monkeypatch.setattr(socket, "gethostname", lambda: "hub")
    monkeypatch.setattr(socket, "getfqdn", lambda *_: "hub.example.org")
    everywhere = 'c.JupyterHub.internal_ssl = True\nc.JupyterHub.hub_ip = "0.0.0.0"'
    _, lines = doctor(f"{UNISPAWNER}\n{everywhere}")
    assert any("add 'DNS:hub'" in line for line in lines)
    url = 'c.JupyterHub.hub_connect_url = "https://hub.example.org:8081"'
    _, lines = doctor(f"{UNISPAWNER}\n{everywhere}\n{url}")
    assert not any("trusted_alt_names" in line for line in lines)


def test_local_servers_of_a_hub_that_is_not_root(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile whose spawner needs root is pointed at, unless the Hub is root."""
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    monkeypatch.setenv("LOGNAME", "hub")
    simple = 'c.ProfilesSpawner.profiles[1] = ("S", "s", "simple", {})'
    status, lines = doctor(f"{PROFILES}\n{simple}")
    found = [line for line in lines if line.startswith("look at ")]
    text = "LocalProcessSpawner can start servers as their users only if the Hub runs as root"
    assert [f"look at profile hub: spawner: {text}, and this is hub"] == found
    assert 0 == status, lines


# -- the scheduler ------------------------------------------------------------------------------


def test_checks_that_need_the_scheduler(doctor: Doctor) -> None:
    """Without a scheduler one line is wrong, and what needs the scheduler is skipped."""
    config = (
        UNISPAWNER.replace("local", "auto")
        + 'c.UniSpawner.scheduler_environment = {"PATH": "/none"}'
    )
    wrong = doctor.wrong(config, "--account", "nobody")
    assert wrong.startswith("WRONG   scheduler: no scheduler's commands were found in /none.")
    _, lines = doctor(config, "--account", "nobody")
    skipped = [line.partition(":") for line in lines if line.startswith("skipped ")]
    names = ["skipped job", "skipped commands", "skipped query", "skipped account"]
    assert names == [name for name, _, _ in skipped]
    assert {" this check needs the scheduler, which is WRONG above"} == {
        text for _, _, text in skipped
    }


def test_a_scheduler_path_without_a_folder(doctor: Doctor, tmp_path: Path) -> None:
    """A scheduler_path that is not a folder is pointed at, where the commands are elsewhere."""
    paths = f'c.UniSpawner.scheduler_path = "{doctor.programs}:{tmp_path}/none"'
    config = UNISPAWNER.replace("local", "slurm")
    _, lines = doctor(f"{config}\n{paths}")
    (found,) = [line for line in lines if " commands: " in line]
    text = f"c.UniSpawner.scheduler_path: {tmp_path}/none is not a folder of this host; found"
    assert found.startswith(f"look at commands: {text}")
    assert f"{doctor.programs}/sbatch" in found


def test_a_scheduler_that_is_wrong_is_reported_once(doctor: Doctor) -> None:
    """The profiles that need it are skipped; their own mistakes are still reported."""
    profiles = [
        {"display_name": name, "slug": name, "config": config}
        for name, config in (("a", {}), ("b", {}), ("c", {"no_such": 1}))
    ]
    for name in ("sbatch", "squeue", "scancel", "qsub", "qstat", "qdel"):
        (doctor.programs / name).unlink()
    status, lines = doctor(
        "c.JupyterHub.spawner_class = 'unispawner.ProfilesSpawner'\n"
        "c.JupyterHub.hub_ip = '0.0.0.0'\nc.UniSpawner.run_as = 'sudo'\n"
        "c.UniSpawner.agent_python = '/bin/sh'\n"
        f"c.UniSpawner.scheduler_environment = {{'PATH': {str(doctor.programs)!r}}}\n"
        f"c.ProfilesSpawner.profiles = {profiles!r}\n"
    )
    assert 1 == status
    wrong = [line.split(":")[0] for line in lines if line.startswith("WRONG")]
    assert ["WRONG   scheduler", "WRONG   profile c"] == wrong
    assert 2 == sum(line.startswith("skipped profile ") for line in lines)


@pytest.mark.parametrize("cls", ["unispawner", "unispawner.SlurmSpawner"])
@pytest.mark.parametrize(
    ("nodes", "right"), [([HERE], True), ([HERE, "node2"], False), (["node1"], False), ([], False)]
)
def test_one_machine(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, cls: str, nodes: list[str], right: bool
) -> None:
    """The Hub's own address is right if the scheduler's only node is this host."""

    async def get(self: object) -> Inventory:
        return Inventory(nodes=tuple(map(Node, nodes)))

    monkeypatch.setattr(InventoryCache, "get", get)
    _, lines = doctor(
        f"c.JupyterHub.spawner_class = {cls!r}\nc.UniSpawner.scheduler = 'slurm'\n"
        f"c.UniSpawner.scheduler_path = {str(doctor.programs)!r}\n"
    )
    (hub,) = [line for line in lines if " hub: " in line]
    assert right is hub.startswith("ok ")


@pytest.mark.parametrize(
    ("host_map", "line"),
    [
        (r'{r"n(\d+)": r"n\1-ib"}', "ok      host_map: n1 becomes n1-ib, n2 becomes n2-ib"),
        ('{"n*": "n-ib"}', "look at host_map: host_map: it changes the name of none .*: n1, n2;"),
        ('lambda: "n-ib"', "look at host_map: c.UniSpawner.host_map failed for .*'n1': TypeError"),
    ],
)
def test_host_map_is_tried_on_the_nodes(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, host_map: str, line: str
) -> None:
    """A table that matches no node, and a function that fails for a node, are pointed at."""

    async def get(self: object) -> Inventory:
        return Inventory(nodes=(Node("n1"), Node("n2")))

    monkeypatch.setattr(InventoryCache, "get", get)
    _, lines = doctor(f"{UNISPAWNER}\nc.UniSpawner.host_map = {host_map}")
    assert [line] == [line for found in lines if re.match(line, found)], lines


def test_a_wrong_folder_is_wrong_in_the_job(doctor: Doctor) -> None:
    """A folder with a wrong placeholder, which the Hub's start refuses, is WRONG without a user."""
    message = doctor.wrong(f"{UNISPAWNER}\nc.UniSpawner.log_dir = '{{home}}/logs'")
    assert "job: log_dir: '{home}/logs' must be an absolute path" in message


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ('c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:5432"', True),
        ('c.ConfigurableHTTPProxy.api_url = "https://127.0.0.1:5432"', False),
        (
            'c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:5432"\n'
            "c.ConfigurableHTTPProxy.should_start = False",
            False,
        ),
        (
            'c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:5432"\n'
            "c.JupyterHub.internal_ssl = False",
            False,
        ),
    ],
)
def test_the_api_of_a_proxy_with_internal_ssl(doctor: Doctor, lines: str, wrong: bool) -> None:
    """The proxy that the Hub starts speaks TLS with internal_ssl, so its URL must say https."""
    _, found = doctor(f"{UNISPAWNER}\nc.JupyterHub.internal_ssl = True\n{lines}")
    named = [line for line in found if "c.ConfigurableHTTPProxy.api_url" in line]
    assert wrong == bool(named)
    assert not wrong or "write 'https://127.0.0.1:5432'" in named[0]
