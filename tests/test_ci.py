"""The Python scripts in ci/: they can be imported, and the pages that they make are up to date."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.catalog import Message
from support import CHECKOUT


def load(name: str) -> ModuleType:
    """Import a script of ci/ without running it."""
    loader = SourceFileLoader(f"ci_{name}", str(CHECKOUT / "ci" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["bench", "estimates", "scale", "screenshots", "walk"])
def test_scripts_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts that need a cluster, and so are not run here, find at least their modules."""
    monkeypatch.setattr(sys, "path", list(sys.path))  # they add tests/ to it
    assert load(name).__doc__


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--typo"], "unknown option or value: --typo"),
        (["--port", "9x"], "unknown option or value: 9x"),
        (["--check", "--port"], "--port: the number is missing"),
    ],
)
def test_quickstart_refuses_options_before_it_installs(
    tmp_path: Path, arguments: list[str], text: str
) -> None:
    """ci/quickstart reports a wrong option at once, with its usage, and installs nothing."""
    folder = tmp_path / "demo"
    done = subprocess.run(
        [CHECKOUT / "ci" / "quickstart", *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "UNISPAWNER_DEMO_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (1, f"quickstart: {text}") == (done.returncode, done.stderr.splitlines()[0])
    assert "usage: ci/quickstart" in done.stderr
    assert not folder.exists()


def test_the_reference_is_up_to_date() -> None:
    """The pages and the table that ci/reference writes are up to date."""
    pages = load("reference").PAGES
    assert pages
    for page, made in pages.items():
        assert made(page.read_text()) == page.read_text(), f"run ci/reference for {page.name}"


def test_the_catalogues_are_complete() -> None:
    """Each text of the code has a translation in each catalogue, with the same names of values,
    and no catalogue has a text that the code does not have any more."""
    catalogues = load("catalogues")
    assert {"de", "fr"} <= {language for language, _ in catalogues.catalogues()}
    assert [] == catalogues.check(catalogues.extract())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no translation"),
        ("Job {jop} wartet", "has the names ['job'], 'Job {jop} wartet' has others"),
        ("Job {job} wartet ", "begins or ends with a blank"),
    ],
)
def test_what_is_wrong_in_a_catalogue(text: str, words: str) -> None:
    """A translation that is missing, or has other names of values, is named."""
    message = Message("Job {job} is queued", text)
    found = list(load("catalogues").problems("de", message))
    assert [f"de: 'Job {{job}} is queued' {words}"] == found


def test_the_dashboard_is_up_to_date() -> None:
    """deploy/monitoring/dashboard.json is what ci/dashboard writes."""
    made = load("dashboard")
    assert made.dashboard() == made.FILE.read_text(), "run ci/dashboard"


def test_the_page_of_threats_is_up_to_date() -> None:
    """docs/threats.md is what the markers on the tests say, and the markers are right."""
    done = subprocess.run(
        [sys.executable, CHECKOUT / "ci" / "threats", "--check"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
