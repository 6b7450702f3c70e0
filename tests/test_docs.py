"""The documents name files that exist, link to what exists, and show every folder."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path.relative_to(TOP).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "ci/*/README.md", "legacy_templates/*.md")
    for path in TOP.glob(pattern)
)
# A file or folder, as opposed to a setting, a command or a path on somebody's host.
PATH = re.compile(
    r"[\w-]+(?:/[\w.-]+)*(?:/|\.(?:py|md|toml|cfg|ini|svg))|(?:ci|tests|docs)/[\w./-]+"
)
PICTURE = re.compile(r"!\[([^]]*)\]\(([^)\s]+)\)")
OF_A_CONTRIBUTOR = {"fastq"}
"""Folders and files that an example has a contributor make."""
OF_PYTHON = {"pyvenv.cfg"}
"""Files that Python itself has in an environment."""


def read(page: str) -> str:
    return (TOP / page).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """Return the text without blocks of code and without code between backticks."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.M | re.S))


def anchor(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(page: str) -> set[str]:
    text = re.sub(r"^( *)```.*?^\1```$", "", read(page), flags=re.M | re.S)
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)}


def links(page: str) -> Iterator[str]:
    """Yield the targets of a page's links and pictures that are files of ours."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(read(page))):
        if not re.match(r"[a-z]+:", target):
            yield target


def leads_somewhere(page: str, target: str) -> bool:
    """Whether a link's file exists, and has the heading that its anchor names."""
    file, _, heading = target.partition("#")
    to = (TOP / page).parent.joinpath(file).resolve() if file else TOP / page
    has_heading = to.suffix == ".md" and heading and to.is_file()
    return to.exists() and (not has_heading or heading in anchors(to.relative_to(TOP).as_posix()))


def test_links_between_the_documents_resolve() -> None:
    """Each link to a file of ours leads to a file, and each anchor to a heading."""
    found = [(page, target) for page in PAGES for target in links(page)]
    assert found
    assert [] == [link for link in found if not leads_somewhere(*link)]


def test_pictures_have_a_text_in_their_place() -> None:
    """Each picture has a text for those who can't see it."""
    found = [(page, *one) for page in PAGES for one in PICTURE.findall(without_code(read(page)))]
    assert found
    assert [] == [(page, target) for page, text, target in found if len(text.split()) < 3]
    assert [] == [page for page in PAGES if "<img" in without_code(read(page))]


@pytest.mark.parametrize(
    "page",
    [
        *("CONTRIBUTING.md", "docs/adding-a-scheduler.md", "docs/broker.md"),
        *("docs/how-it-works.md", "docs/performance.md", "docs/security.md"),
    ],
)
def test_files_that_a_document_names_exist(page: str) -> None:
    """A path between backticks is one of the repository, or of the package."""
    text = re.sub(r"^( *)```.*?^\1```$", "", read(page), flags=re.M | re.S)
    named = {word for word in re.findall(r"`([^`\n]+)`", text) if PATH.fullmatch(word)}
    assert named
    missing = {
        word
        for word in named - OF_PYTHON
        if not (TOP / word).exists() and not (TOP / "unispawner" / word).exists()
        if not OF_A_CONTRIBUTOR & set(re.split(r"\W|_", word))
    }
    assert set() == missing


def test_the_map_shows_every_folder() -> None:
    """docs/how-it-works.md lists each folder and each module at the top of the package."""
    block = re.search(r"^unispawner/\n(.*?)^```", read("docs/how-it-works.md"), re.M | re.S)
    assert block
    names = re.findall(r"^ +((?:[\w]+(?:/|\.py) *)+)", block[1], re.M)
    shown = {name for line in names for name in line.split()}
    package = TOP / "unispawner"
    folders = {f"{path.name}/" for path in package.iterdir() if path.is_dir()} - {"__pycache__/"}
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("_")}
    assert folders | modules == shown


JOINED = {"c.ProfilesSpawner.profiles failed"}
"""Messages that the code joins from the name of a setting and a word."""


@pytest.mark.parametrize("page", ["docs/hub-elsewhere.md", "docs/install.md"])
def test_quoted_messages_are_those_of_the_code(page: str) -> None:
    """A message that a document quotes can be found in the code as it stands there."""
    texts = [
        node.value
        for path in (TOP / "unispawner").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    table = read(page).partition("## When something is wrong")[2]
    quotes = set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", table)) - JOINED
    assert quotes
    parts = {part.strip() for quote in quotes for part in quote.split("…")} - {""}
    assert set() == {part for part in parts if not any(part in text for text in texts)}
