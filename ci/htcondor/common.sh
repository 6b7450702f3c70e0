# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
# Sourced by up and down: the settings of this cluster, and the functions of all clusters.

cluster=htcondor default_net=10.79.0 hub=condorhub bridge=uhtcondor0 veth=uhtc-
nodes=(condor1 condor2)
declare -A hostname_of=()
hub_daemons=(condor_collector condor_negotiator condor_schedd)

# shellcheck source=../cluster.sh
. "$here/../cluster.sh"
export CONDOR_CONFIG=$dir/etc/condor_config
debs=$dir/debs # the downloaded packages
root=$dir/root # the unpacked packages
bin=$root/usr/bin sbin=$root/usr/sbin
PATH=$bin:$PATH

# kill_all PROGRAM: kill every process of this cluster that runs this program.
kill_all() {
    local exe pid
    for exe in /proc/[0-9]*/exe; do
        pid=${exe//[!0-9]/}
        if [ "$(readlink "$exe" 2>/dev/null)" = "$sbin/$1" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
    done
}

# kill_node NODE: kill every process on this node.
kill_node() {
    local pid
    for pid in $(ip netns pids "$cluster-$1"); do kill -KILL "$pid" 2>/dev/null || true; done
}
