# site: the form's options come by the REST API, from a script of the user's, under the names that options_from_form gives them
# scheduler: slurm
# rest: {"partition": "long", "runtime": "12"}
# job: Partition=long; TimeLimit=00:12:00
import batchspawner


def from_form(formdata):
    return {"partition": formdata["queue"][0], "runtime": formdata["minutes"][0]}


c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.SlurmSpawner.req_srun = ""
c.SlurmSpawner.req_partition = "debug"
c.SlurmSpawner.options_form = '<input name="queue"><input name="minutes">'
c.SlurmSpawner.options_from_form = from_form
