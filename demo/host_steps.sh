# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# What domain 0 of `facet demo host` does, as its init; demo/host_setup.sh and demo/steps.sh come first. The guest is
# demo/host_guest.sh.

log=/log
function=ext4_sync_fs
name=init_uts_ns+65 # struct new_utsname, nodename

# Runs a command; what it prints is kept in $log and shown.
run() {
    note "\$ $*"
    "$@" >$log 2>&1
    status=$?
    while read -r line; do note "$line"; done <$log
    return $status
}

said() { grep -c -- "guest: $1" $console; }

# Until the guest has said it so many times.
wait_for() {
    tries=0
    while [ "$(said "$1")" -lt "${2:-1}" ]; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "the guest did not say \"$1\"" || return
        sleep 0.1
    done
}

tty_of() { xenstore-read "/local/domain/$(xl domid guest)/console/tty"; }
tell() { echo "$*" >"$(tty_of)"; }
free() { xl info free_memory; }

look_around() {
    run xl info || fail "xl info failed" || return
    run xl list || fail "xl list failed" || return
    grep -q '^Domain-0 ' $log || fail "there is no Domain-0" || return
    before=$(free)
    result="Debian's xl, xenstored and xenconsoled run; $before MiB are free"
}

create() {
    run xl create /guest.cfg || fail "xl create failed" || return
    wait_for ready || return
    run xl list
    grep -q '^guest ' $log || fail "xl list does not have it" || return
    run xl vcpu-list guest || fail "xl vcpu-list failed" || return
    result="domain $(xl domid guest) boots Debian's kernel, unpacked by libxl"
}

disk() {
    [ "$(said 'start 1')" -eq 1 ] || fail "it could not write to its disk" || return
    [ "$(said 'no disk')" -eq 0 ] && [ "$(said 'the disk is another')" -eq 0 ] || fail "its disk is not the one" || return
    run xl block-list guest || fail "xl block-list failed" || return
    [ "$(lines '^51712 *0 .* 4 ')" -eq 1 ] || fail "xl does not call it connected" || return
    result="blkfront and blkback: ext4 is mounted, read and written"
}

network() {
    run xl network-list guest || fail "xl network-list failed" || return
    sum=$(md5sum </www/file)
    [ "$(said "fetched $sum")" -eq 1 ] || fail "it fetched something else" || return
    result="netfront and netback: $(stat -c %s /www/file) bytes by HTTP, with the right sum"
}

talk() {
    note "\$ xl console guest"
    {
        echo "say the console hears"
        wait_for "the console hears" >&2
        printf '\035'
    } | script -qc "xl console guest" /console.out >/dev/null
    [ "$(grep -c 'guest: the console hears' /console.out)" -ge 1 ] || fail "xl console did not show it" || return
    result="what is typed goes in, what it says comes out"
}

restart() {
    old=$(xl domid guest)
    tell reboot
    wait_for ready 2 || return
    [ "$(said 'start 2')" -eq 1 ] || fail "what it wrote is not there" || return
    [ "$(said 'fetched')" -eq 2 ] || fail "it has no network" || return
    [ "$(xl domid guest)" -ne "$old" ] || fail "it is still domain $old" || return
    result="domain $(xl domid guest) found what domain $old had written"
}

stop_and_go() {
    run xl pause guest || fail "xl pause failed" || return
    xl list guest | grep -q -- '-[b-]p---' || fail "xl list does not say that it is paused" || return
    run xl unpause guest || fail "xl unpause failed" || return
    tell say going on
    wait_for "going on" || return
    result="paused and unpaused"
}

attach() {
    echo "a second disk" >/dev/ram0
    run xl block-attach guest phy:/dev/ram0 xvdb r || fail "xl block-attach failed" || return
    tell attached
    wait_for "attached: a second disk" || return
    run xl block-detach guest xvdb || fail "xl block-detach failed" || return
    tell detached
    wait_for "detached" || return
    run xl network-attach guest mac=00:16:3e:00:00:03 bridge=xenbr0 || fail "xl network-attach failed" || return
    tell link eth1
    wait_for "has eth1 00:16:3e:00:00:03" || return
    run xl network-detach guest 1 || fail "xl network-detach failed" || return
    result="a second disk and a second network came and went"
}

make_busy() {
    tell busy
    wait_for "busy" "$1"
}

make_calm() {
    tell calm
    wait_for "calm after" "$1" || return
    [ "$(said 'round')" -eq 0 ] || fail "$(grep 'guest: round' $console | head -n 1)" || return
    note "$(grep 'guest: calm after' $console | tail -n 1)"
}

look_inside() {
    id=$(xl domid guest)
    make_busy 1 || return
    run altp2m -d "$id" watch break $function --count 3 || fail "watch was refused" || return
    [ "$(lines " break $function ")" -eq 3 ] || fail "not three hits" || return
    run altp2m -d "$id" watch write $name:8 --values --count 3 || fail "watch was refused" || return
    [ "$(lines "write $name:8 .* is .*work-")" -ge 1 ] || fail "no write of the name" || return
    make_calm 1 || return
    result="hidden breakpoints and a page watch while it reads, writes and downloads"
}

xen_access() {
    id=$(xl domid guest)
    make_busy 2 || return
    tell_writes "$id" 20
    [ "$writes" -ge 15 ] || fail "xen-access told of $writes writes" || return
    make_calm 2 || return
    result="Debian's own tool, unmodified: $writes pages were written to; disk and network went on"
}

destroy() {
    note "\$ xl dmesg"
    xl dmesg >$log || fail "xl dmesg failed" || return
    [ "$(lines '^(facet) d[0-9]* domain-[0-9]*: rebooted$')" -eq 1 ] || fail "xl dmesg does not show the reboot" || return
    note "$(grep ': rebooted$' $log)"
    run xl destroy guest || fail "xl destroy failed" || return
    tries=0
    while [ "$(free)" -lt "$before" ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    [ "$(xl list | grep -c '^guest ')" -eq 0 ] || fail "it is still there" || return
    [ "$(free)" -eq "$before" ] || fail "$(free) MiB are free, not $before as before" || return
    result="it is gone, and $before MiB are free as before"
}

echo "demo: begin steps=11"
step "see the host" look_around
step "xl makes a guest with a disk and a network" create
step "its disk" disk
step "its network" network
step "its console" talk
step "it reboots, and finds what it wrote" restart
step "pause and unpause it" stop_and_go
step "a disk and a network come and go" attach
step "altp2m watches it, busy" look_inside
step "Debian's xen-access watches it, busy" xen_access
step "destroy it" destroy
echo "demo: end ok=$done_ok failed=$done_failed"
