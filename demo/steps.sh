# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# The steps of a demo that is a script. Prints what demo/guest/report.h describes.

number=0
done_ok=0
done_failed=0
why=

note() { echo "demo:   $*"; }
fail() { [ -n "$why" ] || why="$*"; return 1; }
# How many lines of $log, the demo's own file, have this in them.
lines() { grep -c -- "$1" $log; }

# Debian's xen-access on a domain's writes, until it printed of so many events; $writes: how many it told of.
tell_writes() {
    note "\$ xen-access $1 write"
    xen-access "$1" write >$log 2>&1 &
    pid=$!
    tries=0
    while [ "$(lines 'Got event')" -lt "$2" ] && [ $tries -lt 100 ] && kill -0 $pid; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -INT $pid
    wait $pid
    writes=$(lines 'PAGE ACCESS: rw-')
}

# One step: its title and the function that does it, which leaves what came of it in $result,
# or says with `fail` why it did not work.
step() {
    number=$((number + 1))
    why=
    result=
    echo "demo: step $number: $1"
    if "$2" && [ -z "$why" ]; then
        done_ok=$((done_ok + 1))
        echo "demo: step $number ok: $result"
    else
        done_failed=$((done_failed + 1))
        echo "demo: step $number FAILED: ${why:-no reason given}"
    fi
}

