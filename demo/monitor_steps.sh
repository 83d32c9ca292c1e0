# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# What the monitor of `facet demo monitor` does, as its init; demo/monitor_setup.sh and
# demo/steps.sh come first. The other domain is demo/monitor/target.c.

target=2
function=__x64_sys_sethostname
name=init_uts_ns+65 # struct new_utsname, nodename
symbols=/System.map
log=/log

# Runs altp2m on the other domain; what it prints is kept in $log and shown.
run() {
    note "\$ altp2m -d $target $*"
    altp2m -d $target "$@" >$log 2>&1
    status=$?
    while read -r line; do note "$line"; done <$log
    return $status
}

# Nothing of a watch is left: altp2m is off again, and nobody holds the domain.
clean() {
    altp2m domains | grep -q "^$target .* off" || fail "altp2m is still on in the other domain"
    altp2m domains | grep -q "^$target .* paused" && fail "the other domain is still paused"
    [ -z "$why" ]
}

look_around() {
    note "\$ altp2m domains"
    altp2m domains >$log || fail "no list of domains" || return
    while read -r line; do note "$line"; done <$log
    grep -q "^$target .* external" $log || fail "domain $target is not there" || return
    result="this domain may control domain $target"
}

# It prints of an event when it has many, but that it was woken at once.
xen_access() {
    tell_writes $target 50
    grep 'PAGE ACCESS: rw-' $log | head -n 3 | while read -r line; do note "$line"; done
    note "and so on: $writes events, one for the first write to each page"
    [ "$writes" -ge 40 ] || fail "xen-access told of $writes writes" || return
    result="Debian's own tool, unmodified: $writes pages were written to, and the domain goes on"
}

breakpoint() {
    run watch break $function --symbols $symbols --count 5 --show '[rdi+0x70]:str' ||
        fail "watch was refused" || return
    [ "$(lines " break $function ")" -eq 5 ] || fail "not five hits" || return
    [ "$(lines '="work-')" -eq 5 ] || fail "the new names are not shown" || return
    clean || return
    result="five calls of sethostname() in the other kernel, each with its argument"
}

look_back() {
    run watch break $function read $function:64 --symbols $symbols --kind read --count 8 ||
        fail "watch was refused" || return
    [ "$(lines ' read ')" -ge 8 ] || fail "its reads were not seen" || return
    clean || return
    result="it read its own code and was given what is there without the breakpoint"
}

page_watch() {
    run watch write $name:8 --symbols $symbols --values --count 8 ||
        fail "watch was refused" || return
    [ "$(lines "write $name:8 .* is .*work-")" -ge 1 ] || fail "no write of the name" || return
    clean || return
    result="each write to eight bytes of the kernel's data, with what it changed"
}

fail_it() {
    run watch break $function --symbols $symbols --return -1 || fail "watch was refused" || return
    [ "$(lines "domain $target has ended")" -eq 1 ] || fail "the other domain goes on" || return
    result="sethostname() returned -EPERM and did nothing; the other domain gave up, and ended"
}

echo "demo: begin steps=6"
step "see who is there" look_around
step "Debian's xen-access watches the other domain" xen_access
step "put a hidden breakpoint into its kernel" breakpoint
step "let it look for the breakpoint" look_back
step "watch a page of its kernel's data" page_watch
step "fail a system call of its, from outside" fail_it
echo "demo: end ok=$done_ok failed=$done_failed"
