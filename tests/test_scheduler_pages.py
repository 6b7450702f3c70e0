"""The configurations in docs/schedulers/: they are right, and each scheduler has a page.

tests/live/test_names_and_places.py starts servers with those of the real schedulers, and
tests/test_ci.py compares the jobs on the pages with those that the configurations make.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from handbook.scheduler_pages import DOCS, PAGES, blocks, config_text, read_config, without_settings

from unispawner.admin.cli import main
from unispawner.schedulers import NAMES

OF_THE_SITE = {
    *("run_as", "scheduler", "hub", "commands", "query", "queues", "nodes", "agent_python"),
}
"""Doctor's checks of a host, which is not the one of the page."""


def test_each_scheduler_has_a_page() -> None:
    """Each scheduler has a page, and there is one for sites with a template of their own."""
    without_page = {"local", "template", "flux"}  # flux is only a proof: docs/adding-a-scheduler.md
    assert set(NAMES) - without_page <= {*PAGES}
    assert {*PAGES} - {"own-template"} <= set(NAMES)
    for page in set(PAGES) - {"own-template"}:
        assert f'c.UniSpawner.scheduler = "{page}"' in config_text(page)


@pytest.mark.parametrize("page", PAGES)
def test_doctor_finds_the_settings_of_a_page_right(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No setting of a page is misspelt, contradicts another or is refused by the scheduler."""
    monkeypatch.setenv("PATH", str(tmp_path))
    read_config(page, tmp_path)  # writes the files beside it
    config = tmp_path / "jupyterhub_config.py"
    text = config.read_text().replace("/etc/jupyterhub/oar", str(tmp_path))
    config.write_text(text)
    main(["doctor", "-f", str(config)])
    lines = capsys.readouterr().out.splitlines()
    outcomes = ("ok ", "look at ", "skipped ", "WRONG ")
    found = [
        (line.removeprefix(word).partition(":")[0].strip(), word.strip())
        for line in lines
        for word in outcomes
        if line.startswith(word)
    ]
    about_the_page = [one for one in found if one[0] not in OF_THE_SITE]
    assert [("security", "ok"), ("settings", "ok"), ("job", "ok")] == about_the_page, lines


def test_the_first_configuration_is_complete() -> None:
    """README's configuration sets what the Slurm page's does, so that doctor has nothing to add."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    first, *_ = blocks(readme, "python")
    assert set() == _settings(config_text("slurm")) - _settings(first) - {"c.UniSpawner.job_name"}


def _settings(code: str) -> set[str]:
    return {line.partition(" = ")[0] for line in code.splitlines() if " = " in line} | {
        line for line in code.splitlines() if line.startswith("import ")
    }


def test_settings_of_a_site_can_be_left_out() -> None:
    """What a live test replaces of a page's configuration is left out of it, and nothing else."""
    code = "import unispawner\nc.A.b = 1\nc.A.c = {\n    1: 2\n}\n"
    assert "import unispawner\nc.A.c = {1: 2}\n" == without_settings(code, {"c.A.b"})
