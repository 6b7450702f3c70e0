# site: two kinds of nodes, each with a class of its own and a table of its nodes' addresses, behind wrapspawner
# scheduler: slurm
# form: {"profile": "b"}
# job: Partition=small; TimeLimit=00:06:00
import batchspawner
import wrapspawner


class A(batchspawner.MultiSlurmSpawner):
    pass


class B(batchspawner.MultiSlurmSpawner):
    def _req_partition_default(self):
        return "small"


for section in (c.A, c.B):
    section.req_srun = ""
    section.req_runtime = "6"
c.MultiSlurmSpawner.daemon_resolver = {f"node{number}": f"node{number}" for number in range(1, 5)}
c.A.exec_prefix = "sudo -E -n -u {username}"
c.JupyterHub.spawner_class = "wrapspawner.ProfilesSpawner"
c.ProfilesSpawner.profiles = [("Nodes A", "a", A, {}), ("Nodes B", "b", B, {})]
