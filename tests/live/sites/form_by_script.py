# site: JavaScript makes the form in the browser; the fields that it posts are not in the form's HTML
# scheduler: slurm
# form: {"queue": "debug", "minutes": "11", "note": "two words"}
# job: Partition=debug; TimeLimit=00:11:00; Comment=two words
import batchspawner


def from_form(formdata):
    return {
        "partition": formdata["queue"][0],
        "runtime": str(int(formdata["minutes"][0])),
        "note": formdata.get("note", [""])[0],
    }


c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.SlurmSpawner.req_srun = ""
c.SlurmSpawner.options_form = '<div id="app"></div><script>/* makes the fields */</script>'
c.SlurmSpawner.options_from_form = from_form
c.SlurmSpawner.batch_script = """#!/bin/bash
#SBATCH --output={homedir}/form_by_script_%j.log
#SBATCH --export={keepvars}
#SBATCH --partition={partition}
#SBATCH --time={runtime}
#SBATCH --comment="{note}"
{cmd}
"""
