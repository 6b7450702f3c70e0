# site: the server runs in a container, which gets only the variables that are named, as `docker run -e NAME` and `apptainer exec --cleanenv` do
# scheduler: slurm
# env: IN_CONTAINER=yes
# log: (?m)^starting in a container$
import batchspawner

c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.SlurmSpawner.req_srun = ""
c.SlurmSpawner.req_keepvars_extra = "IN_CONTAINER"
c.SlurmSpawner.batch_script = """#!/bin/bash
#SBATCH --output={{homedir}}/container_%j.log
#SBATCH --export={{keepvars}}
set -euo pipefail
names=$(compgen -e | grep -E '^(JUPYTERHUB_|JPY_)' || true)
arguments=()
for name in $names; do arguments+=("$name=${!name}"); done
echo starting in a container
exec env -i HOME="$HOME" PATH=/usr/bin:/bin USER="$USER" IN_CONTAINER=yes "${arguments[@]}" \\
    {{cmd}}
"""
