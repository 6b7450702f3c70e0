"""The recipe of the container's image, deploy/container; `ci/deploy` lints it with hadolint."""

from __future__ import annotations

import configparser
import re

from packaging.requirements import Requirement
from support import CHECKOUT

FOLDER = CHECKOUT / "deploy" / "container"


def steps() -> list[tuple[str, str]]:
    """Return the steps of the recipe: each a word and its arguments."""
    text = re.sub(r"^\s*#.*\n", "", (FOLDER / "Containerfile").read_text(), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def last_stage() -> list[tuple[str, str]]:
    """Return the steps of which the image is made; the stages before are thrown away."""
    found = steps()
    begin = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[begin:]


def test_the_image_runs_as_an_ordinary_user() -> None:
    """What runs in the container has a number as its account, which is not 0."""
    words = [word for word, _ in last_stage()]
    assert ("USER", "1000:1000") in last_stage()
    assert set() == {"RUN", "COPY"} & set(words[words.index("USER") :])


def test_the_image_has_no_secret_and_no_way_up() -> None:
    """The image gets no key, token or configuration, no sudo and no compiler."""
    text = " ".join(rest for _, rest in last_stage())
    assert not re.search(r"\b(sudo|gcc|build-essential|npm|TOKEN|PASSWORD|known_hosts)\b", text)
    copied = [rest for word, rest in last_stage() if word == "COPY"]
    assert ["--from=proxy /opt/hub-proxy /opt/hub-proxy", "--from=hub /opt/hub /opt/hub"] == copied


def test_what_is_built_is_all_that_is_sent() -> None:
    """The context of a build has the files of the package, and not .git or a secret beside it."""
    lines = (FOLDER / "Containerfile.containerignore").read_text().splitlines()
    assert "*" == next(line for line in lines if not line.startswith("#"))
    named = [line[1:] for line in lines if line.startswith("!")]
    assert [] == [name for name in named if not (CHECKOUT / name).exists()]
    manifest = configparser.ConfigParser()
    manifest.read(CHECKOUT / "setup.cfg")
    assert set(manifest["metadata"]["license_files"].split()) <= set(named)


def test_every_release_is_fixed_and_allowed() -> None:
    """constraints.txt names one release for each package, and setup.cfg allows those it names."""
    lines = (FOLDER / "constraints.txt").read_text().splitlines()
    fixed = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    needed = [
        Requirement(line)
        for line in setup["options"]["install_requires"].splitlines()
        if line and not line.startswith("#")
    ]
    assert needed
    names = {one.name: one.name.lower().replace("_", "-") for one in needed}
    found = {name.replace("_", "-"): release for name, release in fixed.items()}
    assert [] == [str(one) for one in needed if found[names[one.name]] not in one.specifier]


def test_the_document_uses_the_recipe() -> None:
    """docs/hub-elsewhere.md names the recipe, and has no copy of it."""
    page = (CHECKOUT / "docs" / "hub-elsewhere.md").read_text()
    assert "-f deploy/container/Containerfile" in page
    assert "FROM " not in page
