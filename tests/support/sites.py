"""Sites' configurations of tests/live/sites, and how a test starts a server with one of them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support import CHECKOUT

FOLDER = CHECKOUT / "tests" / "live" / "sites"

STARTED: dict[str, list[str]] = {}
"""The sites whose server has started, by the classes that started it; pytest prints the counts."""

_HEADER = re.compile(r"# (\w+): (.*)")


@dataclass(frozen=True)
class Site:
    """A configuration, and what a server must be like that is started with it.

    Attributes
    ----------
    name
        The file's name without ".py".
    text
        The configuration as the site has it, for batchspawner or wrapspawner.
    form
        What a person sends with the form; None if there is no form.
    rest
        The user options that a program sends by the REST API where there is no ``form``.
    environment
        Variables that the server must have.
    job
        Fields that ``scontrol show job`` must show.
    log
        A pattern that the job's own output must have.
    """

    name: str
    text: str
    scheduler: str
    form: dict[str, str | list[str]] | None = None
    rest: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    job: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def with_programs(self, folder: Path) -> str:
        """Return the text with the place of Python and of the server filled in."""
        server = shlex.quote(f"{folder}/jupyterhub-singleuser")
        return self.text.replace("{PY}", str(folder)).replace("{SERVER}", server)


def change_the_word(text: str) -> str:
    """Return a configuration with unispawner's classes in place of those of the same names."""
    text = re.sub(r"\b(import|from) (batchspawner|wrapspawner)\b", r"\1 unispawner", text)
    return re.sub(r"\b(batchspawner|wrapspawner)\.(?=\w)", "unispawner.", text)


def read_site(path: Path) -> Site:
    """Read a configuration and the lines at its top; an unknown line is an error."""
    text = path.read_text()
    lines = [line for line in text.split("\n\n")[0].splitlines() if line.startswith("#")]
    found = (_HEADER.fullmatch(line) for line in lines)
    headers = {header[1]: header[2] for header in found if header}
    unknown = headers.keys() - {"site", "scheduler", "form", "rest", "env", "job", "log"}
    assert not unknown, f"{path.name}: unknown lines: {unknown}"
    return Site(
        path.stem,
        text,
        headers["scheduler"],
        json.loads(headers["form"]) if "form" in headers else None,
        json.loads(headers.get("rest", "{}")),
        _pairs(shlex.split(headers.get("env", ""))),
        _pairs(headers["job"].split("; ") if "job" in headers else []),
        headers.get("log", ""),
    )


def _pairs(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


def make_programs(folder: Path, *more: str) -> None:
    """Put python3, jupyterhub-singleuser and more programs in a new folder, and nothing else."""
    folder.mkdir(mode=0o755)
    beside = Path(sys.executable).parent
    for name in ("jupyterhub-singleuser", *more):
        shutil.copy(beside / name, folder)
    python = folder / "python3"  # a link would not find the virtual environment
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
