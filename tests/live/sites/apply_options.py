# site: apply_user_options and an auth_state_hook set the traits; a class made by a function carries the site's defaults
# scheduler: slurm
# form: {"size": "m"}
# job: TimeLimit=00:14:00; Nice=7
import batchspawner


def with_defaults(base, **defaults):
    return type("SiteSlurmSpawner", (base,), defaults)


def apply(spawner, options):
    size = {"s": ("4", "--nice=1"), "m": ("14", "--nice=7")}[options["size"]]
    spawner.req_runtime, spawner.req_options = size


c.JupyterHub.spawner_class = with_defaults(
    batchspawner.SlurmSpawner, req_srun="", options_form='<select name="size"><option>s</option><option>m</option></select>'
)
c.Spawner.options_from_form = lambda formdata: {"size": formdata["size"][0]}
c.Spawner.apply_user_options = apply
