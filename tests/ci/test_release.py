"""ci/release: what it refuses, and that what it builds does not depend on who builds it, and when.

`ci/test` lets it build this checkout twice.
"""

from __future__ import annotations

import importlib.util
import io
import json
import re
import subprocess
import tarfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
from support import CHECKOUT

import unispawner


@pytest.fixture(scope="module")
def release() -> ModuleType:
    """Return the script as a module."""
    loader = SourceFileLoader("ci_release", str(CHECKOUT / "ci" / "release"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository of a version that can be released."""
    (tmp_path / "unispawner").mkdir()
    (tmp_path / "unispawner" / "_version.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.2.0] - 2026-01-02\n\n- New.\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "x")
    return tmp_path


def test_the_version_has_one_place(release: ModuleType) -> None:
    """The version is read from _version.py, and no other file of the package's metadata has it."""
    assert unispawner.__version__ == release.read_version(CHECKOUT)
    places = ("setup.cfg", "pyproject.toml", "README.md", "deploy/ansible/site.yml")
    assert [] == [
        name for name in places if unispawner.__version__ in (CHECKOUT / name).read_text()
    ]


def test_the_lab_extension_has_one_version() -> None:
    """npm's and Python's metadata of unispawner-lab have the same version."""
    folder = CHECKOUT / "unispawner-lab"
    (version,) = re.findall(r'^version = "(.*)"', (folder / "pyproject.toml").read_text(), re.M)
    locked = json.loads((folder / "package-lock.json").read_text())
    assert version == json.loads((folder / "package.json").read_text())["version"]
    assert version == locked["version"]


def test_the_changelog_is_in_shape() -> None:
    """CHANGELOG.md begins with what is not released, and has the kinds of Keep a Changelog."""
    lines = (CHECKOUT / "CHANGELOG.md").read_text().splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert "## [Unreleased]" == versions[0]
    form = re.compile(r"## \[\d+\.\d+\.\d+\S*\] - \d{4}-\d\d-\d\d")
    assert [] == [line for line in versions[1:] if not form.fullmatch(line)]
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert set() == kinds - {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_what_can_be_released(release: ModuleType, repository: Path) -> None:
    """A version with its section of the changelog, and nothing uncommitted, can be released."""
    release.check_sources(repository)
    changelog = (repository / "CHANGELOG.md").read_text()
    assert "- New." == release.changes_of(changelog, "1.2.0").strip()


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("unispawner/_version.py", '__version__ = "1.2.1"\n', "no section of this version"),
        ("unispawner/_version.py", '__version__ = "1.2.0.dev0"\n', "development version"),
        ("unispawner/_version.py", "version = 1\n", "sets no __version__"),
        ("CHANGELOG.md", "## [1.2.0]\n\n- New.\n", "'## [1.2.0] - YEAR-MONTH-DAY'"),
        ("CHANGELOG.md", "## [1.2.0] - 2026-01-02\n\n## [1.1.0] - 2025-01-01\n\n- Old.\n", "empty"),
    ],
)
def test_what_is_refused(
    release: ModuleType, repository: Path, file: str, text: str, words: str
) -> None:
    """A version of development, and one of which the changelog says nothing, are refused."""
    (repository / file).write_text(text)
    git(repository, "commit", "-qam", "y")
    with pytest.raises(release.ReleaseError, match=re.escape(words)):
        release.check_sources(repository)


def test_where_a_release_is_put(release: ModuleType, tmp_path: Path) -> None:
    """A folder is emptied only if it has an earlier release."""
    release.check_out(tmp_path / "new")
    release.check_out(tmp_path)
    (tmp_path / "work").touch()
    for out in (tmp_path, tmp_path / "work"):
        with pytest.raises(release.ReleaseError, match="--out: "):
            release.check_out(out)
    (tmp_path / "SHA256SUMS").touch()
    release.check_out(tmp_path)


@pytest.mark.parametrize("name", ["new", "CHANGELOG.md"])
def test_a_dirty_tree_is_refused(release: ModuleType, repository: Path, name: str) -> None:
    """A file that is new or changed, and not committed, is named."""
    with (repository / name).open("a") as file:
        file.write("x")
    with pytest.raises(release.ReleaseError, match=f"not committed:\n.*{name}"):
        release.check_sources(repository)


def pack(path: Path, names: list[str], when: int) -> bytes:
    """Write an sdist, as somebody with another name would at another time."""
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"a-1/{name}")
            member.size, member.mtime, member.uid, member.uname = 1, when, when, f"user{when}"
            member.mode = 0o664 if when % 2 else 0o600
            archive.addfile(member, io.BytesIO(b"x"))
    return path.read_bytes()


def test_an_sdist_does_not_say_who_made_it(release: ModuleType, tmp_path: Path) -> None:
    """Two sdists of the same files are the same bytes, whoever made them; the files stay."""
    one, other = tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"
    assert pack(one, ["b", "c"], 1) != pack(other, ["c", "b"], 2)
    release.normalize_sdist(one, 1000)
    release.normalize_sdist(other, 1000)
    assert one.read_bytes() == other.read_bytes()
    with tarfile.open(one) as archive:
        assert {("a-1/b", 0o644, 1000), ("a-1/c", 0o644, 1000)} == {
            (member.name, member.mode, member.mtime) for member in archive
        }
        content = archive.extractfile("a-1/b")
        assert content and b"x" == content.read()


def test_a_second_build_that_differs_is_named(release: ModuleType, tmp_path: Path) -> None:
    """If a second build gives other bytes, the release fails with the file's name."""
    one, other = tmp_path / "one.whl", tmp_path / "other.whl"
    one.write_text("1")
    other.write_text("2")
    with pytest.raises(release.ReleaseError, match="one.whl: a second build"):
        release.compare([one], [other])


def test_the_bill_of_materials_has_what_is_needed(release: ModuleType) -> None:
    """The SBOM is about unispawner and lists what it needs, and not what else is installed."""
    parts = [{"bom-ref": name, "name": name} for name in ("unispawner", "jinja2", "six", "pytest")]
    needs = [
        {"ref": "unispawner", "dependsOn": ["jinja2"]},
        {"ref": "jinja2", "dependsOn": ["six"]},
        {"ref": "pytest", "dependsOn": ["six"]},
    ]
    made = release.only_needed({"components": parts, "dependencies": needs, "metadata": {}})
    assert "unispawner" == made["metadata"]["component"]["name"]
    assert ["jinja2", "six"] == [part["name"] for part in made["components"]]
    assert ["unispawner", "jinja2"] == [entry["ref"] for entry in made["dependencies"]]


def test_an_error_has_the_words_of_the_tool(release: ModuleType, tmp_path: Path) -> None:
    """If a tool refuses something, the release fails with the command and all that it printed."""
    with pytest.raises(release.ReleaseError, match=r"exit status 3\nout\nerr"):
        release.run(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path)
