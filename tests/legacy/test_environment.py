"""The environment of the submit command: which values of the server's variables it has."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets.config import Config

from unispawner import SlurmSpawner, TorqueSpawner
from unispawner.legacy.environment import of_submission, strings_of_config


@pytest.mark.threat(
    who="user",
    tries="Their server's variables lead the Hub's own shell into their home.",
    stopped_by="Variables that decide what a shell or an interpreter runs never have the "
    "server's value there.",
)
@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "LD_PRELOAD", "LD_LIBRARY_PATH"),
        *("PYTHONPATH", "PYTHONSTARTUP", "PERL5LIB", "PERL5OPT", "GCONV_PATH"),
    ],
)
def test_what_never_reaches_the_hubs_shell(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that decide what a shell or an interpreter runs are the Hub's or empty, because the
    server's may lead into a user's home. public_environment can name only two of them."""
    paths = {"PATH", "LD_LIBRARY_PATH", "PYTHONPATH"}
    public = [] if name in ("LD_LIBRARY_PATH", "PYTHONPATH") else [name]
    assert "/home/ada" != of_submission({name: "/home/ada"}, public)[name]
    monkeypatch.setenv(name, "/opt/hub")
    expected = "/opt/hub" if name in {*paths, "HOME"} else ""
    assert expected == of_submission({name: "/home/ada"})[name]


SETTINGS = {
    "LD_LIBRARY_PATH": "/opt/site/lib",
    "CONDA_PREFIX_DIR": "/opt/site/conda",
    "NAME": lambda spawner: "made",
    "DATABASE": "postgresql://hub:password@db/x",
    "SITE_TOKEN": "abc",
    "DB_PASS": "abc",
    "CHANGED": "in the file",
    "NUMBER": 5,
}
SERVERS = {
    **{name: str(value) for name, value in SETTINGS.items()},
    "NAME": "made",
    "CHANGED": "by a hook",
    "HOOKS": "own",
}


@pytest.mark.threat(
    who="other user",
    tries="They read a secret in the environment of the submit command.",
    stopped_by="It has plain texts of the configuration file only: no secret by its name, "
    "and no URL with a password.",
)
@pytest.mark.parametrize("section", ["Spawner", "BatchSpawnerBase", "SlurmSpawner"])
def test_texts_of_the_configuration_file(section: str) -> None:
    """Plain texts that the file itself sets are found in the section of the class or of a parent;
    what a function or a hook has made, secrets by name, URLs with a password and search paths are
    not."""
    config = Config({section: {"environment": SETTINGS}})
    assert {"CONDA_PREFIX_DIR"} == strings_of_config(config, SlurmSpawner, SERVERS)


def test_texts_that_are_added_to_the_default() -> None:
    """c.Spawner.environment.update(…) counts as well."""
    config = Config()
    config.Spawner.environment.update({"SITE": "x"})
    assert {"SITE"} == strings_of_config(config, SlurmSpawner, {"SITE": "x"})
    assert set() == strings_of_config(Config(), SlurmSpawner, {"SITE": "x"})


@pytest.mark.parametrize(
    ("spawner_class", "expected"), [(SlurmSpawner, {"A", "B"}), (TorqueSpawner, {"A"})]
)
def test_only_slurm_hides_the_environment(spawner_class: Any, expected: set[str]) -> None:
    """sbatch gets the texts of the configuration file, because Slurm shows them to nobody else; the
    commands of other schedulers get what public_environment names."""
    config = Config({"Spawner": {"environment": {"A": "1", "B": "2"}}})
    spawner = spawner_class(config=config, public_environment=["A"])
    assert expected == spawner.find_public_names({"A": "1", "B": "2"})
