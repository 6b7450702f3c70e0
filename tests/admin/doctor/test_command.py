"""The lines for sudoers that ``unispawner doctor --sudoers`` prints."""

from __future__ import annotations

import pytest
from support.doctor import PROFILES, TORQUE, Doctor

from unispawner.admin.cli import main


@pytest.mark.parametrize(
    ("config", "tags"),
    [
        (TORQUE, "NOPASSWD:SETENV:"),
        (f'{TORQUE}\nc.TorqueSpawner.exec_prefix = "sudo -nE -u {{username}}"', "NOPASSWD:SETENV:"),
        (f'{TORQUE}\nc.TorqueSpawner.exec_prefix = "sudo -u {{username}}"', "NOPASSWD:"),
        (PROFILES, "NOPASSWD:SETENV:"),
        (f"{PROFILES}\nc.ProfilesSpawner.profiles = c.ProfilesSpawner.profiles[3:]", "NOPASSWD:"),
        (f"{PROFILES}\nc.ProfilesSpawner.profiles = lambda spawner: []", "NOPASSWD:"),
    ],
)
def test_the_sudoers_line(doctor: Doctor, config: str, tags: str) -> None:
    """batchspawner's ``sudo -E`` needs SETENV; profiles with the same Python share a line."""
    status, lines = doctor(config, "--sudoers", "--hub-account", "hub", "--group", "lab")
    assert (0, [f"hub ALL=(%lab) {tags} /bin/sh -I -m unispawner.agent"]) == (status, lines)


def test_a_sudoers_line_for_each_python(doctor: Doctor) -> None:
    """Each Python has a line with the tags that it needs."""
    config = f'{PROFILES}\nc.UniSpawner.agent_python = "/opt/hub/bin/python3"'
    _, lines = doctor(config, "--sudoers", "--hub-account", "hub", "--group", "lab")
    assert [
        "hub ALL=(%lab) NOPASSWD:SETENV: /bin/sh -I -m unispawner.agent",
        "hub ALL=(%lab) NOPASSWD: /opt/hub/bin/python3 -I -m unispawner.agent",
    ] == lines


@pytest.mark.parametrize(
    ("account", "group", "notes"),
    [
        ("root", "root", ["--hub-account: root needs no such line; name the Hub's account."]),
        (
            "no-such-hub",
            "no-such-group",
            [
                "--hub-account: this host has no account 'no-such-hub'.",
                "--group: this host has no group 'no-such-group'; create it.",
            ],
        ),
    ],
)
def test_notes_about_the_sudoers_line(
    doctor: Doctor, account: str, group: str, notes: list[str]
) -> None:
    """Names in the line that this host lacks are noted on standard error; the line is printed."""
    doctor.config.write_text(PROFILES)
    names = ["--hub-account", account, "--group", group]
    assert 0 == main(["doctor", "-f", str(doctor.config), "--sudoers", *names])
    out, err = doctor.capsys.readouterr()
    assert out.startswith(f"{account} ALL=(%{group}) ")
    assert notes == err.splitlines()


def test_a_value_that_all_profiles_refuse(doctor: Doctor) -> None:
    """A wrong value of a setting is not called a fault of ours, and no line for sudo is made up."""
    config = f'{PROFILES}\nc.ProfilesSpawner.profiles = [{{"display_name": "N"}}]'
    config += '\nc.UniSpawner.mine_interval = "4h"'
    status, lines = doctor(config)
    (line,) = [one for one in lines if one.startswith("WRONG   profile n:")]
    assert 1 == status
    assert "'mine_interval'" in line
    status, lines = doctor(config, "--sudoers")
    assert 1 == status
    assert ["WRONG   profiles: none of them makes a server; `unispawner doctor` says why"] == lines


def test_a_group_that_the_hub_does_not_name(doctor: Doctor) -> None:
    """A line for another group than the configuration's is printed with what to set."""
    doctor.config.write_text('c.JupyterHub.spawner_class = "unispawner"\n')
    names = ["--hub-account", "root", "--group", "root"]
    assert 0 == main(["doctor", "-f", str(doctor.config), "--sudoers", *names])
    assert doctor.capsys.readouterr().err.endswith(
        "--group: the Hub's own command names the group 'jupyterhub-users', and sudo would refuse "
        "it. Set c.UniSpawner.broker_group = 'root'.\n"
    )
