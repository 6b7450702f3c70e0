# site: a strict script of a login shell, with functions, a here-document, a trap, comments and directives after blank lines; the server is not its last command
# scheduler: slurm
# env: SITE_ROOT=/usr/share
# job: TimeLimit=00:09:00; JobName=strict-alice
# log: (?m)^level 2$
import batchspawner

c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.SlurmSpawner.req_srun = "srun"
c.SlurmSpawner.req_runtime = "0:09:00"
c.Spawner.environment = {"SITE_ROOT": "/usr/share"}
c.SlurmSpawner.batch_script = """#!/usr/bin/env -S bash -l
# A job of JupyterHub's

#SBATCH --output={{homedir}}/strict_%j.log
#SBATCH --job-name=strict-{{username}}
# Who may ask for how long is checked by the scheduler.

#SBATCH --export={{keepvars}}
{% if partition  %}#SBATCH --partition={{partition}}
{% endif %}{% if runtime    %}#SBATCH --time={{runtime}}
{% endif %}{% if gres       %}#SBATCH --gres={{gres}}
{% endif %}
set -euo pipefail
trap 'echo the end' EXIT
function level() { echo "level ${1}"; export SITE_LEVEL=$1; }
cat >/dev/null <<'TEXT'
#SBATCH --this-is=no-directive
{cmd}
TEXT
test -d "${SITE_ROOT}/doc"
level 2
{{srun}} --overlap {{cmd}}
echo jupyterhub-singleuser ended gracefully
"""
