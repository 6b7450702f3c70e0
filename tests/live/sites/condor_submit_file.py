# site: HTCondor, whose commands sudo does not find by itself; the submit description is the site's own, with what it needs for its nodes
# scheduler: htcondor
# env: SITE_NAME=lab
import os

import batchspawner

c.JupyterHub.spawner_class = "batchspawner.CondorSpawner"
c.CondorSpawner.exec_prefix = "sudo -E -u {username} env PATH=" + os.environ["PATH"]
c.Spawner.environment = {"SITE_NAME": "lab"}
c.CondorSpawner.req_memory = "400"
c.CondorSpawner.req_nprocs = "1"
c.CondorSpawner.batch_script = """
Executable = /bin/sh
RequestMemory = {memory}
RequestCpus = {nprocs}
Arguments = "-c 'exec {cmd}'"
InitialDir = {homedir}
Output = {homedir}/.condor-site.out
Error = {homedir}/.condor-site.err
ShouldTransferFiles = False
GetEnv = True
{options}
Queue
"""
