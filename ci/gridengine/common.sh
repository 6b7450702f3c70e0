# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
# Sourced by up and down: the settings of this cluster, and the functions of all clusters.

cluster=gridengine default_net=10.78.0 hub=sgehub bridge=usge0 veth=usg-
nodes=(sgenode1 sgenode2)
declare -A hostname_of=()
profile=/etc/profile.d/unispawner-ci-gridengine.sh

# shellcheck source=../cluster.sh
. "$here/../cluster.sh"
# These ports are not Grid Engine's usual ones, so that code which does not pass them on fails.
export SGE_ROOT=$dir/root SGE_CELL=default SGE_QMASTER_PORT=16444 SGE_EXECD_PORT=16445
unset SGE_ARCH
