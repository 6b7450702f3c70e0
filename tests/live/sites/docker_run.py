# site: the server runs in a container that has only the named variables; its image has batchspawner-singleuser
# scheduler: slurm
# env: IN_IMAGE=yes SITE_LICENCE=server@lab
import batchspawner

c.JupyterHub.spawner_class = "batchspawner.SlurmSpawner"
c.SlurmSpawner.req_srun = ""
c.Spawner.environment = {"SITE_LICENCE": lambda spawner: "server@lab"}
c.SlurmSpawner.batch_script = """#!/bin/bash
#SBATCH --output={{homedir}}/container_%j.log
#SBATCH --export={{keepvars}}
# A stand-in for the container's runtime, and the program of its image.
mkdir -p $HOME/.site-image
cat > $HOME/.site-image/batchspawner-singleuser <<'EOF'
#!{PY}/python3
import json, os, socket, sys, urllib.request
with socket.create_server(("", 0)) as found:
    port = found.getsockname()[1]
url = os.environ["JUPYTERHUB_API_URL"] + "/batchspawner"
headers = {"Authorization": "token " + os.environ["JUPYTERHUB_API_TOKEN"]}
urllib.request.urlopen(urllib.request.Request(url, json.dumps({"port": port}).encode(), headers))
os.environ["JUPYTERHUB_SERVICE_URL"] = "http://0.0.0.0:%d%s" % (port, os.environ["JUPYTERHUB_SERVICE_PREFIX"])
os.execvp(sys.argv[1], sys.argv[1:])
EOF
chmod 755 $HOME/.site-image/batchspawner-singleuser
docker() {
  local given=(HOME=$HOME IN_IMAGE=yes)
  shift
  while [ "${1#-}" != "$1" ]; do
    case $1 in -e) given+=("$2=${!2}"); shift 2;; *) shift;; esac
  done
  shift
  exec env -i PATH=$HOME/.site-image:/usr/bin:/bin "${given[@]}" "$@"
}
docker run --rm --net=host \
    {% for name in keepvars.split(",") %}-e {{name}} {% endfor %} \
    image {{cmd}}
"""
