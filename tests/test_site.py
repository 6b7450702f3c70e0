"""docs/conf.py makes a site of pages that are also read in the repository; ci/docs builds it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from handbook.scheduler_pages import blocks
from jupyterhub.app import JupyterHub
from jupyterhub.scopes import scope_definitions
from support import CHECKOUT
from traitlets.config import Config

DOCS = CHECKOUT / "docs"


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("[a page](install.md#the-network)", "[a page](install.md#the-network)"),
        ("[there](https://example.org/x)", "[there](https://example.org/x)"),
        ("[here](#below)", "[here](#below)"),
        ("[how](../CONTRIBUTING.md#habits)", "[how](contributing.md#habits)"),
        ("[first](../README.md#try-it)", "[first](index.md)"),
        ("[`a test`](../tests/test_docs.py)", "`a test`"),
        ("![a picture](images/form.png)", "![a picture](images/form.png)"),
        ("```\n[x](../tests/a.py)\n```\n", "```\n[x](../tests/a.py)\n```\n"),
    ],
)
def test_links_out_of_the_documents_lead_to_the_site(
    conf: ModuleType, text: str, made: str
) -> None:
    """A link to a file that has a page leads there; of one without a page only the words are left;
    code and other links stay."""
    assert made == conf.lead_to_site(text, "docs", "docs")


def test_links_lead_to_the_repository_if_it_has_an_address(
    conf: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the address of the repository's files, links to files of it lead there."""
    monkeypatch.setattr(conf, "SOURCE", "https://example.org/unispawner/blob/main")
    made = conf.lead_to_site("[a test](../../tests/test_docs.py)", "docs/schedulers", "docs")
    assert "[a test](https://example.org/unispawner/blob/main/tests/test_docs.py)" == made


def test_a_copied_file_links_to_the_pages(conf: ModuleType) -> None:
    """CONTRIBUTING.md, which lies above docs/, links to the pages of the site."""
    made = conf.lead_to_site("[how](docs/how-it-works.md) [new](CHANGELOG.md)", ".", "docs")
    assert "[how](how-it-works.md) [new](changes.md)" == made
    for page, file in conf.COPIES.items():
        assert (DOCS / f"{page}.md").exists()
        assert (CHECKOUT / file).exists()


def test_each_page_is_in_one_menu(conf: ModuleType) -> None:
    """A page that no menu names comes under "More", and a page that does not exist is left out."""
    text = "```{toctree}\n:hidden:\n\ninstall\nnot-written-yet\n```\n"
    menus = "".join(conf._MENU.findall(conf.complete_menu(text)))
    lines = menus.split("\n")
    assert "not-written-yet" not in lines
    for path in DOCS.glob("*.md"):
        assert (0 if path.stem == "index" else 1) == lines.count(path.stem), path


def test_the_configurations_for_operating_set_what_there_is() -> None:
    """Each setting in the configurations of docs/operating.md exists, and has a value of its
    type; the scopes that a service gets are scopes of JupyterHub's."""
    config = Config()
    text = (DOCS / "operating.md").read_text(encoding="utf-8")
    found = blocks(text, "python")
    assert found
    for code in found:
        exec(code, {"c": config})
    assert {"JupyterHub"} == set(config)
    assert set(config.JupyterHub) <= set(JupyterHub.class_trait_names(config=True))
    JupyterHub(config=config)  # raises if a value has another type
    for role in config.JupyterHub.load_roles:
        assert set(role["scopes"]) <= set(scope_definitions)


def test_each_page_of_a_scheduler_is_in_its_menu() -> None:
    """The list of the schedulers names each of their pages, as a link and in the menu."""
    text = (DOCS / "schedulers.md").read_text(encoding="utf-8")
    for path in sorted(Path(DOCS / "schedulers").glob("*.md")):
        assert f"(schedulers/{path.name})" in text
        assert f"\nschedulers/{path.stem}\n" in text


@pytest.mark.parametrize("name", ["broker", "way-of-a-spawn", "who-asks-whom"])
def test_drawn_pictures_are_readable_by_everybody(name: str) -> None:
    """A picture that is drawn by hand has a title and a description for those who can't see it,
    a ground of its own, and other colours where the page is dark."""
    text = (DOCS / "images" / f"{name}.svg").read_text(encoding="utf-8")
    top = ElementTree.fromstring(text)
    named = {one.get("id"): one.text for one in top if one.get("id")}
    assert top.get("aria-labelledby", "").split() == ["title", "description"]
    assert named["title"] and len(named["description"] or "") > 80
    assert "prefers-color-scheme: dark" in text
    assert 'class="paper"' in text
