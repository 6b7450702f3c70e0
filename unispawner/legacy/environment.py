"""The environment of the commands that the Hub runs, which other users may see.

Other users can read the environment of a submit command: in ``qstat -j``, in spool folders on
nodes. So it has the values of variables that are no secret only. The other values are in the job's
private file; the environment has their names with empty values, so that a script's
``-v {keepvars}`` finds all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping

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

_SEARCH_PATHS = frozenset({"PATH", "LD_LIBRARY_PATH", "PYTHONPATH"})
"""Where the Hub's own shell looks for the program of exec_prefix. The values of the server may name
folders in its user's home."""


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

    The values of search paths are the Hub's, unless ``public`` names them. Variables that the
    scheduler's commands need are the Hub's, unless the server has them.
    """
    needed = {name: os.environ[name] for name in ("PATH", *_SCHEDULERS) if name in os.environ}
    servers = {
        name: value if _is_public(name, public) else "" for name, value in environment.items()
    }
    paths = _SEARCH_PATHS & set(servers) - set(public)
    return {**needed, **servers, **{name: os.environ.get(name, "") for name in paths}}


def _is_public(name: str, public: Collection[str]) -> bool:
    return name in PUBLIC or name in public or bool(re.fullmatch(r"LC_[A-Z]+", name))
