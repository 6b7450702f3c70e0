"""The checks of ``unispawner doctor`` for profiles and wrappers."""

from __future__ import annotations

import pytest
from support.doctor import PROFILES, TORQUE, Doctor

from unispawner.admin.cli import main


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
    assert ["scheduler", "hub", "commands", "commands", "query", "agent_python"] == [
        line.split()[1].rstrip(":") for line in lines[1:] if " profile" not in line
    ]


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
