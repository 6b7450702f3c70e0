"""Which variables others may see: those of the commands that the Hub runs.

What a submit command has in its environment ends up where other users read it: in ``qstat -j``, in
spool folders on nodes. So only names that tell nothing have their values there. The rest is in the
job's private file, and the name alone, with an empty value, in the environment: a script's
``-v {keepvars}`` still finds each.
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
"""Names whose values are no secret; and every ``LC_…``."""

_FINDS_PROGRAMS = frozenset({"PATH", "LD_LIBRARY_PATH", "PYTHONPATH"})
"""What the Hub's own shell finds exec_prefix by: the server's may lead into its user's home."""


def of_commands(public: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of query and cancel commands: of the Hub's own, what is no secret.

    Parameters
    ----------
    public
        Further names.
    """
    return {name: value for name, value in os.environ.items() if _is_public(name, public)}


def of_submission(environment: Mapping[str, str], public: Collection[str] = ()) -> dict[str, str]:
    """Return the environment of the submit command: every name, and the values of public ones.

    PATH is the Hub's own, and what the scheduler's commands need, unless the server is given it.
    """
    needed = {name: os.environ[name] for name in ("PATH", *_SCHEDULERS) if name in os.environ}
    known = {name: value if _is_public(name, public) else "" for name, value in environment.items()}
    hubs = _FINDS_PROGRAMS & set(known) - set(public)
    return {**needed, **known, **{name: os.environ.get(name, "") for name in hubs}}


def _is_public(name: str, public: Collection[str]) -> bool:
    return name in PUBLIC or name in public or bool(re.fullmatch(r"LC_[A-Z]+", name))
