# site: no exec_prefix; a shell, with sudo in one word, submits; names in the environment that no shell can export
# scheduler: slurm
# env: OK=1
import batchspawner

c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.Spawner.environment = {"BASH_FUNC_module%%": "() { echo none; }", "UID": "1", "PPID": "1", "OK": "1"}
c.SlurmSpawner.req_srun = ""
c.SlurmSpawner.exec_prefix = ""
c.SlurmSpawner.batch_submit_cmd = "cd / && sh -c 'sudo -E -u {username} sbatch --parsable' | tail -n 1"
c.SlurmSpawner.batch_query_cmd = "sudo -u {username} squeue -h -j {job_id} -o '%T %B'"
c.SlurmSpawner.batch_cancel_cmd = "sudo -u {username} scancel {job_id}"
