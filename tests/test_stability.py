"""docs/stability.md: the names that it promises exist, and no public name is missing there."""

from __future__ import annotations

import argparse
import configparser
import importlib.metadata
import re
import subprocess
import sys

from support import CHECKOUT

import unispawner
from unispawner import testing
from unispawner.admin import cli
from unispawner.servers import routes, state

PAGE = (CHECKOUT / "docs" / "stability.md").read_text()


def names_after(words: str) -> list[str]:
    """Return the names between backticks of the paragraph that begins with these words."""
    paragraph = re.search(rf"^\*\*{re.escape(words)}.*?(?=\n\n)", PAGE, re.M | re.S)
    assert paragraph, words
    return re.findall(r"`([^`\s]+)`", paragraph[0].split("**", 2)[2])


def test_names_of_the_package() -> None:
    """The page lists each name of the package."""
    promised = names_after("Names of `import unispawner`")
    assert sorted(set(unispawner.__all__) - {"__version__"}) == sorted(promised)


def test_names_for_tests() -> None:
    """The names for others' tests exist, and are documented."""
    promised = names_after("Names of `import unispawner.testing`")
    assert promised
    assert set() == set(promised) - set(testing.__all__)


def test_entry_points() -> None:
    """JupyterHub finds our spawners under the names of the page."""
    found = [
        entry.name
        for entry in importlib.metadata.entry_points(group="jupyterhub.spawners")
        if entry.value.startswith("unispawner.")
    ]
    assert sorted(set(found)) == sorted(names_after("Entry points of JupyterHub"))


def test_commands() -> None:
    """The page lists each command of `unispawner`, and no other."""
    parser = cli._parser()
    (commands,) = [
        set(action.choices)
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    promised = names_after("Commands of `unispawner`")
    assert commands == set(promised)


def test_options_of_the_broker() -> None:
    """The broker takes the options that lines of sudoers have."""
    command = [sys.executable, "-I", "-m", "unispawner.broker", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    shown = set(re.findall(r"--[\w-]+", done.stdout)) - {"--help"}
    promised = {name for name in names_after("What sudo and sshd name") if name.startswith("--")}
    assert shown == promised


def test_paths_of_the_api() -> None:
    """A handler of ours answers at each path of the page, and each handler has a path there."""
    paths = re.findall(r"^- `/hub(/api/[^`]+)`$", PAGE, re.M)
    patterns = [route[0] for route in routes.ROUTES if "unispawner" in route[0]]
    patterns = [pattern for pattern in patterns if pattern.startswith("/api/")]
    assert paths
    for path in paths:
        assert any(re.fullmatch(route[0], path) for route in routes.ROUTES), path
    unnamed = [one for one in patterns if not any(re.fullmatch(one, path) for path in paths)]
    assert unnamed == OF_OUR_PAGES


OF_OUR_PAGES = ["/api/unispawner/starts", "/api/unispawner/presets/([^/]+)"]
"""What our own pages ask for; nothing else is promised of them."""


def test_the_version_of_the_state() -> None:
    """The page says the version of what the Hub's database keeps."""
    assert f"Each state says its version, which is `{state.VERSION}`" in " ".join(PAGE.split())


def test_what_it_runs_on() -> None:
    """The page and setup.cfg name the same releases of Python and JupyterHub."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    classifiers = re.findall(r"Python :: (3\.\d+)$", setup["metadata"]["classifiers"], re.M)
    low, high = re.findall(r"3\.(\d+)", setup["options"]["python_requires"])
    assert [f"3.{minor}" for minor in range(int(low), int(high))] == classifiers
    assert f"| {classifiers[0]} to {classifiers[-1]} |" in PAGE
    (hub,) = re.findall(r"^jupyterhub>=(\S+),<(\d+)$", setup["options"]["install_requires"], re.M)
    assert ("5.3", "7") == hub
    assert "| JupyterHub | 5.3 and 6.1 |" in PAGE
