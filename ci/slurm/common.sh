# Sourced by up and down: settings and the few functions both need.

dir=${UNISPAWNER_SLURM_DIR:-/var/tmp/unispawner-slurm}
net=${UNISPAWNER_SLURM_NET:-10.77.0} # the first three bytes of a /24
bridge=uslurm0
nodes=(node1 node2 node3 node4)
declare -A hostname_of=([node1]=node1 [node2]=node2 [node3]=c3 [node4]=node4)
gpus=(/dev/unispawner-gpu0 /dev/unispawner-gpu1)
module_file=/etc/profile.d/unispawner-ci-module.sh
hosts_begin='# BEGIN unispawner ci/slurm'
hosts_end='# END unispawner ci/slurm'
export SLURM_CONF=$dir/etc/slurm.conf

say() { echo "${0##*/}: $*" >&2; }
fail() { say "$@"; exit 1; }

[ "$(id -u)" = 0 ] || fail "must run as root (network namespaces, daemons): use sudo $0"
[[ $dir = /?*/?* ]] || fail "UNISPAWNER_SLURM_DIR=$dir: give an absolute path of a folder of its own"
[[ $net =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "UNISPAWNER_SLURM_NET=$net: give three bytes, as in 10.77.0"

# Is the daemon NAME (slurmctld, slurmd-node1, ...) running? The comparison guards against a
# recorded id that now belongs to another process.
alive() {
    local pid
    pid=$(cat "$dir/pids/$1" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${1%%-*}" ]
}

# stop NAME...: TERM to all at once, KILL to those alive after 5 seconds.
stop() {
    local name i
    for name; do
        if alive "$name"; then kill "$(cat "$dir/pids/$name")" || true; fi
    done
    for name; do
        for ((i = 0; i < 50; i++)); do
            alive "$name" || break
            sleep 0.1
        done
        if alive "$name"; then kill -KILL "$(cat "$dir/pids/$name")" || true; fi
        rm -f "$dir/pids/$name"
    done
}

# /etc/hosts without our lines. Written in place: in a container it may be a bind mount.
hosts_remove() {
    local rest
    grep -qxF "$hosts_begin" /etc/hosts || return 0
    rest=$(sed "\\|^$hosts_begin\$|,\\|^$hosts_end\$|d" /etc/hosts)
    printf '%s\n' "$rest" >/etc/hosts
}
