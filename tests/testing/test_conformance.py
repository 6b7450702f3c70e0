"""The conformance suite as a plugin of pytest, run without a cluster as a site runs it."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import CHECKOUT, OUTPUTS

from unispawner.errors import InvalidJobError
from unispawner.testing.conformance.choice import Choice, make_spawner, read_literal, template_of
from unispawner.testing.conformance.plugin import names_suite
from unispawner.testing.conformance.report import words_of

SUITE = "unispawner.testing.conformance"
PLUGIN = f"{SUITE}.plugin"


BROKEN = """\
[script]
file = job.sh
directive = #Q
[commands]
submit = qsub
query = qstat {job_id}
cancel = qdel {job_id}
[patterns]
pending = wait
running = run
not_found = gone
[all_jobs]
query = qstat
row = ^.+$
job_id = (\\d)
owner = (.)
"""
"""A set that takes any row with a digit for a job's."""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder with the plugin, as its entry point loads it, and no other plugin."""
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def run_suite(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_pytest(folder, "--pyargs", f"{SUITE}.test_dialect", "--no-jobs", *arguments)


def test_a_dialect_without_a_cluster(tmp_path: Path) -> None:
    """With saved answers and no jobs, the suite checks a scheduler's file, and its report says how
    many checks held and what was left out."""
    done = run_suite(tmp_path, "--scheduler", "flux", f"--outputs={OUTPUTS / 'flux'}")
    assert 0 == done.returncode, done.stdout
    assert re.search(r"^\d+ of \d+ checks held, 0 failed, 2 were left out$", done.stdout, re.M)
    assert "left out  this scheduler has nothing of the kind:" in done.stdout
    assert "- A set of templates asks for no marks" in done.stdout
    assert [] == list(tmp_path.iterdir())


def test_a_broken_set_of_templates(tmp_path: Path) -> None:
    """For a check that fails, the report says what is required, why, and what was seen."""
    with tempfile.TemporaryDirectory() as name:  # others must be able to read it
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "job.sh").write_text("#!/bin/sh\n#Q -q {queue}\n{prologue}\n{cmd}\n{epilogue}\n")
        (folder / "dialect.ini").write_text(BROKEN)
        done = run_suite(
            *(tmp_path, "--scheduler=template", f"--template-file={folder / 'dialect.ini'}")
        )
    assert 1 == done.returncode, done.stdout
    report = done.stdout.partition("conformance of a scheduler")[2]
    assert "FAILED    test_garbage_is_no_answer" in report
    assert "required: Text that the scheduler would not print raises" in report
    assert "why: a broken wrapper must not empty a Hub." in report
    assert "seen: " in report


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--scheduler: name the scheduler, or a configuration"),
        (["--scheduler", "slurmm"], "slurmm"),
        (["--scheduler", "slurm", "--set", "x"], "--set: 'x' must be TRAIT=VALUE"),
        (["--scheduler", "slurm", "--set", "colour=1"], "c.UniSpawner has no setting 'colour'"),
        (["--scheduler", "slurm", "--environment", "NO_SUCH"], "your shell has no variable"),
        (["--hub-config", "/nowhere.py"], "/nowhere.py: there is no such file"),
        (["--scheduler", "template", "--template-file", "/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_option(tmp_path: Path, arguments: list[str], words: str) -> None:
    """A wrong option ends the run before any check, with the option's name."""
    done = run_suite(tmp_path, *arguments)
    assert 4 == done.returncode, done.stdout
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_other_projects_see_nothing(tmp_path: Path) -> None:
    """In another project's run the plugin imports nothing of ours, and adds no option, so that the
    project can have an option --scheduler of its own."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--scheduler')\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    ours = {m for m in sys.modules if m.startswith('unispawner')}\n"
        "    ours -= {'unispawner', 'unispawner._version', 'unispawner.testing'}\n"
        f"    assert ours == {{{SUITE!r}, {PLUGIN!r}}}\n"
        "    assert pytestconfig.getoption('scheduler') == 'mine'\n"
    )
    done = run_pytest(tmp_path, "--scheduler", "mine")
    assert 0 == done.returncode, done.stdout


def test_command_lines_of_the_suite() -> None:
    """The suite, a module of it, and a test in a module are recognised."""
    assert names_suite(["-q", "--pyargs", SUITE])
    assert names_suite([f"{SUITE}.test_dialect", f"{SUITE}.test_dialect::test_no_job_id"])
    assert not names_suite(["tests", "unispawner.testing", f"{SUITE}s", "-p", PLUGIN])


def test_settings_of_the_command_line() -> None:
    """--set takes Python literals and plain text; a dialect.ini stands for its folder."""
    assert [{"a": 1}, True, "ml", "0:10:00"] == [
        read_literal(text) for text in ('{"a": 1}', "True", "ml", "0:10:00")
    ]
    assert "torque" == template_of("torque")
    with pytest.raises(InvalidJobError, match="has no setting 'colour'"):
        make_spawner(Choice(scheduler="slurm", settings={"colour": 1}))


def test_the_words_of_a_check() -> None:
    """A check's docstring says what is required and why."""
    assert ("It holds.", "a Hub needs it.") == words_of("It\n  holds.\n\nWhy: a Hub\nneeds it.")


def test_each_check_says_why() -> None:
    """Each check of the suite has a docstring with a reason."""
    from unispawner.testing.conformance import test_cluster, test_dialect

    checks = [
        value
        for module in (test_cluster, test_dialect)
        for name, value in vars(module).items()
        if name.startswith("test_")
    ]
    assert 40 < len(checks)
    assert [] == [one.__name__ for one in checks if not all(words_of(one.__doc__ or ""))]


def plant_installation(folder: Path) -> dict[str, str]:
    """Install the entry points of setup.cfg in a folder; return the environment that has them."""
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg")
    plugins = setup["options.entry_points"]["pytest11"]
    info = folder / "installed" / "planted-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pytest11]{plugins}\n")
    (info / "RECORD").write_text("unispawner/__init__.py,,\nunispawner/job.py,,\n")
    return {**os.environ, "PYTHONPATH": str(info.parent)}


def run_installed(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder, with the plugin as an installed unispawner has it."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=plant_installation(folder),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_documented_command(tmp_path: Path) -> None:
    """The entry point suffices: an installed unispawner needs no option that names the plugin."""
    check = f"{SUITE}.test_dialect::test_no_job_id"
    done = run_installed(tmp_path, "--pyargs", check, "--scheduler", "slurm", "--no-jobs")
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "conformance of a scheduler" in done.stdout


def test_the_plugin_costs_other_tests_nothing(tmp_path: Path) -> None:
    """Because of the entry point, pytest would rewrite the asserts of the whole package, and would
    compile it anew in each process of an account that can't write the result: the plugin takes this
    back."""
    (tmp_path / "test_theirs.py").write_text(
        "from _pytest.assertion.rewrite import AssertionRewritingHook\n"
        "import unispawner.job\n"
        "def test_theirs(request):\n"
        f"    assert request.config.pluginmanager.get_plugin('{SUITE}.plugin')\n"
        "    assert not isinstance(unispawner.job.__loader__, AssertionRewritingHook)\n"
    )
    done = run_installed(tmp_path, "test_theirs.py")
    assert 0 == done.returncode, done.stdout
