# site: a form that a script makes in the browser, and hooks that set traits and options from what was chosen
# scheduler: slurm
# form: {"size": "large", "modules": ["gcc", "python"], "note": "it's (mine) & more"}
# env: A=1 LOADED=gcc:python NOTE="it's (mine) & more"
# job: TimeLimit=00:10:00; Nice=5; OverSubscribe=NO
import shlex

import batchspawner


def from_form(formdata):
    return {"size": formdata["size"][0], "modules": formdata["modules"], "note": formdata["note"][0]}


def apply_options(spawner, user_options):
    spawner.req_options = {"small": "--nice=1", "large": "--exclusive --nice=5"}[user_options["size"]]


def before(spawner):
    spawner.req_runtime = "0:10:00"
    spawner.user_options["lines"] = f"export A=1\nexport NOTE={shlex.quote(spawner.user_options['note'])}"


c.JupyterHub.spawner_class = batchspawner.SlurmSpawner
c.Spawner.options_form = '<div id="sizes"></div><script src="/hub/static/sizes.js"></script>'
c.Spawner.options_from_form = from_form
c.Spawner.apply_user_options = apply_options
c.Spawner.pre_spawn_hook = before
c.SlurmSpawner.req_srun = ""
c.SlurmSpawner.batch_script = """#!/bin/bash
#SBATCH --output={{homedir}}/javascript_%j.log
#SBATCH --export={{keepvars}}
#SBATCH --time={{runtime}}
#SBATCH {{options}}
module() { export LOADED=${LOADED:+$LOADED:}$2; }
{{lines}}
{% for m in modules %}module load {{m}}
{% endfor %}
{{cmd}}
"""
