# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
# Sourced by up and down: settings both need, and what all clusters share.

cluster=htcondor default_net=10.79.0 hub=condorhub bridge=uhtcondor0 veth=uhtc-
nodes=(condor1 condor2)
declare -A hostname_of=()
hub_daemons=(condor_collector condor_negotiator condor_schedd)

# shellcheck source=../cluster.sh
. "$here/../cluster.sh"
export CONDOR_CONFIG=$dir/etc/condor_config
debs=$dir/debs # what was downloaded
root=$dir/root # what was in it
bin=$root/usr/bin sbin=$root/usr/sbin
PATH=$bin:$PATH

# Like cluster.sh's, for names the kernel has no room for: it keeps 15 characters.
alive() {
    local pid name=${1%%-*}
    pid=$(cat "$dir/pids/$1" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${name:0:15}" ]
}
