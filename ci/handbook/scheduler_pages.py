"""The configurations in docs/schedulers/, and the jobs that they make."""

from __future__ import annotations

import ast
import asyncio
import re
import tempfile
from collections.abc import Collection
from pathlib import Path

from traitlets.config import Config

from unispawner.admin.configured_spawner import load_config, spawner_for_nobody
from unispawner.admin.render import job_script
from unispawner.servers.spawner import UniSpawner

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {path.stem: path for path in sorted((DOCS / "schedulers").glob("*.md"))}
"""The pages by the names of their schedulers; ``own-template`` is for all others."""


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of code of a page that are in a language."""
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S)
    return [code for name, code in found if name == language]


def config_text(page: str) -> str:
    """Return the complete configuration of a scheduler's page."""
    first, *_ = blocks(PAGES[page].read_text(encoding="utf-8"), "python")
    return first


def without_settings(code: str, names: Collection[str]) -> str:
    """Return a configuration without the lines that set these: c.JupyterHub.hub_ip and so on."""
    kept = [
        statement
        for statement in ast.parse(code).body
        if not (isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) in names)
    ]
    return "".join(f"{ast.unparse(statement)}\n" for statement in kept)


def _template_of_the_docs(folder: Path) -> str:
    """Write the set of templates that docs/templates.md shows into a folder; return its name."""
    text = (DOCS / "templates.md").read_text(encoding="utf-8")
    (script,) = [one for one in blocks(text, "") if one.startswith("#!")]
    (folder / "job.sh").write_text(script)
    (folder / "dialect.ini").write_text(blocks(text, "ini")[0])
    return str(folder)


def read_config(page: str, folder: Path) -> Config:
    """Return the settings of a page; a temporary folder has the files that it needs beside it."""
    file = folder / "jupyterhub_config.py"
    file.write_text(config_text(page))
    config = load_config(str(file))
    if page == "own-template":
        config.UniSpawner.template = _template_of_the_docs(folder)
    return config


def render(page: str) -> str:
    """Return the job of a page's configuration, as ``unispawner render`` prints it."""
    with tempfile.TemporaryDirectory() as folder:
        config = read_config(page, Path(folder))
        spawner = spawner_for_nobody(UniSpawner, config, f"{folder}/jupyterhub_config.py")
        return asyncio.run(job_script(spawner))


def rendered_block(page: str) -> str:
    """Return the job of a page as a block of Markdown."""
    return f"```bash\n{render(page).rstrip()}\n```"
