"""The environment of the commands that the Hub runs, which other users may see.

Other users can read the environment of a submit command: in ``qstat -j``, in spool folders on
nodes. So it has the values of variables that are no secret only. The other values are in the job's
private file; the environment has their names with empty values, so that a script's
``-v {keepvars}`` finds all of them. Slurm shows the environment of ``sbatch`` to the job's owner
only, so there it may also have what the configuration file itself sets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from traitlets.config.loader import LazyConfigValue

from ..job import SEARCH_PATHS

_LOGIN = (
    *("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TZ", "USER"),
    *("CONDA_DEFAULT_ENV", "CONDA_ROOT", "LD_LIBRARY_PATH", "MANPATH", "MODULEPATH", "PYTHONPATH"),
    "VIRTUAL_ENV",
)
_SCHEDULERS = (
    *("SGE_ROOT", "SGE_CELL", "SGE_CLUSTER_NAME", "SGE_EXECD", "SGE_EXECD_PORT"),
    *("SGE_QMASTER_PORT", "LSF_ENVDIR", "LSF_SERVERDIR", "LSF_FULL_VERSION", "LSF_LIBDIR"),
    *("LSF_BINDIR", "SLURM_CONF", "SLURM_CLUSTERS", "CONDOR_CONFIG", "_CONDOR_SCHEDD_HOST"),
    *("PBS_CONF_FILE", "PBS_DEFAULT", "PBS_EXEC", "PBS_HOME", "PBS_SERVER", "MOABHOMEDIR"),
    *("OARCONFFILE",),
)
_OF_THE_SERVER = (
    *("ACTIVITY_URL", "API_URL", "BASE_URL", "CLIENT_ID", "DEFAULT_URL", "HOST", "ROOT_DIR"),
    *("PUBLIC_HUB_URL", "PUBLIC_URL", "SERVER_NAME", "SERVICE_PREFIX", "SERVICE_URL"),
    *("SINGLEUSER_APP", "USER"),
)
PUBLIC = frozenset(
    (
        *_LOGIN,
        *_SCHEDULERS,
        *(f"JUPYTERHUB_{name}" for name in _OF_THE_SERVER),
        *("MEM_LIMIT", "MEM_GUARANTEE", "CPU_LIMIT", "CPU_GUARANTEE"),
    )
)
"""Names whose values are no secret; all ``LC_…`` are public, too (see :func:`_is_public`)."""

_OF_THE_SHELL = re.compile(
    r"HOME|IFS|ENV|BASH_ENV|BASH_FUNC_.*|SHELLOPTS|BASHOPTS|PS4|GCONV_PATH|LD_\w+|PYTHON\w*|PERL\w*"
)
"""Variables that decide what the Hub's own shell and the program of exec_prefix run. The values of
the server may name folders in its user's home."""

SECRET_NAME = re.compile(r"TOKEN|SECRET|PASS|CREDENTIAL|KEY", re.IGNORECASE)
"""What the name of a variable has in it whose value is probably a secret."""
_PASSWORD_IN_URL = re.compile(r"://[^/\s]*:[^/\s]*@")


def of_commands(public: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of query and cancel commands: the Hub's variables without secrets.

    Parameters
    ----------
    public
        Further names whose values are no secret.
    """
    return {name: value for name, value in os.environ.items() if _is_public(name, public)}


def of_submission(environment: Mapping[str, str], public: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of the submit command: all names, and the values of public ones.

    Search paths, HOME and the like decide what the Hub's own shell runs, so their values are the
    Hub's or empty. ``public`` may name LD_LIBRARY_PATH and PYTHONPATH nevertheless. Variables that
    the scheduler's commands need are the Hub's, unless the server has them.
    """
    needed = {name: os.environ[name] for name in ("PATH", *_SCHEDULERS) if name in os.environ}
    servers = {
        name: value if _is_public(name, public) else "" for name, value in environment.items()
    }
    ours = {
        name: os.environ.get(name, "") if name in PUBLIC else ""
        for name in servers
        if name == "PATH"
        or (name in SEARCH_PATHS and name not in public)
        or (name not in SEARCH_PATHS and _OF_THE_SHELL.fullmatch(name))
    }
    return {**needed, **servers, **ours}


def strings_of_config(
    config: Mapping[str, Any], spawner_class: type, environment: Mapping[str, str]
) -> set[str]:
    """Return the variables that a server has as the configuration file itself writes them.

    They are plain texts of ``c.Spawner.environment``. Left out is what a function or a hook has
    made, what looks like a secret by its name, a URL with a password, and search paths.

    Parameters
    ----------
    config
        The Hub's configuration.
    spawner_class
        The class whose section, or whose parent's, has the setting.
    environment
        The server's variables.
    """
    sections = (config.get(cls.__name__, {}) for cls in spawner_class.__mro__)
    found: Any = next(
        (section["environment"] for section in sections if "environment" in section), {}
    )
    if isinstance(found, LazyConfigValue):  # c.Spawner.environment.update(…)
        found = found.to_dict().get("update", {})
    return {
        name
        for name, value in dict(found).items()
        if isinstance(value, str)
        and environment.get(name) == value
        and name not in SEARCH_PATHS  # the Hub's shell reads them, too
        and not (SECRET_NAME.search(name) or _PASSWORD_IN_URL.search(value))
    }


def of_scheduler(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that the scheduler's commands need: the Hub's, or else the server's."""
    own = {**environment, **os.environ}
    return {name: str(own[name]) for name in _SCHEDULERS if name in own}


def _is_public(name: str, public: Collection[str]) -> bool:
    return name in PUBLIC or name in public or bool(re.fullmatch(r"LC_[A-Z]+", name))
