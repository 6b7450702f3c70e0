"""The pytest plugin: the options of the conformance suite, and its report.

pytest loads this module in every run, by the entry point ``pytest11``. It imports nothing and adds
no option unless the command line names the suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

SUITE = "unispawner.testing.conformance"
_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "--scheduler",
        {
            "metavar": "NAME",
            "help": "the scheduler: a value of c.UniSpawner.scheduler, such as slurm or template. "
            "Default: that of --hub-config",
        },
    ),
    (
        "--template-file",
        {
            "metavar": "PATH",
            "help": "with --scheduler template: a set of templates. Its folder, its dialect.ini, "
            "or a name such as torque",
        },
    ),
    (
        "--hub-config",
        {
            "metavar": "FILE",
            "help": "a jupyterhub_config.py whose c.UniSpawner settings are used: run_as, "
            "submit_host, scheduler_path, resources and so on",
        },
    ),
    (
        "--account",
        {
            "metavar": "NAME",
            "help": "the account that submits the jobs. Default: yours. Another one needs a run_as "
            "that works, such as a run as root",
        },
    ),
    ("--queue", {"metavar": "NAME", "help": "the queue or partition of the jobs"}),
    (
        "--set",
        {
            "action": "append",
            "default": [],
            "metavar": "TRAIT=VALUE",
            "help": "another setting of c.UniSpawner, as a Python literal or as text: "
            '--set account=ml --set \'custom_attributes={"slurm.qos": "debug"}\'. Repeatable',
        },
    ),
    (
        "--environment",
        {
            "action": "append",
            "default": [],
            "metavar": "NAME[=VALUE]",
            "help": "a variable that the scheduler's commands need, such as SLURM_CONF; without a "
            "value, your shell's counts. Repeatable",
        },
    ),
    (
        "--hold",
        {
            "metavar": "OPTION=VALUE",
            "help": "a custom attribute that makes a job wait until it is released, such as "
            "slurm.hold=True. Known schedulers need no such option",
        },
    ),
    (
        "--start-limit",
        {
            "type": float,
            "default": 120.0,
            "metavar": "SECONDS",
            "help": "how long a small job may wait in the queue. Default: 120",
        },
    ),
    (
        "--answer-limit",
        {
            "type": float,
            "default": 60.0,
            "metavar": "SECONDS",
            "help": "how soon the scheduler must show a change, such as a job's end. Default: 60",
        },
    ),
    (
        "--wait-for-limits",
        {
            "action": "store_true",
            "help": "also wait until a job is ended by its time limit of one minute; this takes "
            "several minutes",
        },
    ),
    (
        "--outputs",
        {
            "metavar": "FOLDER",
            "help": "a folder with saved answers of the scheduler's commands, for the checks that "
            "read them",
        },
    ),
    (
        "--no-jobs",
        {"action": "store_true", "help": "only check the dialect: no job is submitted"},
    ),
)


def names_suite(arguments: list[str]) -> bool:
    """Return whether a command line runs the suite, or a part of it.

    After -p, the name is a plugin's: this one's.
    """
    words = (two for one, two in zip(["", *arguments], arguments, strict=False) if one != "-p")
    return any(word == SUITE or word.startswith((f"{SUITE}.", f"{SUITE}:")) for word in words)


def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> None:
    """Add the suite's options and its other parts, if this run is of the suite."""
    _rewrite_no_more(early_config)
    if not names_suite(args):
        return
    group = parser.getgroup("unispawner", "conformance of a scheduler (unispawner)")
    for name, settings in _OPTIONS:
        group.addoption(name, **settings)
    early_config.pluginmanager.import_plugin(f"{SUITE}.fixtures")
    early_config.pluginmanager.import_plugin(f"{SUITE}.report")


def _rewrite_no_more(config: pytest.Config) -> None:
    """Have pytest rewrite no asserts of unispawner in this run but those of the suite.

    pytest rewrites all modules of a distribution that has a plugin, and so compiles the whole Hub
    anew in each process of a test account that may not write beside the modules. It marks what it
    loads of the suite by itself. Nothing public takes a mark back: without these attributes, a run
    is right and slower.
    """
    hook = getattr(config.pluginmanager, "rewrite_hook", None)
    marked = getattr(hook, "_must_rewrite", None)
    cache = getattr(hook, "_marked_for_rewrite_cache", None)
    if isinstance(marked, set) and isinstance(cache, dict):
        marked.discard(SUITE.partition(".")[0])
        cache.clear()


__all__ = ["SUITE", "names_suite", "pytest_load_initial_conftests"]
