"""Settings that are not fields of the script: commands, hooks, forms, limits, classes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from support.migration import Migrated, migrate_text

import unispawner
from unispawner.admin.migrate import migrate
from unispawner.errors import InvalidJobError
from unispawner.servers.slow_start import find_limits


def migrate_slurm(folder: Path, lines: str) -> Migrated:
    return migrate_text(
        folder, f"c.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'\n{lines}\n"
    )


@pytest.mark.parametrize(
    ("lines", "settings", "says"),
    [
        (
            "c.Spawner.cmd = ['jupyter-labhub']",
            {},
            "A job looks for jupyter-labhub on the PATH of a login on its node",
        ),
        (
            "c.Spawner.cmd = ['batchspawner-singleuser', '/opt/bin/jupyter-labhub']",
            {"cmd": ["/opt/bin/jupyter-labhub"]},
            "batchspawner-singleuser is left out",
        ),
        ("c.Spawner.cmd = 'jupyter labhub'", {"cmd": ["jupyter", "labhub"]}, "no shell reads"),
        ("c.Spawner.args = ['--debug']", {}, "c.Spawner: args"),
        ("c.Spawner.args = ['--a b']", {"args": ["--a", "b"]}, "no shell reads the words"),
        ("c.SlurmSpawner.cmd = ['/opt/lab']", {"cmd": ["/opt/lab"]}, "cmd as it was, from c.S"),
        ("c.SlurmSpawner.args.append('--debug')", {"args": ["--debug"]}, "args as it was"),
        (
            "c.SlurmSpawner.start_timeout = 600",
            {"start_timeout": 600},
            "given up after 600 seconds, the time in the queue included.",
        ),
        ("c.Spawner.start_timeout = 600", {}, "given up after 600 seconds"),
        ("c.SlurmSpawner.state_dir = '/s/{username}'", {"state_dir": "/s/{username}"}, ""),
        ("c.BatchSpawnerBase.min_uid = 500", {"min_uid": 500}, ""),
        ("c.Spawner.mem_limit = '2G'", {"mem_limit": None}, "did not pass mem_limit to the sche"),
        ("c.SlurmSpawner.cpu_limit = 2", {"cpu_limit": None}, "did not pass cpu_limit to the sch"),
        (
            "c.Spawner.mem_limit = '2G'\nc.SlurmSpawner.req_memory = '4G'",
            {"resources": {"memory": "4G"}},
            "c.Spawner: mem_limit",
        ),
        (
            "c.BatchSpawnerBase.req_runtime = '60'\nc.SlurmSpawner.req_runtime = '30'",
            {"duration": "00:30:00"},
            "c.BatchSpawnerBase.req_runtime: c.SlurmSpawner.req_runtime overrides it.",
        ),
        (
            "import os\nc.SlurmSpawner.req_memory = os.environ.get('NO_SUCH', '4G')",
            {"resources": {"memory": "4G"}},
            "Line 4 of the old file computes c.SlurmSpawner.req_memory: this is the value",
        ),
        ("c.SlurmSpawner.no_such = 1", {}, "batchspawner has no such setting and ignores it."),
        ("c.PBSSpawner.req_queue = 'q'", {}, "stay as they are: - c.PBSSpawner.req_queue"),
        ("c.Spawner.pre_spawn_hook = lambda spawner: None", {}, "c.Spawner: pre_spawn_hook"),
    ],
)  # fmt: skip
def test_settings(tmp_path: Path, lines: str, settings: dict[str, Any], says: str) -> None:
    """UniSpawner gets what the servers had; the report says what was chosen."""
    found = migrate_slurm(tmp_path, lines)
    assert found.is_translated
    always = {"scheduler": "slurm", "job_name": "spawner-jupyterhub"}
    assert {**always, **settings} == found.settings
    assert says in found.report


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("c.SlurmSpawner.options_form = '<input name=queue>'", "it is a form of the site's own"),
        ("c.Spawner.options_from_form = lambda form: {}", "it is a form of the site's own"),
        (
            "def hook(spawner):\n    spawner.req_memory = '4G'\nc.Spawner.pre_spawn_hook = hook",
            "c.Spawner.pre_spawn_hook: it uses batchspawner's req_memory",
        ),
        ("c.Spawner.args = ['--dir=$HOME']", "it needs a shell, and UniSpawner starts the server"),
        ("c.Spawner.cmd = ['lab > log']", "starts the server without one: lab > log"),
        ("c.SlurmSpawner.user_option_keys = ['q']", "offers options in c.ProfilesSpawner.profi"),
        ("c.SlurmSpawner.public_environment = ['A']", "passes no such variables to the sched"),
        ("c.SlurmSpawner.command_timeout = 5.0", "UniSpawner has no counterpart"),
        ('c.Spawner.args = ["it\'s"]', "it needs a shell, and UniSpawner starts the server"),
        ('c.SlurmSpawner.batch_submit_cmd = "it\'s"', "it is not the command that batchspawner"),
        (
            "c.SlurmSpawner.batch_script = 'for x in 1; do\\n{cmd}\\ndone\\n'\n"
            "c.SlurmSpawner.req_options = '--exclusive'",
            "runs the servers: - c.SlurmSpawner.batch_script: the server runs within a loop",
        ),
        (  # each of them is enough
            "c.SlurmSpawner.batch_script = 'if x; then\\n{prologue}\\n{cmd}\\nfi\\n'\n"
            "c.SlurmSpawner.req_prologue = 'while true; do'",
            "- c.SlurmSpawner.batch_script: the server runs within a loop",
        ),
    ],
)
def test_settings_that_keep_the_old_class(tmp_path: Path, lines: str, says: str) -> None:
    """The new file is the old one with another name in it, and a comment that gives the reason."""
    found = migrate_slurm(tmp_path, lines)
    assert "unispawner.SlurmSpawner" == found.config.JupyterHub.spawner_class
    assert lines in found.text
    assert says in found.report
    assert {} == found.settings


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            "import batchspawner\nclass Site(batchspawner.SlurmSpawner): pass\n"
            "c.JupyterHub.spawner_class = Site",
            "Site is a class of the site's own",
        ),
        (
            "import wrapspawner\nclass Site(wrapspawner.ProfilesSpawner): pass\n"
            # The default profile would ask for a scheduler of this host.
            "c.ProfilesSpawner.profiles = [('Here', 'here', 'simple', {})]\n"
            "c.JupyterHub.spawner_class = Site",
            "Site is a class of the site's own",
        ),
        (
            "c.JupyterHub.spawner_class = 'batchspawner.BatchSpawnerRegexStates'\n"
            "c.BatchSpawnerBase.batch_script = '#!/bin/sh\\n#SITE --mem {memory}\\n{cmd}'",
            "BatchSpawnerRegexStates names no scheduler: all its commands are the site's own",
        ),
        (
            "c.JupyterHub.spawner_class = 'wrapspawner.WrapSpawner'\n"
            "c.WrapSpawner.child_class = 'batchspawner.SlurmSpawner'",
            "WrapSpawner may start a server of another class each time",
        ),
    ],
)
def test_classes_that_stay(tmp_path: Path, lines: str, says: str) -> None:
    """A class with commands or code of the site's own works under unispawner's names."""
    found = migrate_text(tmp_path, f"{lines}\n")
    assert says in found.report
    assert not found.is_translated
    assert None is re.search("^(?!#).*(batch|wrap)spawner[.]", found.text, re.M)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "c.JupyterHub.spawner_class is not set: there is nothing to migrate"),
        ("c.JupyterHub.spawner_class = 'simple'", "is simple, which is not one of batchspawner's"),
        ("c.JupyterHub.spawner_class = 'unispawner'", "is unispawner, which is not one of"),
        (
            "c.JupyterHub.spawner_class = 'no.such.Class'",
            "no.such.Class can't be imported",
        ),
        (
            "c.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'\n"
            "c.SlurmSpawner.req_memory = 4",
            "c.SlurmSpawner: The 'req_memory' trait",
        ),
        (
            "c.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'\nc.Spawner.mem_limit = []",
            "With this value no server can start: correct the old file first.",
        ),
        (
            "c.JupyterHub.spawner_class = 'wrapspawner.ProfilesSpawner'\n"
            "c.ProfilesSpawner.profiles = [('A', 'a', 'batchspawner.MultiSlurmSpawner', "
            "{'daemon_resolver': ''})]",
            "profile \"a\": The 'daemon_resolver' trait",
        ),
    ],
)
def test_a_configuration_that_cannot_be_migrated(tmp_path: Path, lines: str, words: str) -> None:
    """Without batchspawner, or with a value that it refuses, no file is written."""
    old = tmp_path / "old.py"
    old.write_text(f"c = get_config()\n{lines}\n")
    with pytest.raises(InvalidJobError, match=re.escape(words)):
        migrate(old)
    assert [old] == list(tmp_path.iterdir())


def test_settings_of_another_file(tmp_path: Path) -> None:
    """What a loaded file sets is taken by name, and cannot be made a comment."""
    (tmp_path / "more.py").write_text(
        "c.SlurmSpawner.start_timeout = 60\nc.SlurmSpawner.req_memory = '4G'\n"
    )
    found = migrate_slurm(tmp_path, "load_subconfig('more.py')")
    assert "c.UniSpawner.start_timeout = c.SlurmSpawner.start_timeout" in found.text
    assert 60 == found.settings["start_timeout"]
    assert "No line of the old file sets c.SlurmSpawner.req_memory: this is the" in found.report


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            "import importlib\nname = 'batchspawner'\nimportlib.import_module(name)",
            "the file can't be loaded: ",
        ),
        ("c.UniSpawner.no_such = 1", "c.UniSpawner.no_such: there is no such setting"),
        ("c.UniSpawner.host_map = 'x'", "The 'host_map' trait"),
        ("c.UniSpawner.min_uid = 0", "The value of the 'min_uid' trait"),
    ],
)
def test_what_is_wrong_with_the_new_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, says: str
) -> None:
    """The file is loaded and a job is made of it: what fails is reported, and the status is 1."""
    old = tmp_path / "old.py"
    old.write_text(f"c.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'\n{lines}\n")
    assert 1 == migrate(old)
    printed = " ".join(capsys.readouterr().out.split())
    assert says in printed[printed.index("WRONG in") :]


@pytest.mark.parametrize("name", ["req_partition", "req_host", "state_exechost_exp", "args"])
def test_an_empty_setting_says_nothing(tmp_path: Path, name: str) -> None:
    """What is empty, as by default, is neither a new setting nor a line of the report."""
    value = "[]" if name == "args" else "''"
    found = migrate_slurm(tmp_path, f"c.SlurmSpawner.{name} = {value}")
    assert {"scheduler": "slurm", "job_name": "spawner-jupyterhub"} == found.settings
    assert name not in found.report


def test_an_empty_setting_that_overrides_another(tmp_path: Path) -> None:
    """It is kept, because the other one would come back."""
    found = migrate_slurm(tmp_path, "c.Spawner.args = ['--debug']\nc.SlurmSpawner.args = []")
    assert [] == found.settings["args"]


def test_an_option_that_unispawner_refuses_keeps_the_class(tmp_path: Path) -> None:
    """An option that would make another kind of job is a reason to stay, and not a wrong file."""
    found = migrate_slurm(tmp_path, "c.SlurmSpawner.req_options = '--array=1-2'")
    assert not found.is_translated
    assert "c.SlurmSpawner.req_options: UniSpawner refuses it: " in found.report


@pytest.mark.parametrize(
    ("lines", "patched"),
    [
        ("batchspawner.SlurmSpawner.get_env = lambda self: {}", "SlurmSpawner.get_env"),
        (
            "batchspawner.SlurmSpawner.batch_script.default_value = '{cmd}'",
            "SlurmSpawner.batch_script",
        ),
    ],
)
def test_a_file_that_changes_batchspawners_classes(
    tmp_path: Path, lines: str, patched: str
) -> None:
    """Its class stays, because UniSpawner would have nothing of it; the change does not outlast
    the reading of the file."""
    before = unispawner.SlurmSpawner.get_env, unispawner.SlurmSpawner.batch_script.default_value
    found = migrate_slurm(tmp_path, f"import batchspawner\n{lines}")
    assert not found.is_translated
    assert f"the file changes batchspawner's own classes ({patched})" in found.report
    after = unispawner.SlurmSpawner.get_env, unispawner.SlurmSpawner.batch_script.default_value
    assert before == after


def test_a_module_of_the_sites_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The lines to change in it are in the report; the new file works as soon as they are."""
    (tmp_path / "site_classes.py").write_text(
        "from batchspawner import SlurmSpawner\nclass Site(SlurmSpawner):\n    pass\n"
    )
    (tmp_path / "more.py").write_text("import batchspawner\n")
    old = tmp_path / "old.py"
    old.write_text(
        "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\n"
        "from site_classes import Site\nload_subconfig('more.py')\nload_subconfig('no.py')\n"
        "c.JupyterHub.spawner_class = Site\nc.jupyterhub.port = 1\n"
    )
    assert 0 == migrate(old, "-"), capsys.readouterr()
    report = " ".join(capsys.readouterr().err.split())
    assert f"{tmp_path}/site_classes.py, line 1: from unispawner import SlurmSpawner" in report
    assert f"{tmp_path}/more.py, line 1: import unispawner" in report
    assert "load_subconfig('no.py'): there is no such file" in report
    assert "c.jupyterhub: the name of a class begins with a capital letter" in report
    assert "site_classes" not in sys.modules


@pytest.mark.parametrize(
    ("lines", "new"),
    [
        ("import batchspawner.api", "unispawner.api"),
        (
            "import batchspawner\nx = batchspawner.api.BatchSpawnerAPIHandler",
            "unispawner.api.Batch",
        ),
        ("from batchspawner.api import BatchSpawnerAPIHandler", "from unispawner.api import Batch"),
        ("x = 'batchspawner.api.BatchSpawnerAPIHandler'", '"unispawner.api.BatchSpawner'),
        ("import importlib\nimportlib.import_module('batchspawner')", '("unispawner")'),
    ],
)
def test_other_ways_to_name_batchspawner(tmp_path: Path, lines: str, new: str) -> None:
    """The handler of batchspawner.api has a counterpart; an import by a function is one, too."""
    found = migrate_slurm(tmp_path, lines)
    assert found.is_translated
    assert new in found.text


def test_a_class_that_stays_and_that_the_hub_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would end the Hub's start is WRONG: a class that stays is not said to work."""
    old = tmp_path / "old.py"
    old.write_text(
        "import batchspawner\nclass Site(batchspawner.SlurmSpawner):\n"
        "    batch_submit_cmd = 'sbatch -M {site}'\n"
        "c.JupyterHub.spawner_class = Site\n"
    )
    assert 1 == migrate(old)
    printed = " ".join(capsys.readouterr().out.split())
    assert "c.Site.batch_submit_cmd: there is no field 'site'" in printed


def test_a_class_that_needs_a_user(tmp_path: Path) -> None:
    """Code of the site that fails without a user is no reason to fail."""
    found = migrate_text(
        tmp_path,
        "import batchspawner\nclass Site(batchspawner.SlurmSpawner):\n"
        "    @property\n    def batch_script(self):\n        return self.user.name\n"
        "c.JupyterHub.spawner_class = Site\n",
    )
    assert "Site is a class of the site's own" in found.report


def test_what_a_script_that_stays_finds_empty(tmp_path: Path) -> None:
    """A line that reads a variable of the server, in a script that isn't sh's, is pointed at."""
    found = migrate_slurm(
        tmp_path,
        "c.SlurmSpawner.environment = {'SITE_PLACE': lambda spawner: 'x'}\n"
        "c.SlurmSpawner.batch_script = '#!/usr/bin/perl\\nprint $ENV{SITE_PLACE};\\n{cmd}\\n'\n"
        "c.SlurmSpawner.batch_script = '#!/usr/bin/python3\\n'"
        "'import os; x = os.environ[\"SITE_PLACE\"]\\n{cmd}\\n'",
    )
    assert not found.is_translated
    assert "batch_script, line 2: SITE_PLACE is empty there" in found.report


@pytest.mark.parametrize(
    "cls", ["no.such.ProfilesSpawner", "wrapspawner.DockerProfilesSpawner", "kslhub.Site"]
)
def test_a_class_that_is_not_here(tmp_path: Path, cls: str) -> None:
    """The message says that it is missing, and not that the class is none of batchspawner's."""
    old = tmp_path / "old.py"
    old.write_text(f"c.JupyterHub.spawner_class = {cls!r}\n")
    with pytest.raises(InvalidJobError, match="no counterpart of|can't be imported here"):
        migrate(old)


def test_a_module_beside_the_file(tmp_path: Path) -> None:
    """A class that a string names, in a module beside the configuration, is found."""
    (tmp_path / "beside_the_file.py").write_text(
        "from batchspawner import SlurmSpawner\nclass Site(SlurmSpawner):\n    pass\n"
    )
    found = migrate_text(tmp_path, "c.JupyterHub.spawner_class = 'beside_the_file.Site'\n")
    assert "beside_the_file.Site is a class of the site's own" in found.report


def test_slow_servers_have_as_much_time_as_before(tmp_path: Path) -> None:
    """A job whose server takes an hour is not given up sooner: report_timeout follows the site's
    own time limits, so that no setting is necessary."""
    found = migrate_slurm(tmp_path, "c.Spawner.start_timeout = 3600\nc.Spawner.http_timeout = 300")
    assert found.is_translated
    limits = find_limits(unispawner.UniSpawner(config=found.config))
    assert (3600, 3600) == (limits.silent, limits.longest)


@pytest.mark.parametrize(
    ("name", "job_name"),
    [("jl-{username}", "jl-{username}"), ("jl", "jl"), ("jl-{homedir}", "spawner-jupyterhub")],
)
def test_the_name_of_the_job(tmp_path: Path, name: str, job_name: str) -> None:
    """The user's name in the script's job name is that of UniSpawner's job_name."""
    script = f"#!/bin/bash\n#SBATCH --job-name={name}\n{{cmd}}\n"
    found = migrate_slurm(tmp_path, f"c.SlurmSpawner.batch_script = {script!r}")
    assert found.is_translated
    assert job_name == found.settings.get("job_name", "spawner-jupyterhub")


@pytest.mark.parametrize(
    "name", ["f'batchspawner.{kind}Spawner'", "'batchspawner.%sSpawner' % kind"]
)
def test_a_name_that_the_file_computes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A class that stays under the old package's name is WRONG: no line could be changed."""
    old = tmp_path / "old.py"
    old.write_text(
        f"kind = 'Slurm'\nc.JupyterHub.spawner_class = {name}\nc.SlurmSpawner.exec_prefix = ''\n"
    )
    assert 1 == migrate(old)
    printed = " ".join(capsys.readouterr().out.split())
    assert "c.JupyterHub.spawner_class still has 'batchspawner.SlurmSpawner'" in printed


def test_names_in_f_strings(tmp_path: Path) -> None:
    """A name in an f-string is changed, and the text around it is not."""
    found = migrate_text(
        tmp_path,
        'import batchspawner\nx = f"""a\nb {batchspawner.__name__} c"""\n'
        "c.JupyterHub.spawner_class = f'batchspawner.SlurmSpawner'\n"
        "c.SlurmSpawner.exec_prefix = ''\n",
    )
    assert "b {unispawner.__name__} c" in found.text
    assert "unispawner.SlurmSpawner" == found.config.JupyterHub.spawner_class


def test_profiles_that_need_a_user(tmp_path: Path) -> None:
    """Profiles that a property makes of the user are no reason to fail."""
    found = migrate_text(
        tmp_path,
        "import wrapspawner\nclass Site(wrapspawner.ProfilesSpawner):\n    @property\n"
        "    def profiles(self):\n        return [(self.user.name, 'a', 'simple', {})]\n"
        "c.JupyterHub.spawner_class = Site\n",
    )
    assert "Site is a class of the site's own" in found.report


def test_a_file_that_goes_to_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is where it was asked for, although the old one calls os.chdir."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.py").write_text(
        "import os\nos.chdir('/')\nc.JupyterHub.spawner_class = 'batchspawner.SlurmSpawner'\n"
    )
    assert 0 == migrate(Path("old.py"), "new.py")
    assert (tmp_path / "new.py").exists()


BY_COMMANDS = """
c.SlurmSpawner.batch_submit_cmd = 'sbatch --parsable {0}'
c.SlurmSpawner.batch_query_cmd = "squeue {1} -h -j {{job_id}} -o '%T %B'"
c.SlurmSpawner.batch_cancel_cmd = '/opt/slurm/bin/scancel {2} {{job_id}}'
"""


@pytest.mark.parametrize(
    ("lines", "cluster"),
    [
        (BY_COMMANDS.format("-M lab", "--clusters=lab", "-Mlab"), "lab"),
        (
            BY_COMMANDS.format("-M {cluster}", "--clusters={cluster}", "-M {cluster}")
            + "c.SlurmSpawner.req_cluster = 'east'\n",
            "east",
        ),
        (
            "c.SlurmSpawner.batch_script = '#!/bin/bash\\n'"
            "'#SBATCH --clusters={cluster}\\n{cmd}\\n'\n"
            "c.SlurmSpawner.req_cluster = 'west'\n",
            "west",
        ),
    ],
)
def test_commands_that_name_a_cluster(tmp_path: Path, lines: str, cluster: str) -> None:
    """The cluster that the commands or the script name becomes slurm_cluster."""
    found = migrate_slurm(tmp_path, lines)
    assert found.is_translated, found.report
    assert f'c.UniSpawner.slurm_cluster = "{cluster}"' in found.text
    assert "SLURM_CLUSTERS" not in found.text


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (BY_COMMANDS.format("-M lab", "-M east", "-M lab"), "it names the cluster 'east'"),
        (BY_COMMANDS.format("-M all", "-M all", "-M all"), "must be the name of one cluster"),
        (BY_COMMANDS.format("-M a,b", "-M a,b", "-M a,b"), "must be the name of one cluster"),
    ],
)
def test_commands_that_name_several_clusters(tmp_path: Path, lines: str, why: str) -> None:
    """Commands that name several clusters, or different ones, stay with the old class."""
    found = migrate_slurm(tmp_path, lines)
    assert not found.is_translated
    assert why in found.report
