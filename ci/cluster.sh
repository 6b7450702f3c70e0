# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
#
# Sourced by ci/*/common.sh, and so by every up and down: what the clusters have in common. All of them
# may be up at the same time. The caller has set
#
#   cluster      the name of its folder; its settings are UNISPAWNER_<CLUSTER>_DIR and _NET
#   default_net  the first three bytes of a /24 network that no other cluster uses
#   hub          the name of the Hub's host on the nodes; no other cluster uses it
#   bridge       the bridge that connects the nodes with the Hub's host
#   veth         the prefix for the host's ends of the nodes' network links ("usl-"; together with
#                the name of the node at most 15 characters)
#   nodes        an array; a node's address ends in 11, 12, ..., and its namespace is $cluster-$node
#   hostname_of  an associative array: the host name of each node whose host has another name
#   alias_nodes  set and empty if /etc/hosts has the hosts' names only, because another cluster's nodes
#                have the same names
#
# and afterwards has dir, the folder of all state and logs, and net.

say() { echo "${0##*/}: $*" >&2; }
fail() { say "$@"; exit 1; }

[ "$(id -u)" = 0 ] || fail "must run as root (network namespaces, daemons): use sudo $0"

dir_setting=UNISPAWNER_${cluster^^}_DIR net_setting=UNISPAWNER_${cluster^^}_NET
dir=${!dir_setting:-/var/tmp/unispawner-$cluster}
net=${!net_setting:-$default_net}
[[ $dir = /?*/?* ]] || fail "$dir_setting=$dir must be the absolute path of a folder that nothing else uses"
[[ $net =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "$net_setting=$net must be three bytes, as in $default_net"
[ ! -e "$dir" ] || [ -O "$dir" ] || fail "$dir belongs to another user: remove it, or set $dir_setting"

# alone COMMAND...: run COMMAND in a subshell, while no up or down of another cluster changes what they
# share (packages, accounts, /etc/hosts, /run/netns). It must start no daemon, which would keep the lock.
alone() { (flock 9 && "$@") 9>/run/unispawner-ci.lock; }

# -- the machine --------------------------------------------------------------------------------

# install_missing FILE:PACKAGE...: install each package whose file does not exist, and what this file needs.
install_missing() { alone _install_missing "$@" /usr/bin/sudo:sudo /sbin/ip:iproute2 /bin/hostname:hostname; }
_install_missing() {
    local missing=() entry
    for entry; do
        [ -e "${entry%%:*}" ] || missing+=("${entry#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ -e /etc/debian_version ] || fail "can install packages on Debian and its relatives only; missing: ${missing[*]}"
    say "installing ${missing[*]}"
    local policy=/usr/sbin/policy-rc.d # with its exit status 101, packages don't start their daemons
    if [ ! -e $policy ]; then
        # shellcheck disable=SC2064 # $policy is local: it must be expanded now
        trap "rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends)
    local log=$dir/apt.log
    if ! "${apt[@]}" "${missing[@]}" &>"$log" &&
        ! { apt-get -qq update && "${apt[@]}" "${missing[@]}"; } &>"$log"; then
        fail "could not install ${missing[*]}: see $log"
    fi
}

# Make the accounts: alice (group physics) and bob, both in hubusers, and jupyterhub.
make_users() { alone _make_users; }
_make_users() {
    groupadd -f hubusers
    groupadd -f physics
    local user
    for user in alice bob; do
        id $user &>/dev/null || useradd -m -K HOME_MODE=0700 -s /bin/bash $user
        usermod -aG hubusers $user
    done
    usermod -aG physics alice
    # The Hub's account: a service account without rights in the scheduler.
    id jupyterhub &>/dev/null || useradd --system -m -s /bin/bash jupyterhub
}

# -- the network --------------------------------------------------------------------------------

make_network() { alone _make_network; }
_make_network() {
    ip link show "$bridge" &>/dev/null || ip link add "$bridge" type bridge
    ip addr replace "$net.1/24" dev "$bridge"
    ip link set "$bridge" up
    local node n=10
    for node in "${nodes[@]}"; do
        n=$((n + 1))
        if [ -e "/run/netns/$cluster-$node" ]; then continue; fi
        ip netns add "$cluster-$node"
        ip link add "$veth$node" type veth peer name eth0 netns "$cluster-$node"
        ip link set "$veth$node" master "$bridge" up
        ip -n "$cluster-$node" link set lo up
        ip -n "$cluster-$node" addr add "$net.$n/24" dev eth0
        ip -n "$cluster-$node" link set eth0 up
    done
    hosts_remove
    {
        echo "# BEGIN unispawner ci/$cluster"
        echo "$net.1 $hub.cluster.example $hub"
        n=10
        for node in "${nodes[@]}"; do
            n=$((n + 1))
            local host=${hostname_of[$node]-$node}
            if [ "$host" = "$node" ] || [ ! "${alias_nodes-1}" ]; then node=''; fi
            echo "$net.$n $host.cluster.example $host $node"
        done
        echo "# END unispawner ci/$cluster"
    } >>/etc/hosts
}

# Remove our lines from /etc/hosts. It is written in place: in a container it may be a bind mount.
hosts_remove() {
    local rest begin="# BEGIN unispawner ci/$cluster" end="# END unispawner ci/$cluster"
    grep -qxF "$begin" /etc/hosts || return 0
    rest=$(sed "\\|^$begin\$|,\\|^$end\$|d" /etc/hosts)
    printf '%s\n' "$rest" >/etc/hosts
}

# Kill all that still runs on the nodes, and remove them and the network.
remove_network() { alone _remove_network; }
_remove_network() {
    local node pid
    for node in "${nodes[@]}"; do
        [ -e "/run/netns/$cluster-$node" ] || continue
        for pid in $(ip netns pids "$cluster-$node"); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns del "$cluster-$node" # takes its veth pair with it, once its last process is gone
        ip link del "$veth$node" 2>/dev/null || true
    done
    if mountpoint -q /run/netns && [ ! "$(ls /run/netns)" ]; then umount /run/netns; fi
    if ip link show "$bridge" &>/dev/null; then ip link del "$bridge"; fi
    hosts_remove
}

# -- daemons ------------------------------------------------------------------------------------

# alive NAME: is this daemon running? NAME is the name of its program, then a hyphen and the node if there
# are several (slurmctld, slurmd-node1). The program is compared because another process may have got the
# same id; a zombie has no program. Debian's slurmd is a link to slurmd-wlm.
alive() {
    local pid exe
    pid=$(cat "$dir/pids/$1" 2>/dev/null) && exe=$(readlink "/proc/$pid/exe") && [[ ${exe##*/} = "${1%%-*}"* ]]
}

# start NAME COMMAND...: start a daemon in the background, unless it is alive. COMMAND must end in an exec,
# so that the process id is the daemon's. The output goes to a file, so that $(up) does not wait for it.
start() {
    local name=$1
    shift
    if alive "$name"; then return; fi
    setsid "$@" </dev/null &>>"$dir/log/$name.out" &
    echo $! >"$dir/pids/$name"
}

# start_on NODE NAME COMMAND...: the same on a node, under its host name. The host name is short, as on most
# hosts; /etc/hosts has the full name.
start_on() {
    local node=$1 name=$2
    shift 2
    # shellcheck disable=SC2016 # the inner shell expands it
    start "$name" nsenter --net="/run/netns/$cluster-$node" unshare --uts \
        sh -c 'hostname "$1" && shift && exec "$@"' sh "${hostname_of[$node]-$node}" "$@"
}

# stop NAME...: send TERM to all daemons at once, and KILL to those that are alive after 5 seconds.
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

# await SECONDS WHAT COMMAND...: wait until COMMAND succeeds; if it never does, print the ends of the logs
# and exit.
await() {
    local seconds=$1 what=$2 end=$((SECONDS + $1)) file
    shift 2
    until "$@" &>/dev/null; do
        if [ $SECONDS -ge $end ]; then
            for file in "$dir"/log/*; do
                if [ -s "$file" ]; then printf '==> %s\n%s\n' "$file" "$(tail -n 8 "$file")" >&2; fi
            done
            fail "no $what after $seconds s: read the ends of the logs above, then run $here/down and up again"
        fi
        sleep 0.1
    done
}
