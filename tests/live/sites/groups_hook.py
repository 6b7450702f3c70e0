# site: a hook chooses partition and limits by the user's group; the class has a req_ trait of the site's own, and defaults by methods
# scheduler: slurm
# env: SITE_GROUP=students
# job: TimeLimit=00:07:00; Nice=3; Comment=for alice
import batchspawner
from traitlets import Unicode, default


class LabSpawner(batchspawner.SlurmSpawner):
    req_comment = Unicode("", help="Shown by squeue").tag(config=True)

    @default("req_srun")
    def _no_srun(self):
        return ""

    @default("options_form")
    def _no_form(self):
        return ""

    def user_env(self, env):
        env = super().user_env(env)
        env["SITE_GROUP"] = self.group
        return env

    async def submit_batch_script(self):
        self.group = "students"
        return await super().submit_batch_script()


def choose(spawner):
    spawner.req_runtime = "7"
    spawner.req_comment = f"for {spawner.user.name}"
    spawner.req_options = "--nice=3"


c.JupyterHub.spawner_class = LabSpawner
c.Spawner.pre_spawn_hook = choose
c.LabSpawner.batch_script = """#!/bin/bash
#SBATCH --output={homedir}/lab_%j.log
#SBATCH --export={keepvars}
#SBATCH --time={runtime} {options}
#SBATCH --comment="{comment}"
{cmd}
"""
