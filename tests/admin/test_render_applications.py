"""``unispawner render`` shows what a choice sets of the server itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from unispawner.admin.cli import main

CONFIG = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.UniSpawner.scheduler = "slurm"
c.ProfilesSpawner.profiles = [{
    "display_name": "A",
    "options": {
        "application": {
            "choices": {
                "lab": {"display_name": "Lab", "override": {"default_url": "/lab/{username}"}},
                "own": {
                    "display_name": "My own",
                    "value": {"example": "/home/a/env", "pattern": "/.*"},
                    "override": {
                        "cmd": "{value}/bin/lab", "args": ["--x"], "prologue": "source {value}/a",
                        "notebook_dir": "{value}", "environment": {"ENV": "{value}"},
                    },
                },
            },
        },
    },
}]
"""


def render(tmp_path: Path, *options: str) -> int:
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(CONFIG)
    named = [word for option in options for word in ("--option", option)]
    return main(["render", "-f", str(config), *named])


def test_a_page_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page that a choice sets is in a comment, since it is in no script."""
    assert 0 == render(tmp_path, "application=lab")
    lines = capsys.readouterr().out.splitlines()
    assert "#!/bin/bash -l" == lines[0]
    assert "#   JUPYTERHUB_DEFAULT_URL='/lab/{username}'" == lines[-1]


def test_an_own_text_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command has the user's text as one word, and so have the commands before it; the values
    of variables are not shown."""
    assert 0 == render(tmp_path, "application=own", "application_own=/a 'b")
    out = capsys.readouterr().out
    assert "source '/a '\"'\"'b'/a\n" in out
    assert " '/a '\"'\"'b/bin/lab' --x <<" in out
    assert "#   JUPYTERHUB_ROOT_DIR='/a '\"'\"'b'\n" in out
    assert "#   ENV=(its value is not shown)\n" in out


def test_a_text_that_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A choice that needs a text is refused without it, as in a form."""
    assert 1 == render(tmp_path, "application=own")
    assert "application_own: it is empty" in capsys.readouterr().err


@pytest.mark.parametrize("page", ["/lab/{nobody}", "/lab/{value}"])
def test_a_placeholder_that_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], page: str
) -> None:
    """A placeholder that JupyterHub can't fill in is an error before a server starts."""
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(CONFIG.replace("/lab/{username}", page))
    assert 1 == main(["render", "-f", str(config), "--option", "application=lab"])
    assert "unknown placeholder" in capsys.readouterr().err
