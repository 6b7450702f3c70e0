# site: construct_child makes the child itself, as wrapspawner's own does, and returns nothing
# scheduler: slurm
# form: {"minutes": "20"}
# job: TimeLimit=00:20:00
import batchspawner
from traitlets import directional_link
from wrapspawner import WrapSpawner


class SiteSpawner(WrapSpawner):
    options_form = '<input name="minutes" value="10">'

    def options_from_form(self, formdata):
        return {"minutes": int(formdata["minutes"][0])}

    def construct_child(self):
        if self.child_spawner is not None:
            return
        settings = {"req_srun": "", "req_runtime": str(self.user_options.get("minutes", 10))}
        self.child_spawner = batchspawner.SlurmSpawner(
            user=self.user,
            hub=self.hub,
            authenticator=self.authenticator,
            oauth_client_id=self.oauth_client_id,
            server=self._server,
            config=self.config,
            **settings,
        )
        self.child_spawner.clear_state()
        if self.child_state:
            self.child_spawner.load_state(self.child_state)
        for name in set(self.trait_names()) & set(self.child_spawner.trait_names()) - set(settings):
            directional_link((self, name), (self.child_spawner, name))


c.JupyterHub.spawner_class = SiteSpawner
