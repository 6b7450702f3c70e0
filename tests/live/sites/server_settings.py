# site: the server's own settings: arguments, folder and page; prologue and epilogue of several lines; extra directives in one trait
# scheduler: slurm
# env: SITE_MODULES=python:cuda
# job: Partition=long; TimeLimit=01:00:00; NumCPUs=2; Requeue=0
import batchspawner

c.JupyterHub.spawner_class = batchspawner.SlurmSpawner
c.Spawner.args = ["--ServerApp.allow_origin=*", "--ServerApp.shutdown_no_activity_timeout=3600"]
c.Spawner.notebook_dir = "~"
c.Spawner.default_url = "/lab?reset"
c.Spawner.start_timeout = 300
c.SlurmSpawner.req_srun = ""
c.SlurmSpawner.req_partition = "long"
c.SlurmSpawner.req_runtime = "0-1"
c.SlurmSpawner.req_memory = "400M"
c.SlurmSpawner.req_nprocs = "2"
c.SlurmSpawner.req_options = "--comment='from the hub'\n#SBATCH --no-requeue"
c.SlurmSpawner.req_prologue = """
# what the site's nodes need
unset XDG_RUNTIME_DIR
for module in python cuda; do
    SITE_MODULES=${SITE_MODULES:+$SITE_MODULES:}$module
done
export SITE_MODULES
"""
c.SlurmSpawner.req_epilogue = """
echo "ended with $?"
"""
