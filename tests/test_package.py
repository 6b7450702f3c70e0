"""What is released: the wheel and the sdist; `test_public_names.py` has what is imported."""

from __future__ import annotations

import configparser
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from support import CHECKOUT

import unispawner

SOURCES = ("unispawner/", "legacy_templates/", "psij-descriptors/")


def repository_files() -> list[str]:
    """Return the paths of all files of the repository, also those not yet added to git."""
    git = ["git", "-c", "safe.directory=*", "-C", str(CHECKOUT)]
    listing = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        output = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
        found = {path for path in output.split("\0") if path}
    except (OSError, subprocess.CalledProcessError):  # an unpacked sdist, a machine without git
        found = {str(path.relative_to(CHECKOUT)) for path in CHECKOUT.rglob("*")}
    return sorted(
        path
        for path in found
        if (CHECKOUT / path).is_file() and not {"__pycache__", ".git"} & {*Path(path).parts}
    )


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist, and the wheel that was built from it."""
    source = tmp_path_factory.mktemp("source")
    for path in repository_files():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / path, source / path)
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(source),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> dict[str, str]:
    """Return the text of each file in the wheel."""
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}


def metadata_file(wheel: dict[str, str], name: str) -> str:
    (path,) = [path for path in wheel if path.endswith(f".dist-info/{name}")]
    return wheel[path]


def test_wheel_has_every_file_of_the_package(wheel: dict[str, str]) -> None:
    """Templates, styles and py.typed are in the wheel where code looks for them."""
    files = [path for path in repository_files() if path.startswith(SOURCES)]
    expected = {path.replace("legacy_templates/", "unispawner/legacy_templates/") for path in files}
    assert {"unispawner/py.typed", "unispawner/legacy_templates/README.md"} <= expected
    assert expected == {path for path in wheel if not _is_beside(path)}


def _is_beside(path: str) -> bool:
    return ".dist-info/" in path or ".data/scripts/" in path


def test_wheel_has_only_our_package(wheel: dict[str, str]) -> None:
    """The wheel installs our package and PSI/J's folder, and neither tests nor CI."""
    top = {PurePosixPath(path).parts[0] for path in wheel}
    name = f"unispawner-{unispawner.__version__}"
    assert {"unispawner", "psij-descriptors", f"{name}.dist-info", f"{name}.data"} == top


def test_wheel_has_the_script_of_the_broker(wheel: dict[str, str]) -> None:
    """The script that a line of sudoers names is installed as it is: a first line that names
    Python would lose its -I."""
    (path,) = [path for path in wheel if ".data/" in path]
    assert path.endswith(".data/scripts/unispawner-broker")
    assert wheel[path].startswith("#!/bin/sh\n")
    assert (CHECKOUT / "scripts/unispawner-broker").read_text() == wheel[path]


def test_sdist_has_what_a_tester_needs(dist: Path) -> None:
    """The sdist has the sources, the tests, CI and the documents, so it can be built and tested."""
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    folders = (*SOURCES, "tests/", "ci/", "docs/")
    expected = {path for path in repository_files() if path.startswith(folders)}
    documents = {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "pyproject.toml",
        "setup.cfg",
    }
    assert set() == (expected | documents) - packed


def test_entry_points(wheel: dict[str, str]) -> None:
    """The names "unispawner" and "unispawner-profiles" and the command are entry points to ours."""
    parser = configparser.ConfigParser()
    parser.read_string(metadata_file(wheel, "entry_points.txt"))
    assert {
        "unispawner": "unispawner.servers.spawner:UniSpawner",
        "unispawner-profiles": "unispawner.profiles.spawner:ProfilesSpawner",
    } == dict(parser["jupyterhub.spawners"])
    assert {"unispawner": "unispawner.admin.cli:main"} == dict(parser["console_scripts"])


def test_metadata(wheel: dict[str, str]) -> None:
    """The wheel has our name and version, the license, the range of Python and the pinned PSI/J."""
    lines = metadata_file(wheel, "METADATA").splitlines()
    assert "Name: unispawner" in lines
    assert f"Version: {unispawner.__version__}" in lines
    (python,) = [line for line in lines if line.startswith("Requires-Python:")]
    assert {">=3.10", "<3.14"} == {part.strip() for part in python.partition(":")[2].split(",")}
    assert "Requires-Dist: psij-python==0.9.11" in [
        line.replace(" (", "").rstrip(")") for line in lines
    ]
    license_files = [path for path in wheel if path.endswith("/LICENSE")]
    assert 1 == len(license_files)
    assert wheel[license_files[0]].startswith("BSD 3-Clause License")


def test_setup_cfg_lists_every_package() -> None:
    """setup.cfg names every folder of modules; the wheel would lack a folder that it does not
    name."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    listed = set(setup["options"]["packages"].split()) - {
        "psij-descriptors",
        "unispawner.legacy_templates",
    }
    modules = [Path(path) for path in repository_files() if path.startswith("unispawner/")]
    folders = {".".join(path.parent.parts) for path in modules if path.suffix == ".py"}
    assert folders == listed


def test_what_is_tested_is_the_wheel() -> None:
    """ci/test tests the installed wheel; Python does not find the checkout."""
    if "UNISPAWNER_TEST_WHEEL" not in os.environ:
        pytest.skip("not run by ci/test: the checkout may be what is tested")
    assert CHECKOUT not in Path(unispawner.__file__).resolve().parents
    assert str(CHECKOUT) not in sys.path


def test_installed_entry_point_is_the_public_class() -> None:
    """JupyterHub finds `unispawner.UniSpawner` under the name "unispawner"."""
    (entry,) = importlib.metadata.entry_points(group="jupyterhub.spawners", name="unispawner")
    assert unispawner.UniSpawner is entry.load()


def test_no_file_names_the_place_it_was_written_at() -> None:
    """No file of the repository names the folder of the checkout."""
    # ci/test may run this in a copy.
    places = {str(CHECKOUT), os.environ.get("UNISPAWNER_TEST_CHECKOUT", str(CHECKOUT))}
    guilty = [
        path
        for path in repository_files()
        if any(place.encode() in (CHECKOUT / path).read_bytes() for place in places)
    ]
    assert [] == guilty
