# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# The steps of a demo that is a script. Prints what demo/guest/report.h describes.

number=0
done_ok=0
done_failed=0
why=

note() { echo "demo:   $*"; }
fail() { [ -n "$why" ] || why="$*"; return 1; }

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

