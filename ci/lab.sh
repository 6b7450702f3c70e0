# shellcheck shell=bash disable=SC2034,SC2154 # shares variables with those who source it
#
# Sourced by lab and test, after functions.sh: builds unispawner-lab. What npm installs is used again as
# long as package-lock.json and node are the same, and the wheel as long as all of its sources are.

lab_sources() { (cd "$checkout/unispawner-lab" && find . \( -name node_modules -o -name lib -o -name dist \
    -o -name build -o -name labextension -o -name '*.egg-info' -o -name __pycache__ \) -prune -o -type f -print0 |
    LC_ALL=C sort -z); }

# build_lab VENV: set lab_wheel. VENV has jupyterlab, build and setuptools; get_node has been called.
build_lab() {
    local venv=$1 work=$dir/lab locked sources
    locked=$({ "$node" --version; cat "$checkout/unispawner-lab/package-lock.json"; } | sha256sum)
    sources=$({ echo "$locked"; lab_sources | (cd "$checkout/unispawner-lab" && xargs -0 sha256sum); } | sha256sum)
    if [ "$sources" = "$(cat "$work/sources" 2>/dev/null)" ] && lab_wheel=$(ls "$work"/dist/*.whl 2>/dev/null); then
        return
    fi
    mkdir -p "$work/source"
    rm -rf "$work/sources" "$work/dist"
    find "$work/source" -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +
    lab_sources | (cd "$checkout/unispawner-lab" && tar -c --null -T -) | tar -x --no-same-owner -C "$work/source"
    if [ "$locked" != "$(cat "$work/locked" 2>/dev/null)" ]; then
        say "installing what unispawner-lab is built with into $work"
        rm -f "$work/locked"
        (cd "$work/source" && npm ci --ignore-scripts --omit=optional --loglevel=error --no-progress \
            --no-audit --no-fund --no-update-notifier) &>"$dir/npm.log" ||
            fail "npm could not install what unispawner-lab is built with:" $'\n'"$(tail -n 20 "$dir/npm.log")"
        echo "$locked" >"$work/locked"
    fi
    say "building unispawner-lab"
    (
        cd "$work/source"
        staging=$("$venv/bin/python" -Ic 'import jupyterlab.commands as c; print(c.HERE)')/staging
        npm run --silent build
        npm run --silent test
        "$node" node_modules/@jupyterlab/builder/lib/build-labextension.js --core-path "$staging" .
        "$venv/bin/python" -m build --no-isolation --outdir "$work/dist" .
    ) &>"$dir/build.log" || fail "could not build unispawner-lab:" $'\n'"$(tail -n 30 "$dir/build.log")"
    lab_wheel=$(echo "$work"/dist/*.whl)
    echo "$sources" >"$work/sources"
}
