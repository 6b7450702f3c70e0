"""The settings of Sphinx for the documentation site, which ci/docs builds.

The pages are also read as they are, in the repository. So their links are plain Markdown, and here
is what makes a site of them: a link to a file outside of docs/ leads to the page that the site has
of it, or to the repository if ``UNISPAWNER_DOCS_SOURCE`` is the address of its files. Otherwise
only its text is left.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from posixpath import normpath
from typing import Any

HERE = Path(__file__).resolve().parent
TOP = HERE.parent

project = "unispawner"
author = copyright = "The unispawner developers"
_VERSION = (TOP / "unispawner" / "_version.py").read_text(encoding="utf-8")
version = release = re.findall(r'^__version__ = "(.+)"', _VERSION, re.M)[0]

extensions = ["myst_parser", "jupyterhub_sphinx_theme"]
myst_enable_extensions = ["colon_fence", "deflist"]
# The anchors of headings are those that GitHub makes, down to this level.
myst_heading_anchors = 4
exclude_patterns = ["_build", "images/*.md", "_*"]
suppress_warnings = ["epub.unknown_project_files"]

html_theme = "jupyterhub_sphinx_theme"
html_title = f"unispawner {release}"
html_static_path: list[str] = []
templates_path = ["_templates"]
html_sidebars = {"**": ["all-pages"]}
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    # The menu of all pages is beside each page.
    "navbar_center": [],
    # Nothing of another host is loaded: a site may be read on a closed network.
    "icon_links": [],
    "logo": {"text": "unispawner"},
}
# Without an address there is nothing to say for social networks, and no font to draw pictures with.
ogp_enable_meta_description = False
ogp_social_cards = {"enable": False}

# Only with the builder "linkcheck": ci/docs --external.
linkcheck_timeout = 10
linkcheck_retries = 2
linkcheck_workers = 8
linkcheck_anchors = False  # pages that are made by scripts have them only in a browser
linkcheck_ignore = [
    r"https?://(127\.0\.0\.1|localhost)",
    r"https?://[^/]*\.(example|invalid|test)(/|:|$)",
]

SOURCE = os.environ.get("UNISPAWNER_DOCS_SOURCE", "").rstrip("/")
COPIES = {"contributing": "CONTRIBUTING.md", "changes": "CHANGELOG.md"}
"""Pages of the site whose text is a file at the top of the repository."""
_IN_SITE = {file: f"{page}.md" for page, file in COPIES.items()} | {"README.md": "index.md"}
_LINK = re.compile(r"(!?)\[((?:[^][]|\[[^][]*\])*)\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^( *)(```+|~~~+).*?^\1\2", re.M | re.S)
"""Code, in which nothing is a link."""


def lead_to_site(text: str, folder: str, page_folder: str) -> str:
    """Return Markdown whose links to files outside of docs/ are those of the site.

    ``folder`` is where the text is in the repository, and ``page_folder`` that of its page.
    """

    def lead(found: re.Match[str]) -> str:
        image, words, target = found.groups()
        if image or re.match(r"[a-z]+:|#", target):
            return found[0]
        file, mark, anchor = target.partition("#")
        path = normpath(f"{folder}/{file}")
        if path in _IN_SITE:
            path = f"docs/{_IN_SITE[path]}"
            if path == "docs/index.md":
                mark = anchor = ""
        if path.startswith("docs/"):
            return f"[{words}]({os.path.relpath(path, page_folder)}{mark}{anchor})"
        return f"[{words}]({SOURCE}/{path}{mark}{anchor})" if SOURCE else words

    parts, end = [], 0
    for block in _BLOCK.finditer(text):
        parts += [_LINK.sub(lead, text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, _LINK.sub(lead, text[end:])])


_MENU = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.M | re.S)


def complete_menu(text: str) -> str:
    """Return the first page with a menu of the pages that there are, each of them once."""
    there = {path.relative_to(HERE).as_posix()[:-3] for path in HERE.rglob("*.md")} - {"index"}
    listed = {line for menu in _MENU.findall(text) for line in menu.split("\n")}
    deeper = {page for page in there if "/" in page}  # the page of their folder lists them
    for page in listed - there:  # it is announced, and not written yet
        if re.fullmatch(r"[\w-]+", page):
            text = text.replace(f"\n{page}\n", "\n")
    if rest := sorted(there - listed - deeper):
        text += "\n".join(["\n```{toctree}", ":hidden:", ":caption: More", "", *rest, "```\n"])
    return text


def read_source(app: Any, page: str, source: list[str]) -> None:
    """Give Sphinx the text of a page as the site has it."""
    folder = page_folder = normpath(f"docs/{page}/..")
    text = source[0]
    if page in COPIES:
        text, folder = (TOP / COPIES[page]).read_text(encoding="utf-8"), "."
    if page == "index":
        text = complete_menu(text)
    source[0] = lead_to_site(text, folder, page_folder)


def setup(app: Any) -> None:
    """Have Sphinx call what is above."""
    app.connect("source-read", read_source)
