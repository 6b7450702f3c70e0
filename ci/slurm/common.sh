# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
# Sourced by up and down: the settings of this cluster, and the functions of all clusters. The caller may
# have set one_host, for a second cluster beside the normal one: this host alone, without a network.

cluster=slurm default_net=10.77.0 hub=hub bridge=uslurm0 veth=usl-
nodes=(node1 node2 node3 node4)
declare -A hostname_of=([node3]=c3)
gpus=(/dev/unispawner-gpu0 /dev/unispawner-gpu1)
conf=slurm.conf
if [ "$one_host" ]; then
    cluster=slurm_one_host nodes=("$(hostname -s)") hostname_of=() gpus=() conf=one-host.conf
fi
module_file=/etc/profile.d/unispawner-ci-module.sh

# shellcheck source=../cluster.sh
. "$here/../cluster.sh"
export SLURM_CONF=$dir/etc/slurm.conf
