# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# What the guest of `facet demo host` does: at each start it looks at its disk and its network, then it does
# what its console says.

say() { echo "guest: $*" >/dev/console; }

# The disk: what was there before, and one line more.
mkdir -p /mnt
mount -t ext4 /dev/xvda /mnt || say "no disk"
[ "$(cat /mnt/made)" = "made by the demo" ] || say "the disk is another one"
echo start >>/mnt/starts
sync
say "start $(grep -c start /mnt/starts)"

# The network: the bridge of domain 0.
ip link set lo up
ip addr add 10.0.0.2/24 dev eth0
ip link set eth0 up
tries=0
until wget -q -O /tmp/file http://10.0.0.1/file || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
say "fetched $(md5sum </tmp/file)"

# Disk and network at once, and a change to the kernel's data, until /tmp/calm is there.
busy() {
    rounds=0
    while ! [ -e /tmp/calm ]; do
        rounds=$((rounds + 1))
        hostname "work-$rounds"
        head -c 65536 /dev/urandom >/tmp/random
        cp /tmp/random /mnt/random
        sync
        echo 1 >/proc/sys/vm/drop_caches
        cmp /tmp/random /mnt/random || say "round $rounds: the disk gave back something else"
        wget -q -O /tmp/again http://10.0.0.1/file && cmp /tmp/file /tmp/again ||
            say "round $rounds: the network brought something else"
        [ $rounds -eq 1 ] && say "busy"
    done
    rm /tmp/calm
    say "calm after $rounds rounds"
}

attached() {
    tries=0
    until [ -b /dev/xvdb ] || [ $tries -ge 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    say "attached: $(head -c 14 /dev/xvdb)"
}

detached() {
    tries=0
    while [ -b /dev/xvdb ] && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    [ -b /dev/xvdb ] || say "detached"
}

links() {
    tries=0
    until [ -e "/sys/class/net/$1" ] || [ $tries -ge 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    say "has $1 $(cat "/sys/class/net/$1/address")"
}

say "ready"
while read -r what more; do
    case $what in
        say) say "$more" ;;
        busy) busy & ;;
        calm) touch /tmp/calm ;;
        attached | detached) $what ;;
        link) links "$more" ;;
        reboot) umount /mnt; reboot -f ;;
        off) umount /mnt; poweroff -f ;;
    esac
done </dev/console
