# site: a class of the site's own for commands of the site's own, with patterns and methods that read their output
# scheduler: slurm
# env: NOTEBOOK_SITE=lab
# job: JobName=jupyter-alice
import re

from batchspawner import BatchSpawnerRegexStates, JobStatus, UserEnvMixin
from traitlets import Unicode

QUERY = """squeue -h -a -j {job_id} -o 'state=%T host=%B' || echo 'state=GONE host='"""


class QueueSpawner(UserEnvMixin, BatchSpawnerRegexStates):
    batch_script = Unicode("""#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --output={homedir}/.own_dialect.log
#SBATCH --export={keepvars}
export NOTEBOOK_SITE=lab
{prologue}
{cmd}
{epilogue}
""").tag(config=True)
    req_name = Unicode("jupyter").tag(config=True)
    req_keepvars_extra = "HOME,SHELL"
    batch_submit_cmd = Unicode("sudo -E -u {username} sbatch").tag(config=True)
    batch_query_cmd = Unicode("sudo -E -u {username} sh -c \"" + QUERY + "\"").tag(config=True)
    batch_cancel_cmd = Unicode("sudo -E -u {username} scancel {job_id}").tag(config=True)
    exec_prefix = ""
    state_pending_re = Unicode(r"state=(PENDING|CONFIGURING)").tag(config=True)
    state_running_re = Unicode(r"state=(RUNNING|COMPLETING)").tag(config=True)
    state_exechost_re = Unicode(r"host=(\S+)").tag(config=True)

    def get_req_subvars(self):
        subvars = super().get_req_subvars()
        subvars["name"] = f"{self.req_name}-{self.user.name}"
        return subvars

    def parse_job_id(self, output):
        return re.search(r"Submitted batch job (\d+)", output).group(1)

    async def query_job_status(self):
        status = await super().query_job_status()
        assert status in JobStatus
        return status


c.JupyterHub.spawner_class = QueueSpawner
