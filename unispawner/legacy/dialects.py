"""batchspawner's classes, one a scheduler; the defaults are the files of ``legacy_templates/``."""

from __future__ import annotations

import os
import pwd
import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING, Any

from traitlets import Dict, Unicode

from ..schedulers.template_dialect import make_linear, read_dialect
from .base import BatchSpawnerBase
from .status import LONGEST_LOGGED

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Env
else:
    _Env = object

_HELP = {
    "batch_script": "The job's script, a template. Default: {file}.",
    "batch_submit_cmd": "The command that reads the script and prints the job's id.",
    "batch_query_cmd": "The command that tells a job's state. A template, with {{job_id}}.",
    "batch_cancel_cmd": "The command that cancels a job. A template, with {{job_id}}.",
    "state_pending_re": "What batch_query_cmd prints of a job that waits. A regular expression.",
    "state_running_re": "What batch_query_cmd prints of a job that runs. A regular expression.",
    "state_exechost_re": "Finds the host in what batch_query_cmd prints: its first group.",
    "state_unknown_re": "What batch_query_cmd prints if the scheduler can't answer.",
}


def _defaults(name: str, *traits: str) -> dict[str, Unicode[Any, Any]]:
    """Return traits whose defaults are a set's; those that are not named, of its commands alone."""
    dialect = read_dialect(name)
    values = {
        "batch_script": dialect.script,
        "batch_submit_cmd": dialect.submit,
        "batch_query_cmd": dialect.query,
        "batch_cancel_cmd": dialect.cancel,
        "state_pending_re": dialect.pattern("pending"),
        "state_running_re": dialect.pattern("running"),
        "state_exechost_re": dialect.pattern("exec_host"),
        "state_unknown_re": dialect.pattern("unknown"),
    }
    file = f"legacy_templates/{name}/job.*"
    return {
        trait: Unicode(values[trait], help=_HELP[trait].format(file=file)).tag(config=True)
        for trait in traits
    }


_SCRIPT = ("batch_script",)
_COMMANDS = ("batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
_PATTERNS = ("state_pending_re", "state_running_re", "state_exechost_re")


class BatchSpawnerRegexStates(BatchSpawnerBase):
    """Reads what the query command prints by regular expressions."""

    state_pending_re = Unicode(
        "", help="What batch_query_cmd prints of a job that waits. A regular expression."
    ).tag(config=True)
    state_running_re = Unicode(
        "", help="What batch_query_cmd prints of a job that runs. A regular expression."
    ).tag(config=True)
    state_exechost_re = Unicode(
        "", help="Finds the host in what batch_query_cmd prints: its first group."
    ).tag(config=True)
    state_exechost_exp = Unicode(
        "",
        help=r"""How the host is made of what state_exechost_re has found: a text with \1 for the
        first group (re.Match.expand). Empty: the first group itself.""",
    ).tag(config=True)
    state_unknown_re = Unicode(
        "",
        help="""What batch_query_cmd prints if the scheduler can't answer. Empty: whatever it
        prints when it fails, unless state_notfound_re knows it.""",
    ).tag(config=True)

    def state_ispending(self) -> Any:
        """Return whether ``state_pending_re`` is found in ``job_status``."""
        assert self.state_pending_re, "Misconfigured: define state_running_re"
        return self.job_status and re.search(self.state_pending_re, self.job_status)

    def state_isrunning(self) -> Any:
        """Return whether ``state_running_re`` is found in ``job_status``."""
        assert self.state_running_re, "Misconfigured: define state_running_re"
        return self.job_status and re.search(self.state_running_re, self.job_status)

    def state_isunknown(self) -> Any:
        """Return whether ``state_unknown_re`` is found in ``job_status``; None if it is empty."""
        if self.state_unknown_re:
            return self.job_status and re.search(self.state_unknown_re, self.job_status)
        return None

    def state_gethost(self) -> str | None:
        """Return the host that ``state_exechost_re`` finds in ``job_status``."""
        assert self.state_exechost_re, "Misconfigured: define state_exechost_re"
        match = re.search(make_linear(self.state_exechost_re), self.job_status)
        if not match:
            words = self.job_status[:LONGEST_LOGGED]
            self.log.error("Spawner unable to match host addr in job status: %s", words)
            return None
        if not self.state_exechost_exp:
            return str(match.groups()[0])
        return match.expand(self.state_exechost_exp)


class TorqueSpawner(BatchSpawnerRegexStates):
    """TORQUE."""

    vars().update(_defaults("torque", *_SCRIPT, *_COMMANDS, *_PATTERNS))


class MoabSpawner(TorqueSpawner):
    """Moab, whose commands submit TORQUE's script."""

    vars().update(_defaults("moab", *_COMMANDS, *_PATTERNS))


class PBSSpawner(TorqueSpawner):
    """PBS Pro and OpenPBS."""

    vars().update(_defaults("pbs", *_SCRIPT, "batch_query_cmd", *_PATTERNS))


class UserEnvMixin(_Env):
    """Gives the server USER, HOME and SHELL of the user's account."""

    def user_env(self, env: dict[str, Any]) -> dict[str, Any]:
        """Return the environment with the account's variables added."""
        env["USER"] = self.user.name
        entry = pwd.getpwnam(self.user.name)
        if entry.pw_dir:
            env["HOME"] = entry.pw_dir
        if entry.pw_shell:
            env["SHELL"] = entry.pw_shell
        return env

    def get_env(self) -> dict[str, Any]:
        """Return the server's environment."""
        return self.user_env(super().get_env())


class SlurmSpawner(UserEnvMixin, BatchSpawnerRegexStates):
    """Slurm."""

    vars().update(_defaults("slurm", *_SCRIPT, *_COMMANDS, *_PATTERNS, "state_unknown_re"))

    req_cluster = Unicode("", help="The cluster to submit to: {cluster}.").tag(config=True)
    req_qos = Unicode("", help="The quality of service: {qos}.").tag(config=True)
    req_srun = Unicode(
        "srun",
        help="""What the server's command is put behind: {srun}. Empty: it is no job step, and
        finds the environment as the script leaves it. Default: srun.""",
    ).tag(config=True)
    req_reservation = Unicode("", help="The reservation to run in: {reservation}.").tag(config=True)
    req_gres = Unicode("", help="Further resources, such as GPUs: {gres}.").tag(config=True)

    def parse_job_id(self, output: str) -> str:
        """Return the job's number, which ``sbatch --parsable`` prints in its last line.

        Raises
        ------
        Exception
            If there is none.
        """
        try:
            # Plugins of a site may print before it; behind a semicolon is the cluster.
            job_id = output.splitlines()[-1].split(";")[0]
            int(job_id)
        except Exception:
            self.log.error(
                "SlurmSpawner unable to parse job ID from text: %s", output[:LONGEST_LOGGED]
            )
            raise
        return job_id


class MultiSlurmSpawner(SlurmSpawner):
    """Slurm whose nodes have other names than their hosts."""

    daemon_resolver = Dict({}, help="Which host a node is: {'node1': 'host1'}.").tag(config=True)

    def state_gethost(self) -> Any:
        """Return the host, by ``daemon_resolver``."""
        host: Any = SlurmSpawner.state_gethost(self)
        return self.daemon_resolver.get(host, host)


class _SchedulersEnvironment(_Env):
    """Gives the server what the scheduler's commands need, if the Hub has it."""

    _variables: tuple[str, ...]

    def get_env(self) -> dict[str, Any]:
        """Return the server's environment."""
        env: dict[str, Any] = super().get_env()
        for name in self._variables:
            if name in os.environ:
                env.setdefault(name, os.environ[name])
        return env


_END = "</job_list>"
_LONGEST_ELEMENT = 100_000
"""Characters of one job's, of which qstat prints five hundred."""


class GridengineSpawner(_SchedulersEnvironment, BatchSpawnerBase):
    """Grid Engine."""

    vars().update(_defaults("gridengine", *_SCRIPT, *_COMMANDS))

    _variables = (
        *("SGE_CELL", "SGE_EXECD", "SGE_ROOT", "SGE_CLUSTER_NAME", "SGE_QMASTER_PORT"),
        *("SGE_EXECD_PORT", "PATH"),
    )

    def parse_job_id(self, output: str) -> str:
        """Return the third word of ``Your job 12 ("name") has been submitted``.

        qsub may print a warning before it.
        """
        last = re.search(r"^Your job \d+.*", output, re.MULTILINE)
        return (last[0] if last else output).split(" ")[2]

    def _job_list(self) -> Any:
        """Return the job's element in what ``qstat -xml`` has printed; None if it has none.

        Only that is read: all of it, which its user may have written, takes a third of a second,
        and each page that shows the progress asks anew every second.
        """
        text = self.job_status
        number = text.find(f"<JB_job_number>{self.job_id}</JB_job_number>")
        begin, end = text.rfind("<job_list", 0, max(0, number)), text.find(_END, number)
        if not 0 <= begin < number < end < begin + _LONGEST_ELEMENT:
            return None
        try:
            return ElementTree.fromstring(text[begin : end + len(_END)])  # noqa: S314 (no DTD)
        except ElementTree.ParseError:  # an error's text
            return None

    def _state(self) -> str:
        found = self._job_list()
        return "" if found is None else found.get("state", "")

    def state_ispending(self) -> bool:
        """Return whether the job waits."""
        return self._state() == "pending"

    def state_isrunning(self) -> bool:
        """Return whether the job runs."""
        return self._state() == "running"

    def state_gethost(self) -> str | None:
        """Return the host behind the queue's name, ``all.q@host``."""
        found = self._job_list()
        queue = "" if found is None else found.findtext("queue_name") or ""
        if "@" in queue:
            return str(queue.split("@")[1])
        self.log.error(
            "Spawner unable to match host addr in job %s with status %s",
            self.job_id,
            self.job_status[:LONGEST_LOGGED],
        )
        return None


class CondorSpawner(UserEnvMixin, BatchSpawnerRegexStates):
    """HTCondor."""

    vars().update(_defaults("htcondor", *_SCRIPT, *_COMMANDS, *_PATTERNS))

    def parse_job_id(self, output: str) -> str:
        """Return the cluster's number.

        Raises
        ------
        Exception
            If there is none.
        """
        match = re.search(r"submitted to cluster ([0-9]+)", output)
        if match:
            return match[1]
        message = f"CondorSpawner unable to parse jobID from text: {output[:LONGEST_LOGGED]}"
        self.log.error(message)
        raise Exception(message)

    def cmd_formatted_for_batch(self) -> str:
        """Return the text that ``{cmd}`` stands for, within both kinds of quotes."""
        return super().cmd_formatted_for_batch().replace('"', '""').replace("'", "''")


class LsfSpawner(_SchedulersEnvironment, BatchSpawnerBase):
    """LSF."""

    vars().update(_defaults("lsf", *_SCRIPT, *_COMMANDS))

    _variables = ("LSF_ENVDIR", "LSF_SERVERDIR", "LSF_FULL_VERSION", "LSF_LIBDIR", "LSF_BINDIR")

    def parse_job_id(self, output: str) -> str:
        """Return the number in ``Job <1815> is submitted to default queue <normal>.``."""
        return output.split(" ")[1].strip("<>")

    def _word(self) -> str:
        return self.job_status.split(" ", 1)[0].upper()

    def state_ispending(self) -> Any:
        """Return whether the job waits."""
        return self._word() in {"PEND", "PUSP"} if self.job_status else None

    def state_isrunning(self) -> Any:
        """Return whether the job runs."""
        return self._word() == "RUN" if self.job_status else None

    def state_gethost(self) -> str | None:
        """Return the first of the job's hosts, ``2*host1:host2``."""
        words = self.job_status.split(maxsplit=2)
        if len(words) > 1:
            return re.sub(r"^\d+\*", "", words[1].split(":")[0])
        self.log.error(
            "Spawner unable to match host addr in job %s with status %s",
            self.job_id,
            self.job_status[:LONGEST_LOGGED],
        )
        return None
