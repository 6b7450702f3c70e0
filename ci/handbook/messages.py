"""The messages that the code has for people, found in its source, and their lists in a page.

A page says which messages belong to a symptom with a comment, and :func:`with_messages` writes them
behind it, as a list that ends with the next comment ``<!-- end -->``::

    <!-- messages: web/words.py texts ~ job .* ended -->

The words are patterns of files of the package, kinds of messages (:data:`KINDS`), and after ``~`` a
regular expression that is looked for. Several lines choose what any of them chooses. A message is
listed where the page chooses it first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "unispawner"
_ERRORS = {
    *("UniSpawnerError", "InvalidJobError", "SubmitError", "CancelError", "JobEndedError"),
    *("SchedulerUnavailable", "AgentError"),
    *("Doubt", "Skipped"),  # of doctor's checks
}
_TEXTS = {"say", "english", "say_count"}
_LOG = {"warning", "error", "exception"}
KINDS = {
    "errors": "what an error of unispawner/errors.py is made with",
    "texts": "what unispawner/texts.py makes a text of",
    "log": "what the log gets as a warning or an error",
    "returned": "a sentence that a function returns, or that is kept under a name",
}
_SENTENCE = 5
"""How many words a string must have to count as a sentence, where it may be something else."""
_NO_SENTENCE = re.compile(r"^usage:|^runuser |[\n$<=>^|]|%[adbBHSY]|\.\.\. |\|\||#!|HTTP/")


@dataclass(frozen=True)
class Message:
    """A message of the code.

    Attributes
    ----------
    file
        The file of the package that has it: ``web/words.py``.
    kind
        One of :data:`KINDS`.
    text
        The message as it stands in the code, with … for what is filled in.
    """

    file: str
    kind: str
    text: str


@cache
def find_messages() -> tuple[Message, ...]:
    """Return all messages of the code, each text once for a file."""
    found: dict[tuple[str, str], Message] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for message in _in_file(path):
            found.setdefault((message.file, message.text), message)
    return tuple(found.values())


def _in_file(path: Path) -> Iterator[Message]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    file = path.relative_to(PACKAGE).as_posix()
    names = _assigned(tree)
    # Errors come first: a sentence that is kept under a name may be an error's.
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and (kind := _kind(node.func)):
            for text in _texts(node.args[0], names):
                if re.search("[a-z]{2}", text):
                    yield Message(file, kind, _clean(text))
    for node in ast.walk(tree):
        for value in _values(node):
            for text in _texts(value, {}):
                if len(text.split()) >= _SENTENCE and not _NO_SENTENCE.search(text):
                    yield Message(file, "returned", _clean(text))


def _clean(text: str) -> str:
    text = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    text = re.sub(r"\{\w+\}|%[-.\d]*[srdfgx]", "…", " ".join(text.split()))
    return re.sub("…{2,}", "…", text)


def _kind(function: ast.expr) -> str:
    name = _name(function)
    if name in _ERRORS:
        return "errors"
    if name in _TEXTS:
        return "texts"
    is_log = isinstance(function, ast.Attribute) and "log" in ast.unparse(function.value).lower()
    return "log" if name in _LOG and is_log else ""


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the values that names are given in a file: a message may be put together before."""
    return {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _values(node: ast.AST) -> list[ast.expr]:
    """Return what a statement returns or keeps, if it can be a sentence."""
    if not isinstance(node, ast.Return | ast.Yield | ast.Assign) or node.value is None:
        return []
    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    return [one for one in values if not isinstance(one, ast.Name | ast.Call)]


def _texts(node: ast.expr, names: dict[str, ast.expr], depth: int = 0) -> list[str]:
    """Return the texts that an expression can be; what is not known when it is written is …."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        parts = [str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values]
        return ["".join(parts)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = (_texts(one, names, depth) or ["…"] for one in (node.left, node.right))
        return [one + other for one in left for other in right]
    if isinstance(node, ast.IfExp):
        return _texts(node.body, names, depth) + _texts(node.orelse, names, depth)
    if isinstance(node, ast.Call) and node.args:
        if _name(node.func) == "of_field" and len(node.args) == 2:
            return [f"…: {text}" for text in _texts(node.args[1], names, depth)]
        return _texts(node.args[0], names, depth) if _name(node.func) in _TEXTS else []
    if isinstance(node, ast.Name) and node.id in names and depth < 3:
        return _texts(names[node.id], names, depth + 1)
    return []


NO_FAILURES = """
profiles/*.py web/*.py units.py texts
schedulers/inventory.py schedulers/template.py schedulers/local.py texts
servers/notices.py web/session_words.py texts
admin/*.py testing/*.py broker/__main__.py returned
testing/*.py errors log
schedulers/pbs.py schedulers/slurm.py monitor/monitor.py returned
"""
"""What needs no entry: labels of forms and pages, mail, what commands print when all is well, parts
of other texts, and tests' own."""


# -- their lists in a page -------------------------------------------------------------------------

_LIST = re.compile(r"(<!-- messages:(.*?)-->\n).*?(?=^<!-- end -->)", re.M | re.S)


@dataclass(frozen=True)
class Choice:
    """Which messages a line of a comment chooses."""

    files: tuple[str, ...]
    kinds: frozenset[str]
    pattern: re.Pattern[str]

    def takes(self, message: Message) -> bool:
        return (
            any(fnmatch(message.file, one) for one in self.files)
            and (not self.kinds or message.kind in self.kinds)
            and bool(self.pattern.search(message.text))
        )


def read_choices(comment: str) -> list[Choice]:
    """Return what a comment chooses."""
    choices = []
    for line in filter(None, map(str.strip, comment.splitlines())):
        words, _, pattern = line.partition(" ~ ")
        files = tuple(word for word in words.split() if word not in KINDS)
        kinds = frozenset(word for word in words.split() if word in KINDS)
        choices.append(Choice(files or ("*",), kinds, re.compile(pattern)))
    return choices


def choices_of(page: str) -> list[list[Choice]]:
    """Return what each list of a page chooses."""
    return [read_choices(found[2]) for found in _LIST.finditer(page)]


def share_out(page: str, messages: Iterable[Message]) -> tuple[list[list[Message]], list[Message]]:
    """Return the messages of each list of a page, and those that no list has."""
    lists = choices_of(page)
    shares: list[list[Message]] = [[] for _ in lists]
    left = []
    for message in messages:
        for choices, share in zip(lists, shares, strict=True):
            if any(one.takes(message) for one in choices):
                share.append(message)
                break
        else:
            left.append(message)
    return shares, left


_SHOWN = 12
"""How many messages are shown at once; a longer list is opened with a click."""


def _as_code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def with_messages(page: str) -> str:
    """Return a page with the lists as they should be."""
    shares, _ = share_out(page, find_messages())
    lists = iter(shares)

    def write(found: re.Match[str]) -> str:
        texts = dict.fromkeys(message.text for message in next(lists))
        items = "".join(f"- {_as_code(text)}\n" for text in texts)
        if len(texts) > _SHOWN:
            summary = f"<details><summary>{len(texts)} messages</summary>"
            items = f"\n{summary}\n\n{items}\n</details>\n\n"
        return found[1] + items

    return _LIST.sub(write, page)
