"""The settings that name a job and its folders."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from unispawner.errors import InvalidJobError
from unispawner.servers.spawner import UniSpawner

MARK = "0123456789abcdef"


def spawner(user: str = "ada", server: str = "", **settings: Any) -> UniSpawner:
    made = UniSpawner(config=Config(UniSpawner={"scheduler": "slurm", **settings}))
    options = made.user_options
    made.user = SimpleNamespace(name=user)
    made.orm_spawner = SimpleNamespace(name=server, user_options=options, state={}, server=None)
    return made


@pytest.mark.parametrize(
    ("template", "user", "server", "expected"),
    [
        ("jupyter", "ada", "", "jupyter"),
        ("jupyter-{username}-{servername}", "ada", "gpu", "jupyter-ada-gpu"),
        ("jupyter-{username}-{servername}", "ada", "", "jupyter-ada"),
        ("{username}", "AD\\ada", "", "AD_ada"),
        ("{username}", "ada@x.example", "", "ada@x.example"),
        ("{servername}:{username}", "a{servername}", "$(id);\n", "__id___:a_servername_"),
        ("{username}", "x" * 300, "", "x" * 200),
    ],
)
def test_a_jobs_name(template: str, user: str, server: str, expected: str) -> None:
    """Placeholders are filled in once, with plain characters; a missing server leaves no hyphen."""
    made = spawner(user, server, job_name=template)
    assert expected == made.fill_job_name()
    assert expected == made.job_spec(MARK, {}).name


def test_the_profile_is_in_the_name() -> None:
    """{profile} is the profile that the server has; without profiles it is empty."""
    made = spawner(job_name="{profile}-{username}")
    assert "-ada" == made.fill_job_name()
    made.profile_slug = "gpu"
    assert "gpu-ada" == made.fill_job_name()


def test_a_function_names_the_job() -> None:
    """A function gets the spawner; a wrong result or an error names the setting."""
    assert "ada;x" != spawner(job_name=lambda s: f"{s.user.name};x").fill_job_name()
    assert "ada_x" == spawner(job_name=lambda s: f"{s.user.name};x").fill_job_name()
    for wrong in (lambda _: "", lambda _: None, lambda _: 1 / 0):
        with pytest.raises(InvalidJobError, match=r"c\.UniSpawner\.job_name: the function"):
            spawner(job_name=wrong).fill_job_name()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"job_name": "jupyter-{user}"}, r"job_name: .*unknown placeholder \{user\}; known"),
        ({"job_name": "jupyter-{username"}, "job_name: .*a brace is not closed"),
        ({"job_name": "j-{username!r:>9}"}, "job_name: .*write a placeholder without a format"),
        ({"job_name": ""}, "job_name: '' is empty as a name"),
        ({"job_name": "{username.__class__}"}, "job_name: .*unknown placeholder"),
        ({"state_dir": "/scratch/{user}"}, r"state_dir: .*the only placeholder is \{username\}"),
        ({"state_dir": "scratch"}, "state_dir: 'scratch' must be an absolute path"),
        ({"log_dir": "logs"}, "log_dir: 'logs' must be an absolute path"),
        ({"log_dir": "/logs/{servername}"}, "log_dir: .*unknown placeholder"),
        ({"directory": "$HOME/work"}, "directory: .*must be an absolute path"),
        ({"trusted_parents": ["/a/"]}, "trusted_parents: '/a/' must be an absolute path"),
        ({"trusted_parents": ["a/../b"]}, "trusted_parents"),
    ],
)
async def test_a_wrong_setting_is_found_when_the_hub_starts(
    settings: dict[str, Any], message: str
) -> None:
    """A wrong placeholder or path is an error at the Hub's start that names the setting."""
    config = Config(UniSpawner={"scheduler": "slurm", **settings})
    with pytest.raises(InvalidJobError, match=message):
        await UniSpawner.check_config(config)


def test_functions_need_no_user_when_the_hub_starts() -> None:
    """Functions that ask for the spawner's user are not called without a user."""
    made = UniSpawner(
        scheduler="slurm", job_name=lambda s: s.user.name, state_dir=lambda s: s.user.name
    )
    made.check_names()


def test_folders() -> None:
    """{username} is the account's name; a function returns the folder for the private files."""
    made = spawner(directory="/scratch/{username}/x", state_dir=lambda s: f"/priv/{s.user.name}")
    assert "/scratch/ada1/x" == made.job_spec(MARK, {}, "ada1").directory
    assert "/priv/ada" == made.state_dir_text()
    assert "" == spawner().job_spec(MARK, {}, "ada1").directory


def test_at_least_one_log_is_kept() -> None:
    """logs_kept can't be zero, because the running server's log is one of them."""
    with pytest.raises(TraitError):
        UniSpawner(logs_kept=0)
