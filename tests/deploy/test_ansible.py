"""The Ansible role of deploy/ansible: its variables and what it writes; `ci/deploy` lints it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from support import CHECKOUT

ROLE = CHECKOUT / "deploy" / "ansible" / "roles" / "unispawner"
UNITS = CHECKOUT / "deploy" / "systemd"


def load(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text())


OPTIONS = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
DEFAULTS = load("defaults/main.yml")


def tasks() -> list[dict[str, Any]]:
    return [
        task
        for path in sorted((ROLE / "tasks").glob("*.yml"))
        for task in load(f"tasks/{path.name}")
    ]


def find(name: str) -> dict[str, Any]:
    (task,) = [task for task in tasks() if task["name"] == name]
    return task


def render(text: str, **given: object) -> Any:
    """Render as Ansible does: a text that is an expression and nothing else gives its value."""
    kinds = {"file": Path.read_text}

    def lookup(kind: str, path: str) -> str:
        return kinds[kind.rpartition(".")[2]](Path(path)).rstrip("\n")

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.globals["lookup"] = lookup
    values = {**DEFAULTS, "unispawner_units": str(UNITS), **given}
    whole = re.fullmatch(r"\s*\{\{(.*)\}\}\s*", text, re.S)
    if whole and "}}" not in whole[1]:
        return environment.compile_expression(whole[1].strip(), undefined_to_none=False)(**values)
    return environment.from_string(text).render(**values)


def test_every_variable_is_documented() -> None:
    """Each variable has its line in argument_specs.yml, with the default that it has."""
    assert set(DEFAULTS) == set(OPTIONS) - {"unispawner_config"}
    assert {name: OPTIONS[name]["default"] for name in DEFAULTS} == DEFAULTS
    assert OPTIONS["unispawner_config"]["required"]
    assert [] == [name for name, option in OPTIONS.items() if not option["description"].strip()]


def test_the_tasks_use_documented_variables_only() -> None:
    """Tasks and templates use no variable that is neither documented nor the role's own."""
    text = "\n".join(
        path.read_text()
        for folder in ("tasks", "templates", "handlers", "vars")
        for path in (ROLE / folder).iterdir()
    )
    own = {*load("vars/main.yml"), *load("vars/Debian.yml")}
    registered = {task["register"] for task in tasks() if "register" in task}
    files = {"unispawner"}
    used = set(re.findall(r"\bunispawner_\w+", text))
    assert set() == used - set(OPTIONS) - own - registered - files
    assert set() == set(OPTIONS) - used


def test_each_distribution_has_the_same_variables() -> None:
    """What differs between distributions is set for each of them."""
    assert set(load("vars/Debian.yml")) == set(load("vars/RedHat.yml"))


@pytest.mark.parametrize(
    "config",
    ['c.UniSpawner.scheduler = "slurm"', 'c.A.b = "{{ not a template }}"\nc.A.d = {"é": 1}\n'],
)
def test_the_configuration_is_the_sites_and_the_proxys(config: str) -> None:
    """jupyterhub_config.py has the site's text as it is, the lines for the proxy, and is Python."""
    template = (ROLE / "templates" / "jupyterhub_config.py.j2").read_text()
    made = render(template, unispawner_config=config)
    ast.parse(made)
    assert config in made
    assert (UNITS / "hub-and-proxy.py").read_text().strip() in made


@pytest.mark.parametrize(
    ("given", "units", "timers"),
    [
        ({}, ["jupyterhub-backup.service"], ["jupyterhub-backup.timer"]),
        ({"unispawner_backup": False}, [], []),
        (
            {"unispawner_backup": False, "unispawner_probe": {"url": "u"}},
            ["unispawner-probe.service"],
            ["unispawner-probe.timer"],
        ),
    ],
)
def test_which_units_are_installed(
    given: dict[str, Any], units: list[str], timers: list[str]
) -> None:
    """The Hub and the proxy are always installed; the back-up and the probe as the site says."""
    names = load("vars/main.yml")
    found = render(names["unispawner_service_units"], **given)
    assert ["jupyterhub-proxy.service", "jupyterhub.service", *units] == found
    assert timers == render(names["unispawner_timer_units"], **given)
    assert [] == [name for name in found + timers if not (UNITS / name).exists()]


@pytest.mark.parametrize("name", sorted(path.name for path in UNITS.glob("*.service")))
def test_units_are_the_published_ones(name: str) -> None:
    """With the default folders the role installs the very files of deploy/systemd."""
    content = find("Install the units")["ansible.builtin.copy"]["content"]
    assert (UNITS / name).read_text().rstrip("\n") == render(content, item=name).rstrip("\n")


def test_units_follow_the_folders() -> None:
    """With other folders the units start what is there, and nothing below the default ones."""
    content = find("Install the units")["ansible.builtin.copy"]["content"]
    given = {"unispawner_venv": "/srv/hub", "unispawner_proxy_folder": "/srv/proxy"}
    for path in UNITS.glob("*.service"):
        made = render(content, item=path.name, **given)
        assert not re.search(r"/opt/", made), path.name
        assert "/srv/" in made


def test_secrets_are_not_logged_and_not_readable() -> None:
    """What writes a secret has no_log, and the file is root's alone."""
    writers = [find("Make the secret of the Hub and the proxy"), find("Tell the probe whom it is")]
    assert [True, True] == [task["no_log"] for task in writers]
    modes = {task["ansible.builtin.copy"]["mode"] for task in writers}
    assert {"0600"} == modes
    assert writers[0]["ansible.builtin.copy"]["force"] is False, "a second run keeps the secret"
    assert OPTIONS["unispawner_probe"]["options"]["token"]["no_log"]


def test_the_line_of_sudoers_is_unispawners_own_and_checked() -> None:
    """The role writes the line that `unispawner doctor --sudoers` prints, after visudo's check."""
    command = find("Ask unispawner for the line of sudoers")["ansible.builtin.command"]["argv"]
    assert ["doctor", "--sudoers"] == command[1:3]
    written = find("Install the line of sudoers")["ansible.builtin.copy"]
    assert ("visudo -cf %s", "0440") == (written["validate"], written["mode"])


def test_every_command_says_whether_it_changed_something() -> None:
    """A second run reports no change: each command says when it changes something."""
    commands = [task for task in tasks() if "ansible.builtin.command" in task]
    assert commands
    assert [] == [task["name"] for task in commands if "changed_when" not in task]
