# The first example of batchspawner's own documentation, with the one word changed.
c = get_config()  # noqa: F821
c.JupyterHub.spawner_class = "unispawner.TorqueSpawner"
# Select the Torque backend and increase the timeout since batch jobs may take time to start
c.Spawner.http_timeout = 120

# ------------------------------------------------------------------------------
# BatchSpawnerBase configuration
#    These are simply setting parameters used in the job script template below
# ------------------------------------------------------------------------------
c.BatchSpawnerBase.req_nprocs = "2"
c.BatchSpawnerBase.req_queue = "mesabi"
c.BatchSpawnerBase.req_host = "mesabi.xyz.edu"
c.BatchSpawnerBase.req_runtime = "12:00:00"
c.BatchSpawnerBase.req_memory = "4gb"
# ------------------------------------------------------------------------------
# TorqueSpawner configuration
#    The script below is nearly identical to the default template, but we needed
#    to add a line for our local environment. For most sites the default templates
#    should be a good starting point.
# ------------------------------------------------------------------------------
c.TorqueSpawner.batch_script = """#!/bin/sh
#PBS -q {queue}@{host}
#PBS -l walltime={runtime}
#PBS -l nodes=1:ppn={nprocs}
#PBS -l mem={memory}
#PBS -N jupyterhub-singleuser
#PBS -v {keepvars}
module load python3
{cmd}
"""
# For our site we need to munge the execution hostname returned by qstat
c.TorqueSpawner.state_exechost_exp = r"int-\1.mesabi.xyz.edu"
