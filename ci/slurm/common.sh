# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
# Sourced by up and down: the settings of this cluster, and the functions of all clusters. The caller may
# have set, for a further cluster beside the normal one,
#
#   one_host  not empty: this host alone, without a network
#   of_two    alpha or beta: one of two clusters whose nodes have the same names, and the same slurmdbd

cluster=slurm default_net=10.77.0 hub=hub bridge=uslurm0 veth=usl-
ctld_port=6817 dbd_port=6819
nodes=(node1 node2 node3 node4)
declare -A hostname_of=([node3]=c3)
gpus=(/dev/unispawner-gpu0 /dev/unispawner-gpu1)
conf=slurm.conf
if [ "$one_host" ]; then
    cluster=slurm_one_host nodes=("$(hostname -s)") hostname_of=() gpus=() conf=one-host.conf
elif [ "$of_two" ]; then
    cluster=slurm_$of_two nodes=(node1 node2) gpus=() conf=of-two.conf
    hostname_of=([node1]="${of_two}1" [node2]="${of_two}2") alias_nodes=''
    hub=$of_two-hub bridge=uslurm-$of_two veth=us${of_two:0:1}-
    dbd_port=26819
    case $of_two in # one-host.conf has 16817
        alpha) default_net=10.75.0 ctld_port=26817 ;;
        beta) default_net=10.76.0 ctld_port=36817 ;;
    esac
fi
module_file=/etc/profile.d/unispawner-ci-module.sh

# shellcheck source=../cluster.sh
. "$here/../cluster.sh"
export SLURM_CONF=$dir/etc/slurm.conf

# Of the two clusters, alpha has munged, MariaDB and slurmdbd for both.
main_dir=$dir main_net=$net
if [ "$of_two" = beta ]; then
    main_dir=${UNISPAWNER_SLURM_ALPHA_DIR:-/var/tmp/unispawner-slurm_alpha}
    main_net=${UNISPAWNER_SLURM_ALPHA_NET:-10.75.0}
fi
