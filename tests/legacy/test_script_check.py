"""What the Hub's start and doctor say of a site's script."""

from __future__ import annotations

import re
from typing import Any

import pytest
from traitlets.config import Config

from unispawner import CondorSpawner, GridengineSpawner, SlurmSpawner
from unispawner.errors import InvalidJobError
from unispawner.legacy.script_check import find_warnings

ENVIRONMENT = {"SITE_DIR": "/opt/site", "DATABASE": "db://user:password@host/x"}


def warnings(spawner_class: Any = SlurmSpawner, **settings: Any) -> list[str]:
    settings = {"environment": ENVIRONMENT, **settings}
    return find_warnings(spawner_class(config=Config({spawner_class.__name__: settings})))


async def check(spawner_class: Any = SlurmSpawner, **settings: Any) -> None:
    await spawner_class.check_config(Config({spawner_class.__name__: settings}))


def test_our_own_scripts() -> None:
    """The default scripts need nobody's attention."""
    for spawner_class in (SlurmSpawner, GridengineSpawner, CondorSpawner):
        assert [] == warnings(spawner_class)


@pytest.mark.parametrize(
    ("script", "line", "name"),
    [
        ("#!/bin/csh\n#SBATCH -n 1\nsource $DATABASE\n{cmd}\n", 3, "DATABASE"),
        ("#!/bin/csh\n{cmd}\necho ${JUPYTERHUB_API_TOKEN}\n", 3, "JUPYTERHUB_API_TOKEN"),
        ("#!/usr/bin/python3\nimport os\nos.environ['DATABASE']  # {cmd}\n", 3, "DATABASE"),
        ("#!/usr/bin/perl\nprint $ENV{'DATABASE'}; exec '{cmd}'\n", 2, "DATABASE"),
    ],
)
def test_variables_that_stay_empty(script: str, line: int, name: str) -> None:
    """A script of another language than sh's reads an empty text for a variable whose value the
    submit command does not get; the variable and the line are named."""
    (found,) = warnings(batch_script=script.replace("{cmd}", "{{cmd}}"))
    assert f"c.SlurmSpawner.batch_script, line {line}: {name} is empty there" in found
    assert f'c.SlurmSpawner.public_environment = ["{name}"]' in found


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_script": "#!/bin/bash\nsource $DATABASE $JUPYTERHUB_API_TOKEN\n{cmd}\n"},
        {"batch_script": "#!/bin/csh\nls $SITE_DIR $HOME $SLURM_JOB_ID\n{cmd}\n"},
        {"batch_script": "#!/bin/csh\n# $DATABASE\n{cmd}\n"},
        {
            "batch_script": "#!/bin/csh\nls $DATABASE\n{cmd}\n",
            "public_environment": ["DATABASE"],
        },
    ],
)
def test_variables_that_are_there(settings: dict[str, Any]) -> None:
    """A script of sh has all variables. Another has the plain texts of the configuration file on
    Slurm, what public_environment names, and what is not the server's."""
    assert [] == warnings(**settings)


def test_variables_on_other_schedulers() -> None:
    """Schedulers that show the environment of a submission get no texts of the configuration file,
    so a submit description or a submit command that reads them is named."""
    script = 'executable = /bin/sh\narguments = {cmd}\nenvironment = "A=$ENV(SITE_DIR)"\nqueue\n'
    (found,) = warnings(CondorSpawner, batch_script=script)
    assert "c.CondorSpawner.batch_script, line 3: SITE_DIR is empty there" in found
    (found,) = warnings(GridengineSpawner, batch_submit_cmd="qsub -l site=$SITE_DIR")
    assert "c.GridengineSpawner.batch_submit_cmd, line 1: SITE_DIR is empty there" in found


def test_scripts_that_can_be_right() -> None:
    """A script of sh without {cmd} may start the server by itself, and a script that Slurm runs in
    an image may find the private files there; both are named."""
    (found,) = warnings(batch_script="#!/bin/bash\n/opt/site/start\n")
    assert "the script has no {cmd}" in found
    (found,) = warnings(batch_script="#!/bin/bash\n#SBATCH --container-image=x\n{cmd}\n")
    assert "mount c.SlurmSpawner.state_dir" in found


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/csh\n/opt/site/start\n", "the script has no {cmd}"),
        ("#!/usr/bin/python3\nimport site_starter\n", "its first line names /usr/bin/python3"),
        ("#!/bin/csh\n$VENV/bin/batchspawner-singleuser x\n", "the script has no {cmd}"),
        ("#!/bin/csh\ndocker run -e JUPYTERHUB_API_TOKEN image {cmd}\n", "has no token to pass"),
    ],
)
async def test_scripts_that_start_no_server(script: str, message: str) -> None:
    """A script in which nothing gets the server's token ends the Hub's start, with the trait and
    the script; where a hook may replace the script, the log has it."""
    with pytest.raises(InvalidJobError, match=re.escape(message)) as raised:
        await check(batch_script=script)
    assert "c.SlurmSpawner.batch_script" in str(raised.value)
    assert script.strip() in str(raised.value)
    await check(batch_script=script, pre_spawn_hook=lambda spawner: None)


@pytest.mark.parametrize(
    "script",
    [
        "#!/bin/csh\n{cmd}\n",
        "#!/bin/csh\n/opt/bin/batchspawner-singleuser jupyterhub-singleuser\n",
        "#!/bin/csh\ndocker run -v /users:/users -e JUPYTERHUB_API_TOKEN image {cmd}\n",
        "#!/bin/bash\ncurl $JUPYTERHUB_API_URL/batchspawner\n",
        "#!/bin/bash\ndocker run -e JUPYTERHUB_API_TOKEN image {cmd}\n",
        "#PBS -q x\n/opt/site/start\n",
    ],
)
async def test_scripts_that_start_a_server(script: str) -> None:
    """Whatever way a script of sh starts the server, the Hub starts; so it does where our wrapper
    runs in a script of another language."""
    await check(batch_script=script)


async def test_a_script_that_a_class_makes_for_a_user() -> None:
    """A property or a function that needs a user says nothing before there is a user."""

    class Site(SlurmSpawner):
        @property
        def batch_script(self) -> str:
            return f"#!/bin/csh\n# {self.user.name}\n"

        def batch_submit_cmd(self) -> str:
            return f"sbatch --comment={self.user.name}"

    assert [] == warnings(Site)
