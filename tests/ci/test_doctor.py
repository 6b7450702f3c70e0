"""docs/doctor.md: what doctor prints for each of the sites of ci/doctor, in today's words."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from support import CHECKOUT

import unispawner.admin.doctor as package

SCRIPT: dict[str, Any] = runpy.run_path(str(CHECKOUT / "ci" / "doctor"))
PAGE = (CHECKOUT / "docs" / "doctor.md").read_text()
MADE = PAGE.partition(SCRIPT["BEGIN"])[2]


def words_of_code() -> list[str]:
    """Return the longer texts of doctor's code."""
    trees = (ast.parse(file.read_text()) for file in Path(package.__path__[0]).rglob("*.py"))
    constants = (
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)
    )
    found = [str(one.value) for one in constants if isinstance(one.value, str)]
    return [" ".join(one.split()) for one in found if len(one) >= 20]


def test_the_page_is_of_these_sites() -> None:
    """The page was made by ci/doctor as it is now, and has a section for each site."""
    assert f", of the sites {SCRIPT['fingerprint']()} -->" in MADE, "run ci/doctor"
    assert [f"### {site.about}" for site in SCRIPT["SITES"]] == re.findall(r"(?m)^### .*", MADE)
    assert 9 == len(SCRIPT["SITES"])


@pytest.mark.parametrize("site", SCRIPT["SITES"][1:], ids=lambda site: site.name)
def test_what_a_broken_site_prints(site: Any) -> None:
    """The page shows the check that finds the fault, with words that the code has today."""
    section = MADE.partition(f"### {site.about}\n")[2].partition("\n### ")[0]
    shown = " ".join(section.split())
    assert re.search(rf"(WRONG|look at) +{site.finds}: ", section)
    assert site.config.strip() in section
    assert any(words in shown for words in words_of_code()), "run ci/doctor"


def test_the_page_names_every_line_of_a_probe() -> None:
    """Each check of a probe is in the page's table."""
    source = (Path(package.__path__[0]) / "probe" / "verdicts.py").read_text()
    names = set(re.findall(r'_(?:ok|look|wrong)\(\s*"(\w+)"', source))
    assert len(names) > 10
    assert [] == sorted(name for name in names if f"`probe {name}`" not in PAGE)
