# site: wrapspawner's profiles: batch jobs of two kinds, and a server on the Hub's own host
# scheduler: slurm
# form: {"profile": "long"}
# job: Partition=long; TimeLimit=00:25:00
import batchspawner
import wrapspawner

c.JupyterHub.spawner_class = "wrapspawner.ProfilesSpawner"
c.Spawner.http_timeout = 120
c.BatchSpawnerBase.req_srun = ""
c.BatchSpawnerBase.req_partition = "debug"
c.ProfilesSpawner.ip = "0.0.0.0"
c.ProfilesSpawner.profiles = [
    ("The Hub's own host", "local", "jupyterhub.spawner.SimpleLocalProcessSpawner", {"ip": "0.0.0.0"}),
    ("Five minutes", "short", "batchspawner.SlurmSpawner", dict(req_runtime="5")),
    ("Long", "long", batchspawner.SlurmSpawner, dict(req_partition="long", req_runtime="25", req_memory="200")),
]
