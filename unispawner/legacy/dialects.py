"""batchspawner's class for each scheduler; the defaults are the files of ``legacy_templates/``."""

from __future__ import annotations

import os
import pwd
import re
import xml.etree.ElementTree as ElementTree
from typing import TYPE_CHECKING, Any

from traitlets import Dict, Unicode

from ..schedulers.template_dialect import make_linear, read_dialect
from .base import BatchSpawnerBase
from .status import for_log

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Env
else:
    _Env = object


class BatchSpawnerRegexStates(BatchSpawnerBase):
    """Reads the output of the query command with regular expressions."""

    state_pending_re = Unicode(
        "",
        help="""A regular expression that matches what batch_query_cmd prints about a waiting
        job.""",
    ).tag(config=True)
    state_running_re = Unicode(
        "",
        help="""A regular expression that matches what batch_query_cmd prints about a running
        job.""",
    ).tag(config=True)
    state_exechost_re = Unicode(
        "",
        help="""A regular expression for what batch_query_cmd prints; its first group matches the
        job's host.""",
    ).tag(config=True)
    state_exechost_exp = Unicode(
        "",
        help=r"""The job's host as a text in which \1 stands for the first group of
        state_exechost_re (see re.Match.expand). Empty: the first group alone.""",
    ).tag(config=True)
    state_unknown_re = Unicode(
        "",
        help="""A regular expression that matches what batch_query_cmd prints if the scheduler
        does not answer. A failed query that state_notfound_re does not match counts as no answer,
        too.""",
    ).tag(config=True)

    _searches: tuple[str, dict[str, re.Match[str] | None]] | None = None
    """The output that was searched last, and what each pattern has found."""

    def state_ispending(self) -> Any:
        """Return whether ``state_pending_re`` is found in ``job_status``."""
        assert self.state_pending_re, "Misconfigured: define state_running_re"
        return self.job_status and self._search(self.state_pending_re)

    def state_isrunning(self) -> Any:
        """Return whether ``state_running_re`` is found in ``job_status``."""
        assert self.state_running_re, "Misconfigured: define state_running_re"
        return self.job_status and self._search(self.state_running_re)

    def state_isunknown(self) -> Any:
        """Return whether ``state_unknown_re`` is found in ``job_status``; None if it is empty."""
        if self.state_unknown_re:
            return self.job_status and self._search(self.state_unknown_re)
        return None

    def _search(self, pattern: str) -> re.Match[str] | None:
        """Search the last query's output, once for each pattern.

        It may have megabytes, and each page that shows the progress asks every second.
        """
        output = self.job_status
        if self._searches is None or self._searches[0] is not output:
            self._searches = output, {}
        found = self._searches[1]
        if pattern not in found:
            found[pattern] = re.search(pattern, output)
        return found[pattern]

    def state_gethost(self) -> str | None:
        """Return the host that ``state_exechost_re`` finds in ``job_status``."""
        assert self.state_exechost_re, "Misconfigured: define state_exechost_re"
        match = re.search(make_linear(self.state_exechost_re), self.job_status)
        if not match:
            words = for_log(self.job_status)
            self.log.error("Spawner unable to match host addr in job status: %s", words)
            return None
        if not self.state_exechost_exp:
            return str(match.groups()[0])
        return match.expand(self.state_exechost_exp)


def _defaults(name: str, *traits: str) -> dict[str, Unicode[Any, Any]]:
    """Return the named traits again, with the defaults of a set of templates."""
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
    help_texts = {trait: getattr(BatchSpawnerRegexStates, trait).help for trait in traits}
    if "batch_script" in traits:
        help_texts["batch_script"] += f" Default: legacy_templates/{name}/job.*"
    return {
        trait: Unicode(values[trait], help=text).tag(config=True)
        for trait, text in help_texts.items()
    }


_SCRIPT = ("batch_script",)
_COMMANDS = ("batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
_PATTERNS = ("state_pending_re", "state_running_re", "state_exechost_re")


class TorqueSpawner(BatchSpawnerRegexStates):
    """TORQUE."""

    scheduler_name = "torque"
    vars().update(_defaults("torque", *_SCRIPT, *_COMMANDS, *_PATTERNS))


class MoabSpawner(TorqueSpawner):
    """Moab; its commands submit TORQUE's script."""

    vars().update(_defaults("moab", *_COMMANDS, *_PATTERNS))


class PBSSpawner(TorqueSpawner):
    """PBS Pro and OpenPBS."""

    scheduler_name = "pbs"
    vars().update(_defaults("pbs", *_SCRIPT, "batch_query_cmd", *_PATTERNS))


class UserEnvMixin(_Env):
    """A mixin that gives the server USER, HOME and SHELL of the user's account."""

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

    scheduler_name = "slurm"
    vars().update(_defaults("slurm", *_SCRIPT, *_COMMANDS, *_PATTERNS, "state_unknown_re"))

    hides_environment = True
    # Without HOME, Slurm or a login shell finds the account's.
    left_to_the_account = ("HOME",)

    req_cluster = Unicode(
        "", help="{cluster} in templates: the cluster that jobs are submitted to."
    ).tag(config=True)
    req_qos = Unicode("", help="{qos} in templates: a job's quality of service.").tag(config=True)
    req_srun = Unicode(
        "srun",
        help="""{srun} in templates: the command that starts the server as a job step. Empty: the
        server is not a job step, and has the environment that the script leaves. Default: srun.""",
    ).tag(config=True)
    req_reservation = Unicode(
        "", help="{reservation} in templates: the reservation that jobs run in."
    ).tag(config=True)
    req_gres = Unicode(
        "", help="{gres} in templates: a job's further resources, such as GPUs."
    ).tag(config=True)

    def parse_job_id(self, output: str) -> str:
        """Return the job's number, which ``sbatch --parsable`` prints in its last line.

        Raises
        ------
        Exception
            If the output has no number there.
        """
        try:
            # A site's plugins may print lines before it. The cluster follows after a semicolon.
            job_id = output.splitlines()[-1].split(";")[0]
            int(job_id)
        except Exception:
            self.log.error("SlurmSpawner unable to parse job ID from text: %s", for_log(output))
            raise
        return job_id


class MultiSlurmSpawner(SlurmSpawner):
    """Slurm with nodes whose names differ from the names of their hosts."""

    daemon_resolver = Dict({}, help="The host of each node: {'node1': 'host1'}.").tag(config=True)

    def state_gethost(self) -> Any:
        """Return the host that ``daemon_resolver`` has for the node, or else the node's name."""
        host: Any = SlurmSpawner.state_gethost(self)
        return self.daemon_resolver.get(host, host)


class _SchedulersEnvironment(_Env):
    """A mixin that gives the server the Hub's variables which the scheduler's commands need."""

    _variables: tuple[str, ...]

    def get_env(self) -> dict[str, Any]:
        """Return the server's environment."""
        env: dict[str, Any] = super().get_env()
        for name in self._variables:
            if name in os.environ:
                env.setdefault(name, os.environ[name])
        return env


def _log_missing_host(spawner: BatchSpawnerBase) -> None:
    """Log that the last query gave no host, in batchspawner's words."""
    spawner.log.error(
        "Spawner unable to match host addr in job %s with status %s",
        spawner.job_id,
        for_log(spawner.job_status),
    )


_END = "</job_list>"
_LONGEST_ELEMENT = 100_000
"""Characters of a job's element at most; qstat itself prints about five hundred."""


class GridengineSpawner(_SchedulersEnvironment, BatchSpawnerBase):
    """Grid Engine."""

    scheduler_name = "gridengine"
    vars().update(_defaults("gridengine", *_SCRIPT, *_COMMANDS))

    _variables = (
        *("SGE_CELL", "SGE_EXECD", "SGE_ROOT", "SGE_CLUSTER_NAME", "SGE_QMASTER_PORT"),
        *("SGE_EXECD_PORT", "PATH"),
    )

    def parse_job_id(self, output: str) -> str:
        """Return the third word of ``Your job 12 ("name") has been submitted``.

        qsub may print a warning before this line.
        """
        line = re.search(r"^Your job \d+.*", output, re.MULTILINE)
        return (line[0] if line else output).split(" ")[2]

    def _job_list(self) -> Any:
        """Return the job's element in the output of ``qstat -xml``; None if there is none.

        Only this element is parsed. The job's user may have written the output; parsing all of it
        can take a third of a second, and each page that shows the progress asks every second.
        """
        text = self.job_status
        number = text.find(f"<JB_job_number>{self.job_id}</JB_job_number>")
        begin, end = text.rfind("<job_list", 0, max(0, number)), text.find(_END, number)
        if not 0 <= begin < number < end < begin + _LONGEST_ELEMENT:
            return None
        try:
            # The text begins with an element, so it has no DTD with entities to expand.
            return ElementTree.fromstring(text[begin : end + len(_END)])  # noqa: S314 (no DTD)
        except ElementTree.ParseError:  # the text of an error
            return None

    def _state(self) -> str:
        found = self._job_list()
        return "" if found is None else found.get("state", "")

    def state_ispending(self) -> bool:
        """Return whether the query said that the job waits."""
        return self._state() == "pending"

    def state_isrunning(self) -> bool:
        """Return whether the query said that the job runs."""
        return self._state() == "running"

    def state_gethost(self) -> str | None:
        """Return the host, which follows the queue's name: ``all.q@host``."""
        found = self._job_list()
        queue = "" if found is None else found.findtext("queue_name") or ""
        if "@" in queue:
            return str(queue.split("@")[1])
        _log_missing_host(self)
        return None


class CondorSpawner(UserEnvMixin, BatchSpawnerRegexStates):
    """HTCondor."""

    scheduler_name = "htcondor"
    vars().update(_defaults("htcondor", *_SCRIPT, *_COMMANDS, *_PATTERNS))

    left_to_the_account = ("HOME",)

    def parse_job_id(self, output: str) -> str:
        """Return the number of the cluster, which is what HTCondor calls a submission.

        Raises
        ------
        Exception
            If the output has no such number.
        """
        match = re.search(r"submitted to cluster ([0-9]+)", output)
        if match:
            return match[1]
        message = f"CondorSpawner unable to parse jobID from text: {for_log(output)}"
        self.log.error(message)
        raise Exception(message)

    def cmd_formatted_for_batch(self) -> str:
        """Return the text that ``{cmd}`` stands for, for use inside both kinds of quotes."""
        return super().cmd_formatted_for_batch().replace('"', '""').replace("'", "''")


class LsfSpawner(_SchedulersEnvironment, BatchSpawnerBase):
    """LSF."""

    scheduler_name = "lsf"
    vars().update(_defaults("lsf", *_SCRIPT, *_COMMANDS))

    _variables = ("LSF_ENVDIR", "LSF_SERVERDIR", "LSF_FULL_VERSION", "LSF_LIBDIR", "LSF_BINDIR")

    def parse_job_id(self, output: str) -> str:
        """Return the number in ``Job <1815> is submitted to default queue <normal>.``."""
        return output.split(" ")[1].strip("<>")

    def _state_word(self) -> str:
        return self.job_status.split(" ", 1)[0].upper()

    def state_ispending(self) -> Any:
        """Return whether the query said that the job waits."""
        return self._state_word() in {"PEND", "PUSP"} if self.job_status else None

    def state_isrunning(self) -> Any:
        """Return whether the query said that the job runs."""
        return self._state_word() == "RUN" if self.job_status else None

    def state_gethost(self) -> str | None:
        """Return the first of the job's hosts: ``host1`` of ``2*host1:host2``."""
        words = self.job_status.split(maxsplit=2)
        if len(words) > 1:
            return re.sub(r"^\d+\*", "", words[1].split(":")[0])
        _log_missing_host(self)
        return None
