"""``unispawner render`` of the legacy classes: the script and the commands for a user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unispawner.admin.cli import main

NOBODY = "no-such-account"
WRAPPER = f"/home/{NOBODY}/.unispawner/legacy/jobs/0000000000000000"
SLURM = """
c.JupyterHub.spawner_class = "unispawner.SlurmSpawner"
c.SlurmSpawner.req_partition = "day"
c.SlurmSpawner.req_srun = ""
c.SlurmSpawner.environment = {"SITE": "geheim"}
c.Spawner.cmd = ["/opt/py/bin/jupyterhub-singleuser"]
"""
FORM = """
import unispawner
SIZES = {"small": "--nice=1", "big": "--exclusive --nice=5"}
class Portal(unispawner.SlurmSpawner):
    options_form = '<select name="size"><option>small</option><option>big</option></select>'
    def options_from_form(self, formdata):
        return {"options": SIZES[formdata["size"][0]]}
c.JupyterHub.spawner_class = Portal
"""


class Render:
    """Runs ``unispawner render``."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config, self.capsys = config, capsys

    def __call__(self, text: str, *arguments: str, user: str = NOBODY) -> list[str]:
        """Return the lines that are printed, for a user who has no account."""
        self.config.write_text(text)
        status = main(["render", "-f", str(self.config), "--user", user, *arguments])
        out, error = self.capsys.readouterr()
        assert 0 == status, error
        return str(out).splitlines()

    def error(self, text: str, *arguments: str) -> str:
        """Return the line that says why nothing is printed."""
        self.config.write_text(text)
        assert 1 == main(["render", "-f", str(self.config), *arguments])
        out, error = self.capsys.readouterr()
        assert "" == out
        return str(error.splitlines()[-1])


@pytest.fixture
def render(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Render:
    return Render(tmp_path / "jupyterhub_config.py", capsys)


def test_the_commands_are_comments_before_the_script(render: Render) -> None:
    """All three commands are there as the Hub's shell reads them, and then the script begins."""
    lines = render(SLURM)
    assert f"#     sudo -E -u {NOBODY} sbatch --parsable" in lines
    assert f"#     sudo -E -u {NOBODY} squeue -h -j JOB_ID -o '%T %B'" in lines
    assert f"#     sudo -E -u {NOBODY} scancel JOB_ID" in lines
    script = lines[lines.index("#!/bin/bash") :]
    assert "#SBATCH --partition=day" in script
    assert f"#SBATCH --chdir=/home/{NOBODY}" in script


def test_what_unispawner_adds_is_shown(render: Render) -> None:
    """The script has the line that reads the private file, and the wrapper's path."""
    lines = render(SLURM)
    assert [] != [line for line in lines if f" . {WRAPPER}/" in line]
    command = f"{WRAPPER}/batchspawner-singleuser /opt/py/bin/jupyterhub-singleuser"
    assert command in lines


def test_no_value_of_the_environment_is_shown(render: Render) -> None:
    """{keepvars} has the names of the server's variables, and nothing has their values."""
    lines = render(SLURM)
    (names,) = [line for line in lines if line.startswith("#SBATCH --export=")]
    assert {"SITE", "JUPYTERHUB_API_TOKEN", "HOME"} <= {*names.partition("=")[2].split(",")}
    assert "geheim" not in "\n".join(lines)


def test_a_secret_that_the_sites_code_writes(render: Render) -> None:
    """The value of a variable whose name says that it is secret is not shown."""
    own = """
import unispawner
class Site(unispawner.SlurmSpawner):
    @property
    def batch_script(self):
        return "#!/bin/sh\\nexport T=" + self.environment["SITE_TOKEN"] + "\\n{cmd}\\n"
c.JupyterHub.spawner_class = Site
c.Spawner.environment = {"SITE_TOKEN": "geheimnis"}
"""
    lines = render(own)
    assert "export T=(the value of SITE_TOKEN)" in lines
    assert "geheimnis" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("arguments", "directive"),
    [([], "#SBATCH --exclusive --nice=5"), (["--option", "size=small"], "#SBATCH --nice=1")],
)
def test_what_the_sites_code_makes_of_the_form(
    render: Render, arguments: list[str], directive: str
) -> None:
    """--option is a field of the form; one that is left out is sent as the form opens."""
    assert directive in render(FORM, *arguments)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("size=huge", "size: 'huge' is not a choice of the form"),
        ("colour=red", "colour: the form has no such field"),
    ],
)
def test_what_the_form_does_not_offer(render: Render, option: str, words: str) -> None:
    """What a person could not send is refused with the words that the page has."""
    assert words in render.error(FORM, "--option", option)


def test_fields_that_nobody_has_chosen_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The values that stand for a person's choices are shown, without those of --option."""
    config = tmp_path / "jupyterhub_config.py"
    config.write_text(FORM)
    arguments = ["render", "-f", str(config), "--user", NOBODY]
    assert 0 == main(arguments)
    assert "--option: size=big\n" in capsys.readouterr().err
    assert 0 == main([*arguments, "--option", "size=small"])
    assert "" == capsys.readouterr().err


def test_code_of_the_site_that_fails(render: Render) -> None:
    """The error names the class, and what can be given."""
    error = render.error(FORM.replace('formdata["size"]', 'formdata["other"]'))
    assert "Portal: code of the site fails for the user 'user' and these options: KeyError" in error
    assert "--option FIELD=VALUE" in error


def test_a_profile_of_a_legacy_class(render: Render) -> None:
    """The settings of the profile are in the script."""
    profiles = [("A", "a", "unispawner.SlurmSpawner", {"req_partition": "night"})]
    text = SLURM + (
        "c.JupyterHub.spawner_class = 'unispawner.ProfilesSpawner'\n"
        f"c.ProfilesSpawner.profiles = {profiles!r}\n"
    )
    assert "#SBATCH --partition=night" in render(text, "--profile", "a")


def test_a_wrapper(render: Render) -> None:
    """The child of a site's wrapper is shown, with the options that it reads."""
    text = """
import unispawner
class Site(unispawner.WrapSpawner):
    options_form = '<input name="minutes" value="10">'
    def options_from_form(self, formdata):
        return {"minutes": formdata["minutes"][0]}
    def construct_child(self):
        self.child_class = "unispawner.SlurmSpawner"
        self.child_config = {"req_runtime": self.user_options["minutes"]}
        super().construct_child()
c.JupyterHub.spawner_class = Site
"""
    assert "#SBATCH --time=10" in render(text)
    assert "#SBATCH --time=20" in render(text, "--option", "minutes=20")


def test_a_wrapper_without_a_form(render: Render) -> None:
    """Its options are texts, as the REST API gives them."""
    text = """
import unispawner
class Site(unispawner.WrapSpawner):
    def construct_child(self):
        self.child_class = "unispawner.SlurmSpawner"
        self.child_config = {"req_partition": self.user_options["kind"]}
        super().construct_child()
c.JupyterHub.spawner_class = Site
"""
    assert "#SBATCH --partition=night" in render(text, "--option", "kind=night")


def test_a_profile_on_a_host_with_another_scheduler(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script of a profile can be printed where the scheduler's commands are another's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "qstat").write_text("#!/bin/sh\necho SGE 8.1.9\n")
    (folder / "qstat").chmod(0o755)
    settings: dict[str, Any] = {"scheduler": "pbs", "scheduler_path": str(folder)}
    profile = {"display_name": "A", "slug": "a", "config": {**settings, "queue_name": "q"}}
    text = (
        "c.JupyterHub.spawner_class = 'unispawner.ProfilesSpawner'\n"
        f"c.ProfilesSpawner.profiles = [{profile!r}]\n"
    )
    assert "#PBS -q q" in render(text, "--profile", "a")
