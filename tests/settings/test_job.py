"""The settings of a job: their help texts, and how they become a JobSpec or an error."""

from __future__ import annotations

import re

import pytest

from unispawner.errors import InvalidJobError
from unispawner.run_as import WAYS
from unispawner.schedulers import NAMES
from unispawner.script.rendering import render_script
from unispawner.servers.spawner import UniSpawner
from unispawner.settings.job import JobSettings
from unispawner.settings.names import NameSettings
from unispawner.settings.scheduler import SchedulerSettings

MARK = "0123456789abcdef"
CLASSES = (JobSettings, NameSettings, SchedulerSettings)
OURS = sorted(
    name for name in UniSpawner.class_traits() if any(name in vars(cls) for cls in CLASSES)
)


# -- the help texts -----------------------------------------------------------------------------


HELP = {name: " ".join(UniSpawner.class_traits()[name].help.split()) for name in OURS}


def test_help_texts_are_sentences() -> None:
    """Each setting has a help text that ends a sentence, or names the scheduler after it."""
    assert HELP
    assert [] == [name for name, text in HELP.items() if not re.fullmatch(r".{20,}[.)\]}]", text)]


def test_help_texts_of_times_name_the_unit() -> None:
    """The help text of each length of time names its unit and its default, or what None means."""
    times = [name for name in HELP if re.search("timeout|interval|warning", name)]
    assert times
    defaults = {name: UniSpawner.class_traits()[name].default_value for name in times}
    assert [] == [
        name
        for name, default in defaults.items()
        if not re.search(
            r"\(seconds\).*None \(the default\): "
            if default is None
            else rf"\(seconds\).*Default: {default:.0f}\b",
            HELP[name],
        )
    ]


def test_help_texts_name_every_choice() -> None:
    """The help texts of scheduler and run_as explain each of their values."""
    traits = UniSpawner.class_traits()
    assert [] == [one for one in ("auto", *NAMES) if f'"{one}"' not in traits["scheduler"].help]
    assert [] == [one for one in WAYS if f'"{one}"' not in traits["run_as"].help]


# -- what becomes of them -----------------------------------------------------------------------


def test_jupyterhubs_own_limits_fill_what_is_unset() -> None:
    """mem_limit and cpu_guarantee fill resources that are not set; cores are rounded up."""
    spawner = UniSpawner(scheduler="slurm", mem_limit="2G", cpu_guarantee=1.5)
    spec = spawner.job_spec(MARK, {})
    assert (2 * 1024**3, 2) == (spec.resources.memory, spec.resources.cpu_cores_per_process)
    spawner.resources = {"memory": "1G"}
    assert 1024**3 == spawner.job_spec(MARK, {}).resources.memory
    spawner.resources = {"memory_per_core": "3G"}
    assert 6 * 1024**3 == spawner.job_spec(MARK, {}).resources.memory


def test_directives_that_are_left_out() -> None:
    """omit_directives leaves directives out of the script; a custom attribute of the name stays."""
    spawner = UniSpawner(scheduler="slurm", mem_limit="2G", omit_directives=["mem", "propagate"])
    text = render_script(spawner.job_spec(MARK, {}), spawner.get_scheduler())
    assert [] == [line for line in text.splitlines() if "--mem" in line or "--propagate" in line]
    spawner.custom_attributes = {"slurm.mem": "0", "slurm.qos": "high"}
    text = render_script(spawner.job_spec(MARK, {}), spawner.get_scheduler())
    assert {"#SBATCH --mem=0", "#SBATCH --qos=high"} <= set(text.splitlines())


def test_limits_that_nothing_would_enforce_are_refused() -> None:
    """With the scheduler "local", which can't limit a server, JupyterHub's limits are an error."""
    with pytest.raises(InvalidJobError, match="mem_limit.* 'local' can't limit"):
        UniSpawner(scheduler="local", mem_limit="2G").job_spec(MARK, {})


@pytest.mark.parametrize(
    ("trait", "value", "text"),
    [
        ("resources", {"cores": 1}, "cores"),
        ("resources", {"memory": "4 gigs"}, "'4 gigs'"),
        ("resources", {"memory": "4000"}, "memory: '4000' is 4000 bytes; write '4000M' or '4G'"),
        ("resources", {"memory": "all"}, "memory: 'all' means .* exclusive_node_use: True"),
        ("resources", {"memory": "1G", "memory_per_core": "1G"}, "memory_per_core: .* only one"),
        ("mem_limit", 4000, "mem_limit: 4000 is 4000 bytes; write '4000M' or '4G'"),
        ("mem_guarantee", 16, "mem_guarantee: 16 is 16 bytes; write '16M' or '16G'"),
        ("omit_directives", ["memory"], "omit_directives: 'memory' can't be left out .* mem-per-c"),
        ("omit_directives", ["--mem"], "omit_directives: '--mem': write .* hyphens, as in 'mem'"),
        ("duration", "8:00", "'8:00'"),
        ("duration", "30:00", "duration: '30:00' .* write '00:30:00' or '30:00:00'"),
        ("duration", "UNLIMITED", "duration: 'UNLIMITED' .*slurm.time"),
        ("queue_name", "a\nb", "queue_name: 'a\\\\nb'"),
        ("custom_attributes", {"qos": "x"}, "'qos'"),
        ("custom_attributes", {"slrum.qos": "x"}, "'slrum.qos': unknown scheduler 'slrum'; known"),
        ("report_host", "eth0", "report_host: 'eth0' must be fqdn, short, .*interface:NAME"),
        ("port_range", "20000", "port_range: '20000' must be two ports"),
        ("port_range", "20999-20000", "port_range: .* the lower one first"),
        ("port_range", "1000-2000", "port_range: .* from 1024 to 65535"),
        ("port_range", "20000-70000", "port_range: .* from 1024 to 65535"),
    ],
)
def test_a_wrong_setting_is_named(trait: str, value: object, text: str) -> None:
    """The error for a wrong setting names it, its value and what would be right."""
    with pytest.raises(InvalidJobError, match=text):
        UniSpawner(scheduler="slurm", **{trait: value}).job_spec(MARK, {})


def test_the_launcher_reports_loopback_only_without_a_cluster() -> None:
    """With "local" a server reports a loopback address, else what report_host says."""
    local = UniSpawner(scheduler="local", ip="127.0.0.1").job_spec(MARK, {}).arguments
    assert ("--host", "literal:127.0.0.1") == local[2:4]
    slurm = UniSpawner(
        scheduler="slurm",
        report_host="interface:ib0",
        port_range="20000-20999",
        signal_before_end=0,
    ).job_spec(MARK, {})
    assert ("-I", "-", "--host", "interface:ib0", "--ports", "20000-20999", "--") == (
        slurm.arguments[:7]
    )
