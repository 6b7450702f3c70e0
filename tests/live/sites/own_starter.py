# site: a program of the site's own starts the server and reports its port; the script has no {cmd}
# scheduler: slurm
# env: STARTED_BY=site SITE_NAME=lab
import batchspawner

c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.Spawner.environment = {"SITE_NAME": lambda spawner: "lab"}
c.SlurmSpawner.batch_script = """#!/bin/bash
# Jobs of the lab's notebooks.
#SBATCH --output={{homedir}}/starter_%j.log

#SBATCH --export={{keepvars}}
set -euo pipefail
test "$SITE_NAME" = lab || exit 3
cat > $HOME/.site-starter.py <<'EOF'
import json, os, socket, sys, urllib.request
with socket.create_server(("", 0)) as found:
    port = found.getsockname()[1]
url = os.environ["JUPYTERHUB_API_URL"] + "/batchspawner"
headers = {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]}
urllib.request.urlopen(urllib.request.Request(url, json.dumps({"port": port}).encode(), headers))
os.environ["JUPYTERHUB_SERVICE_URL"] = "http://0.0.0.0:%d%s" % (port, os.environ["JUPYTERHUB_SERVICE_PREFIX"])
os.execvp(sys.argv[1], sys.argv[1:])
EOF
export STARTED_BY=site
exec {PY}/python3 $HOME/.site-starter.py {SERVER}
"""
