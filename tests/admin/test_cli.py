"""The command line: doctor, render, their errors and their help texts."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unispawner.admin import cli, demo
from unispawner.admin.cli import main
from unispawner.admin.doctor import command as doctor_command

GOOD = """
c.JupyterHub.spawner_class = "unispawner"
c.JupyterHub.hub_ip = "10.1.0.5"
c.UniSpawner.scheduler = "slurm"
c.UniSpawner.cmd = ["/opt/hub/bin/jupyterhub-singleuser"]
c.UniSpawner.queue_name = "interactive"
c.UniSpawner.resources = {"cpu_cores_per_process": 2, "memory": "4G"}
c.UniSpawner.duration = "08:00:00"
c.UniSpawner.prologue = "module load python"
c.UniSpawner.agent_python = "/opt/hub/bin/python3"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "jupyterhub_config.py"
    path.write_text(GOOD)
    return path


def test_sudoers_has_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``doctor --sudoers`` prints one line, which lets the Hub start the broker; comments say so,
    and hold the line that ``run_as = "sudo"`` would need instead."""
    arguments = ["doctor", "--sudoers", "-f", str(config), "--hub-account", "hub", "--group", "lab"]
    assert 0 == main(arguments)
    first, line, second, other = capsys.readouterr().out.splitlines()
    expected = "/opt/hub/bin/unispawner-broker --group lab --min-uid 1000"
    assert f"hub ALL=(root) NOPASSWD: {expected}" == line
    assert '# run_as = "broker":' == first
    assert second.startswith('# run_as = "sudo"')
    assert "# hub ALL=(%lab) NOPASSWD: /opt/hub/bin/python3 -I -m unispawner.agent" == other


def test_render_prints_the_jobs_script(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``render`` prints the job's script, which holds the settings."""
    assert 0 == main(["render", "-f", str(config)])
    script = capsys.readouterr().out.splitlines()
    assert "#!/bin/bash -l" == script[0]
    wanted = ("--partition=interactive", "--cpus-per-task=2", "--mem=4194304K", "--time=08:00:00")
    assert [] == [line for line in wanted if f"#SBATCH {line}" not in script]
    assert "module load python" in script


def test_render_needs_no_psij(config: Path) -> None:
    """``render`` does not import PSI/J, so it works wherever the package is installed."""
    code = (
        "import sys; from unispawner.admin.cli import main; main(sys.argv[1:]); "
        "sys.exit('psij' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "render", "-f", str(config)]
    assert 0 == subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60).returncode


PROFILES = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.ProfilesSpawner.profiles = [
    ("On the Hub", "local", "jupyterhub.spawner.LocalProcessSpawner", {}),
    {
        "display_name": "GPU session",
        "slug": "gpu",
        "default": True,
        "groups": ["gpu-users"],
        "config": {"queue_name": "gpu"},
        "options": {
            "cpu_cores_per_process": {"min": 1, "max": 16, "default": 4},
            "software": {
                "choices": {
                    "plain": {"display_name": "Python", "override": {"prologue": ""}},
                    "conda": {"display_name": "Conda", "override": {"prologue": "load conda"}},
                },
                "default": "plain",
            },
        },
    },
    {"display_name": "Small", "resources": {"memory": "1G"}},
]
"""


def test_render_of_a_profile(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A profile's script has its own settings and options on top of the common ones."""
    config.write_text(GOOD + PROFILES)
    options = ["--option", "cpu_cores_per_process=16", "--option", "software=conda"]
    assert 0 == main(["render", "-f", str(config), "--profile", "gpu", *options])
    out, err = capsys.readouterr()
    wanted = ("--partition=gpu", "--cpus-per-task=16", "--mem=4194304K", "--time=08:00:00")
    assert [] == [line for line in wanted if f"#SBATCH {line}" not in out.splitlines()]
    assert "load conda" in out.splitlines()
    assert "" == err


def test_render_of_the_default_profile(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --profile, the default profile is rendered; standard error names the others."""
    config.write_text(GOOD + PROFILES)
    assert 0 == main(["render", "-f", str(config), "--option", "cpu_cores_per_process=2"])
    out, err = capsys.readouterr()
    assert "#SBATCH --cpus-per-task=2" in out.splitlines()
    assert "This is profile 'gpu'. Choose one with --profile: local, gpu, small\n" == err


@pytest.mark.parametrize(
    ("more", "arguments", "text"),
    [
        (
            PROFILES,
            ["--profile", "large"],
            "'large' is not offered; offered profiles: local, gpu, small",
        ),
        (
            PROFILES,
            ["--option", "cpu_cores_per_process=17"],
            "profile 'gpu': cpu_cores_per_process: 17 must be at most 16",
        ),
        (PROFILES, ["--option", "cores=2"], "profile 'gpu': 'cores': unknown option"),
        (
            PROFILES,
            ["--profile", "local"],
            "profile 'local': spawner: LocalProcessSpawner: only jobs of UniSpawner and of",
        ),
        (
            PROFILES + 'c.ProfilesSpawner.profiles[2]["config"] = {"queue": "x"}',
            ["--profile", "small"],
            "profile 'small': config: UniSpawner has no setting queue",
        ),
        ("", ["--profile", "gpu"], "spawner_class is UniSpawner, which has no profiles"),
        ("", ["--option", "memory=1G"], "spawner_class is UniSpawner, which has no profiles"),
        (
            'c.JupyterHub.spawner_class = "unispawner.WrapSpawner"',
            [],
            "child_class is LocalProcessSpawner: only jobs of UniSpawner and of",
        ),
        (
            PROFILES + "c.ProfilesSpawner.profiles = lambda spawner: [spawner.user.name]",
            [],
            "c.ProfilesSpawner.profiles: the function fails for a spawner without a user: ",
        ),
        (PROFILES + "c.ProfilesSpawner.profiles = lambda spawner: []", [], "the list is empty"),
        (PROFILES + "c.ProfilesSpawner.profiles = 7", [], "jupyterhub_config.py: "),
    ],
)
def test_render_says_what_is_wrong(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    more: str,
    arguments: list[str],
    text: str,
) -> None:
    """An error of ``render`` is one line, with exit status 1 and without a script."""
    config.write_text(f"{GOOD}\n{more}\n")
    assert 1 == main(["render", "-f", str(config), *arguments])
    out, err = capsys.readouterr()
    assert "" == out
    line = err.splitlines()[-1]
    assert line.startswith("unispawner: ")
    assert text in line


def test_an_option_is_key_and_value(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An --option without a value is an error of the command line, with argparse's status 2."""
    with pytest.raises(SystemExit) as raised:
        main(["render", "-f", str(config), "--option", "memory"])
    assert 2 == raised.value.code
    assert "'memory' must have the form KEY=VALUE" in capsys.readouterr().err


def test_render_of_a_subclass(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings of a site's own subclass of UniSpawner are in the script."""
    own = """
from unispawner import UniSpawner
class Ours(UniSpawner): pass
c.JupyterHub.spawner_class = Ours
c.Ours.queue_name = "ours"
"""
    config.write_text(GOOD + own)
    assert 0 == main(["render", "-f", str(config)])
    assert "#SBATCH --partition=ours" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("line", "check", "text"),
    [
        (
            'c.UniSpawner.queue = "x"',
            "hub",
            "c.UniSpawner has no setting queue (did you mean queue_name?)",
        ),
        (
            'c.JupyterHub.spawner_class = "unispawner.ProfileSpawner"',
            "hub",
            "spawner_class: 'unispawner.ProfileSpawner' could not be imported; set",
        ),
        ('c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"', "hub", "spawner_class"),
        ('c.JupyterHub.hub_ip = "127.0.0.1"', "hub", "can't reach the Hub's API at 127.0.0.1"),
        ('c.UniSpawner.resources = {"memory": "4 gigs"}', "job", "'4 gigs' is not an amount of"),
        ('c.UniSpawner.resources = {"cores": 4}', "job", "unknown key 'cores'"),
        ('c.UniSpawner.duration = "8:00"', "job", "'8:00' is not a length of time"),
        ('c.UniSpawner.custom_attributes = {1: "x"}', "job", "custom_attributes: 1 must be"),
        ('c.UniSpawner.scheduler_environment = {"PATH": "/none"}', "commands", "sbatch, squeue"),
        ('c.UniSpawner.agent_python = "/root/none/python"', "agent_python", "users can't read"),
    ],
)
def test_doctor_finds_what_is_wrong(
    config: Path, capsys: pytest.CaptureFixture[str], line: str, check: str, text: str
) -> None:
    """``doctor`` names the setting that is wrong and has exit status 1."""
    config.write_text(f"{GOOD}\n{line}\n")
    assert 1 == main(["doctor", "-f", str(config)])
    out = capsys.readouterr().out
    (wrong,) = [each for each in out.splitlines() if each.startswith(f"WRONG   {check}:")]
    assert text in wrong


@pytest.mark.parametrize("text", ["c.UniSpawner.status_interval = 'soon'", "this is no python"])
def test_a_broken_configuration_is_reported(
    config: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """A configuration that can't be loaded is reported with the file's name, not a traceback."""
    config.write_text(text)
    assert 1 == main(["doctor", "-f", str(config)])
    assert f"unispawner: {config}" in capsys.readouterr().err


def test_an_error_in_a_configuration_has_its_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the file raises is reported with the line of the file, not that of a module it uses."""
    config.write_text("import json\nx = 1\njson.loads('no')\n")
    assert 1 == main(["doctor", "-f", str(config)])
    assert f"unispawner: {config}, line 3: JSONDecodeError: " in capsys.readouterr().err


def test_a_configuration_that_still_imports_batchspawner(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import of batchspawner, which is not installed, is reported with the word to write."""
    monkeypatch.setitem(sys.modules, "batchspawner", None)
    config.write_text("import batchspawner\n")
    assert 1 == main(["doctor", "-f", str(config)])
    error = capsys.readouterr().err
    assert f"{config}, line 1: ModuleNotFoundError: " in error
    assert "write unispawner instead of batchspawner in this line, too" in error


def test_a_program_that_ends_itself(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration that calls sys.exit is reported, and does not end the command in silence."""
    config.write_text("import sys\nsys.exit('no database')\n")
    assert 1 == main(["doctor", "-f", str(config)])
    error = capsys.readouterr().err
    assert f"{config}, line 2: SystemExit: the file ends the program itself: no database" in error


def test_a_configuration_that_reads_arguments(config: Path) -> None:
    """A configuration that reads the command line sees that of a Hub."""
    config.write_text(f"{GOOD}\nimport sys\nassert ['jupyterhub', '-f'] == sys.argv[:2]\n")
    assert 0 == main(["render", "-f", str(config)])


def test_a_variable_that_is_not_set_here(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing environment variable is reported with what to do."""
    config.write_text("import os\nx = os.environ['NO_SUCH_VARIABLE']\n")
    assert 1 == main(["doctor", "-f", str(config)])
    assert "set this environment variable here as the Hub has it" in capsys.readouterr().err


def test_a_file_beside_the_configuration(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """load_subconfig finds a file beside the configuration; a missing file is reported."""
    (config.parent / "more.py").write_text("c.UniSpawner.queue_name = 'night'\n")
    config.write_text(f"{GOOD}\nload_subconfig('more.py')\nload_subconfig('no.py')\n")
    assert 0 == main(["render", "-f", str(config)])
    out, error = capsys.readouterr()
    assert "#SBATCH --partition=night" in out
    assert "load_subconfig('no.py'): there is no such file" in error


def test_a_line_in_a_file_beside_the_configuration(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error in a file that load_subconfig loads is reported with that file and its line."""
    (config.parent / "more.py").write_text("\n1 / 0\n")
    config.write_text("load_subconfig('more.py')\n")
    assert 1 == main(["doctor", "-f", str(config)])
    assert f"{config.parent}/more.py, line 2: ZeroDivisionError" in capsys.readouterr().err


def test_a_class_of_batchspawners_own(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A subclass of batchspawner's is reported as that, and nothing is said of another spawner."""
    (config.parent / "site_of_batchspawner.py").write_text(
        "from batchspawner import SlurmSpawner\nclass Site(SlurmSpawner):\n    pass\n"
    )
    config.write_text(
        f"import sys\nsys.path.insert(0, {str(config.parent)!r})\n"
        "import site_of_batchspawner\n"
        "c.JupyterHub.spawner_class = site_of_batchspawner.Site\n"
    )
    assert 1 == main(["doctor", "-f", str(config)])
    (line,) = capsys.readouterr().out.splitlines()
    assert "Site is a class of batchspawner, and not of unispawner; write unispawner" in line
    assert 1 == main(["render", "-f", str(config)])
    out, error = capsys.readouterr()
    assert "" == out
    assert "Site is a class of batchspawner" in error


def test_a_class_that_needs_a_user(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A site's class that reads its user's name when it is made can be checked all the same."""
    config.write_text(
        f"{GOOD}\nimport unispawner\nclass Site(unispawner.UniSpawner):\n"
        "    def __init__(self, **kwargs):\n        super().__init__(**kwargs)\n"
        "        self.account = 'of-' + self.user.name\n"
        "c.JupyterHub.spawner_class = Site\n"
    )
    assert 0 == main(["render", "-f", str(config)])
    assert "#SBATCH --account=of-user" in capsys.readouterr().out


def test_a_configuration_in_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """doctor and render read JSON as a Hub does; migrate says that it can't."""
    path = config.with_suffix(".json")
    path.write_text(
        '{"JupyterHub": {"spawner_class": "unispawner"}, '
        '"UniSpawner": {"scheduler": "slurm", "queue_name": "night"}}'
    )
    assert 0 == main(["render", "-f", str(path)])
    assert "#SBATCH --partition=night" in capsys.readouterr().out
    assert 1 == main(["migrate", str(path)])
    assert "only a configuration in Python can be migrated" in capsys.readouterr().err
    path.write_text("{")
    assert 1 == main(["doctor", "-f", str(path)])
    assert f"unispawner: {path}: " in capsys.readouterr().err


def test_a_fault_is_no_traceback(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong in unispawner itself is a line that says what failed and what to do."""

    monkeypatch.setattr(doctor_command, "load_config", lambda path: None)
    assert 1 == main(["doctor", "-f", str(config)])
    error = capsys.readouterr().err
    assert error.startswith(f"unispawner: doctor {config.name} failed: AttributeError: 'NoneType' ")
    assert "please report" in error
    assert "Traceback" not in error


def test_a_fault_of_the_sites_own_code(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code of the site that fails is not called a fault of unispawner."""
    config.write_text(
        "import unispawner\nclass Site(unispawner.SlurmSpawner):\n    @property\n"
        "    def exec_prefix(self):\n        return self.user.name\n"
        "c.JupyterHub.spawner_class = Site\n"
    )
    assert 1 == main(["doctor", "-f", str(config), "--sudoers"])
    error = capsys.readouterr().err
    assert f"({config}, line 5). Code of the site's own may need a user, or be wrong." in error
    assert "fault of unispawner" not in error


def arguments() -> Iterator[tuple[str, argparse.Action]]:
    """Yield each argument of each command: its name, and what argparse knows about it."""
    (commands,) = (each for each in cli._parser()._actions if each.choices)
    parsers = {**dict(commands.choices or {}), "demo": demo._parser()}
    for name, parser in parsers.items():
        for action in parser._actions[1:]:  # without --help
            yield f"{name} {'/'.join(action.option_strings)}", action


def test_every_argument_has_a_help_text() -> None:
    """The help of each argument is a phrase; if it takes a value, it says what holds without."""
    helps = {name: (action.help or "", action.nargs != 0) for name, action in arguments()}
    assert helps
    assert [] == [
        name
        for name, (text, has_value) in helps.items()
        if len(text.split()) <= 2 or (has_value and "(default: " not in text)
    ]
