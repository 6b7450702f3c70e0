# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
#
# Sourced by test: functions that start and end lanes, and run commands in them; see ci/lane. Without
# lanes the same commands run on the machine itself. The caller has set checkout and dir.

lane_pids=()    # of the first process of each lane
lane_keepers=() # of our child for each lane, which takes the lane along when it ends

# start_lanes NUMBER: start that many lanes; return 1 if this machine can't have them.
start_lanes() {
    local number folder
    for ((number = 0; number < $1; number++)); do
        folder=$dir/lanes/$number
        mkdir -p "$folder"
        rm -f "$folder.pid"
        # In a session of its own: Ctrl-C first ends the tests, then we end the lanes. They also end if
        # we are killed.
        setsid setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --net --uts --ipc \
            --propagation private "$checkout/ci/lane" "$folder" "$checkout" "$dir" \
            {lock}>&- </dev/null &>"$folder.log" &
        lane_keepers+=($!)
    done
    for ((number = 0; number < $1; number++)); do
        until [ -s "$dir/lanes/$number.pid" ]; do
            kill -0 "${lane_keepers[number]}" 2>/dev/null || return
            sleep 0.1
        done
        lane_pids+=("$(<"$dir/lanes/$number.pid")")
    done
}

# in_lane PID COMMAND...: run COMMAND in a lane, in the working directory.
in_lane() {
    # shellcheck disable=SC2016 # the inner shell expands it
    nsenter --target "$1" --mount --pid --net --uts --ipc -- \
        sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" "${@:2}"
}

# in_first_lane COMMAND...: run COMMAND in the first lane.
in_first_lane() { if [ ${#lane_pids[@]} -gt 0 ]; then in_lane "${lane_pids[0]}" "$@"; else "$@"; fi; }

# in_lanes COMMAND...: run COMMAND in all lanes at once, and print what it prints in the first. It fails if
# COMMAND fails in any; then what it prints in that lane is printed, too.
in_lanes() {
    local number running=() log=$dir/lanes status=0
    if [ ${#lane_pids[@]} = 0 ]; then
        "$@"
        return
    fi
    for number in "${!lane_pids[@]}"; do
        in_lane "${lane_pids[number]}" "$@" >"$log/$number.out" 2>"$log/$number.err" </dev/null &
        running+=($!)
    done
    for number in "${!lane_pids[@]}"; do
        if ! wait "${running[number]}"; then
            say "in lane $number, $1 failed:" >&2
            cat "$log/$number".{out,err} >&2
            status=1
        fi
    done
    if [ $status = 0 ]; then cat "$log/0.err" >&2; fi
    cat "$log/0.out"
    return $status
}

# lane_pythons PYTHON LANE...: write for each LANE a command that runs PYTHON in it, and print their paths.
lane_pythons() {
    local number
    for number in "${@:2}"; do
        {
            echo "#!/bin/bash"
            declare -f in_lane
            printf 'in_lane %q %q "$@"\n' "${lane_pids[number]}" "$1"
        } >"$dir/lanes/$number.python"
        chmod 755 "$dir/lanes/$number.python"
        echo "$dir/lanes/$number.python"
    done
}

# end_lanes: the kernel kills all processes of a lane with its first, and removes what it has mounted.
end_lanes() {
    local pid
    for pid in "${lane_keepers[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    lane_pids=() lane_keepers=()
}
