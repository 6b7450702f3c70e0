"""The facts about a server as the pages show them without JavaScript."""

from __future__ import annotations

import re

import pytest
from jinja2 import Environment, FileSystemLoader

import unispawner
from unispawner.web.languages import PAGE_TEXTS
from unispawner.web.server_status import ServerStatus


@pytest.mark.parametrize(
    ("cluster", "job_id", "words"),
    [
        ("", "4711", "4711 on Slurm"),
        ("<gpu>", "4711", "4711 on Slurm (&lt;gpu&gt;)"),
        ("gpu", "", ""),
    ],
)
def test_a_job_and_its_cluster(cluster: str, job_id: str, words: str) -> None:
    """A job is shown with its scheduler, and with its cluster's name if it has one: another cluster
    may have a job of the same id."""
    environment = Environment(loader=FileSystemLoader(unispawner.template_path), autoescape=True)
    environment.globals.update(PAGE_TEXTS)
    page = environment.from_string(
        '{% from "unispawner_server.html" import facts %}{{ facts(status) }}'
    )
    status = ServerStatus(
        user="alice", name="", state="queued", scheduler="Slurm", cluster=cluster, job_id=job_id
    )
    found = re.search(r'data-fact="job_id"[^>]*>(.*?)</dd>', page.render(status=status), re.DOTALL)
    assert found
    assert words == found[1].strip()
