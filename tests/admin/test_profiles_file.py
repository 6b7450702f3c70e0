"""The commands read ``c.ProfilesSpawner.profiles_file`` as the Hub does."""

from __future__ import annotations

from pathlib import Path

import pytest

from unispawner.admin.cli import main
from unispawner.profiles import profiles_file

FILE = """\
- display_name: Small
  slug: small
  config: {queue_name: short}
  options:
    memory: {max: 8G, default: 1G}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a configuration whose profiles are in the file beside it."""
    monkeypatch.setattr(profiles_file, "_files", {})
    path = tmp_path / "jupyterhub_config.py"
    path.write_text(
        'c.JupyterHub.spawner_class = "unispawner-profiles"\n'
        'c.UniSpawner.scheduler = "slurm"\n'
        f'c.ProfilesSpawner.profiles_file = "{tmp_path}/profiles.yaml"\n'
    )
    write(tmp_path, FILE)
    return path


def write(folder: Path, text: str) -> None:
    (folder / "profiles.yaml").write_text(text)
    (folder / "profiles.yaml").chmod(0o644)


def test_render(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``render`` shows the job of a profile in the file."""
    options = ["--profile", "small", "--option", "memory=4G"]
    assert 0 == main(["render", "-f", str(config), *options])
    assert {"#SBATCH --partition=short", "#SBATCH --mem=4194304K"} <= set(
        capsys.readouterr().out.splitlines()
    )


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("queue_name", "quene_name", 3), ("max:", "mox:", 5), ("- display_name: Small", "- a: [", 3)],
)
def test_a_file_that_is_wrong(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, line: int
) -> None:
    """``render`` and ``doctor`` say what is wrong, with its line, and have failed."""
    write(tmp_path, FILE.replace(old, new))
    where = f"{tmp_path}/profiles.yaml, line {line}, column "
    assert 1 == main(["render", "-f", str(config), "--profile", "small"])
    assert where in capsys.readouterr().err
    profiles_file._files.clear()
    assert 1 == main(["doctor", "-f", str(config)])
    (wrong,) = [one for one in capsys.readouterr().out.splitlines() if where in one]
    assert wrong.startswith("WRONG   profile")
    assert 1 == wrong.count(where)


def test_doctor_without_the_file(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``doctor`` says that the file can't be read, and checks the rest."""
    (tmp_path / "profiles.yaml").unlink()
    assert 1 == main(["doctor", "-f", str(config)])
    out = capsys.readouterr().out
    assert f"WRONG   profiles: {tmp_path}/profiles.yaml: the file can't be read (No such" in out
    assert "hub: " in out
