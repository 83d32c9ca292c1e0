# SPDX-License-Identifier: MIT
"""Debian's xl in the demo's domain 0: what each command gives, beside what was recorded; xl killed while it makes a
domain; domains made and destroyed with disk and network, busy, until something would be missing."""

import os
import re
import subprocess
import sys

import runner
from harness import HERE, FacetTest
from runner import machines

sys.path.insert(0, str(runner.ROOT / "demo"))

import host_demo  # noqa: E402  pylint: disable=wrong-import-position

RECORDED = runner.ROOT / "tests" / "recorded" / "xl.txt"
TICKS = 40_000_000_000
SMALL = "name = 'small'\ntype = 'pvh'\nkernel = '/small.elf'\nmemory = 8\non_poweroff = 'preserve'\n"
# What all scripts begin with, behind the demo's set-up.
COMMON = """
said() { grep -c -- "guest: $1" $console; }
wait_for() {
    tries=0
    while [ "$(said "$1")" -lt "${2:-1}" ] && [ $tries -lt 600 ]; do tries=$((tries + 1)); sleep 0.1; done
}
tell() { echo "$*" >"$(xenstore-read /local/domain/$(xl domid guest)/console/tty)"; }
others() { xl list | tail -n +3 | sed 's/.*[^ ] \\+\\([0-9]\\+\\) \\+[0-9]\\+ \\+[0-9]\\+ .*/\\1/'; }
given_back() { tries=0; while [ "$(pages)" -ne "$1" ] && [ $tries -lt 200 ]; do tries=$((tries + 1)); sleep 0.1; done; }
gone() { tries=0; while [ -n "$(others)" ] && [ $tries -lt 200 ]; do tries=$((tries + 1)); sleep 0.1; done; }
left() { echo "$(pages) pages, $(losetup -a | wc -l) loops, $(ls /sys/class/net | grep -c vif) links"; }
# Backends let go of what they had of a domain by and by.
as_before() { tries=0; while [ "$(left)" != "$1" ] && [ $tries -lt 200 ]; do tries=$((tries + 1)); sleep 0.1; done; left; }
"""


class XlTest(FacetTest):
    """What the tests here share."""

    weight = 100.0

    def _compiled(self, source, *options):
        target = self.dir / source.partition(".")[0]
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-D__XEN_TOOLS__", *options, "-o", target, HERE / source],
                       check=True)
        return target

    def in_host(self, script, ticks=TICKS, **guest):
        """Runs a script in domain 0; what it said. guest: what host_demo.configuration() has to know of the guest."""
        absent = host_demo.missing()
        if absent:
            self.skipTest(f"{', '.join(absent)} (packages: ./facet setup --for host)")
        extra = {"small.cfg": SMALL.encode(), "small.elf": runner.build_dir() / "guest" / "hello.elf",
                 "usr/bin/pages": self._compiled("pages.c", "-static"),
                 "usr/lib/die.so": self._compiled("die.c", "-shared", "-fPIC")}
        path = host_demo.configuration(runner, self.dir / "host", COMMON + script, extra, **guest)[0]
        machine = machines.find("amd")
        done = self.facet("run", "--machine", machine.name, "--memory", str(host_demo.MACHINE_MIB),
                          "--ticks", str(min(machine.limit(ticks), machine.backend.MOST_TICKS)), path)
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        return done

    def nothing_left(self, done, rounds):
        """What a script said is there before and after each of its rounds: as much, and no devices."""
        seen = re.findall(r"^\(d0\) SOAK (\w+): (.*)$", done.out, re.M)
        told = f"{done.out[-6000:]}\nleft: {seen}"
        self.assertEqual([name for name, _ in seen], ["before", *map(str, rounds)], told)
        self.assertEqual(len({text for _, text in seen}), 1, told)
        self.assertIn(" 0 loops, 0 links", seen[0][1], told)


def recorded():
    """[(name, command, result)] of the file: what is asked, and "works" or why it does not."""
    rows = []
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        if line.startswith("xl "):
            command, _, result = line.partition(" | ")
            rows.append((command, result))
    return rows


class CommandsTest(XlTest):
    """The table of docs/xl.md."""

    def test_commands(self):
        """Each gives what is recorded."""
        rows = recorded()
        script = 'echo "a second disk" >/dev/ram0\n'
        for number, (command, _) in enumerate(rows):
            script += (f'{{ {command}; }} >/out 2>&1 </dev/null; echo "XL {number} status $?"\n'
                       f'sed "s/^/XL {number} : /" /out\n')
            if command.startswith("xl create /guest.cfg"):
                script += "wait_for ready\n"
            if command == "xl reboot guest":
                script += "wait_for ready 2\n"
        done = self.in_host(script)
        wrong = []
        for number, (command, result) in enumerate(rows):
            status = re.search(rf"^\(d0\) XL {number} status (\d+)", done.out, re.M)
            text = "\n".join(re.findall(rf"^\(d0\) XL {number} : (.*)$", done.out, re.M))
            ok = status and (status.group(1) == "0" if result == "works" else result in text)
            if not ok:
                wrong.append(f"{command}: {status and status.group(1)}, not \"{result}\":\n{text}")
        self.assertEqual(wrong, [], "\n".join(wrong))


class KilledTest(XlTest):
    """xl dies in the middle of its work."""

    stride = 17

    def test_killed(self):
        """At every so-manieth call: what it left is destroyed by number, nothing is lost, and the next xl works."""
        done = self.in_host("""
xl create -p -q /small.cfg && xl destroy small; gone
before=$(pages)
at=1
while :; do
    LD_PRELOAD=/usr/lib/die.so DIE_AT=$at xl create -p -q /small.cfg >/out 2>&1 && break
    for id in $(others); do xl destroy $id >/out 2>&1 || cat /out; done
    gone
    given_back $before
    now=$(pages)
    [ $now -eq $before ] || { echo "WALK at $at: $now pages are free, not $before"; before=$now; }
    at=$((at + STRIDE))
done
xl unpause small
until xl list small | grep -q -- ---s--; do sleep 0.1; done
xl destroy small; gone
given_back $before
echo "WALK ended at $at: $(pages) pages of $before"
""".replace("STRIDE", str(self.stride)))
        wrong = re.findall(r"^\(d0\) (WALK at .*)$", done.out, re.M)
        self.assertEqual(wrong, [], done.out[-6000:])
        end = re.search(r"^\(d0\) WALK ended at (\d+): (\d+) pages of (\d+)$", done.out, re.M)
        self.assertTrue(end, done.out[-6000:])
        self.assertEqual(end.group(2), end.group(3))
        self.assertGreater(int(end.group(1)), 50)


class SoakTest(XlTest):
    """Domains come and go."""

    rounds = 3
    every = 5

    def test_busy_ends(self):
        """Destroyed while disk and network are busy: nothing of it is left."""
        done = self.in_host("""
xl create -p -q /small.cfg && xl destroy small
before=$(left)
echo "SOAK before: $before"
for round in $(seq 0 ROUNDS); do
    cp /disk.img /fresh.img
    rm -f $console
    xl create -q /guest.cfg disk='["file:/fresh.img,xvda,w"]' || break
    wait_for ready
    tell busy
    wait_for busy
    xl destroy guest
    gone
    echo "SOAK $round: $(as_before "$before")"
    killall -HUP xenconsoled
done
""".replace("ROUNDS", str(self.rounds)))
        self.nothing_left(done, range(self.rounds + 1))

    def test_many(self):
        """Tiny ones with a disk and a network, one after the other, whether they have ended by themselves or not: as many as
        FACET_SOAK says, of which the hypervisor keeps nothing."""
        many = int(os.environ.get("FACET_SOAK", "10"))
        done = self.in_host("""
xl create -p -q /small.cfg && xl destroy small
before=$(left)
echo "SOAK before: $before"
for round in $(seq 0 MANY); do
    xl create -q /small.cfg disk='["file:/disk.img,xvda,w"]' vif='["mac=00:16:3e:00:00:02,bridge=xenbr0"]' || break
    xl destroy small
    gone
    [ $((round % EVERY)) -eq 0 ] || continue
    echo "SOAK $round: $(as_before "$before")"
done
""".replace("MANY", str(many)).replace("EVERY", str(self.every)), ticks=TICKS * (1 + many // 50))
        self.nothing_left(done, range(0, many + 1, self.every))


class RestartTest(XlTest):
    """Backends that stop and start again beneath a guest that uses them."""

    def test_backends_restart(self):
        """What they had mapped goes back while its frontends are connected and busy; the guest and domain 0 go on, and a disk
        and a link that are attached afterwards work. Frontends that lost their backend stay closed, as Linux has them."""
        done = self.in_host("""
xl create -p -q /small.cfg && xl destroy small
before=$(left)
echo "SOAK before: $before"
cp /disk.img /fresh.img
rm -f $console
xl create -q /guest.cfg disk='["file:/fresh.img,xvda,w"]'
wait_for ready
tell busy
wait_for busy
for driver in vbd vif; do
    bus=/sys/bus/xen-backend/drivers/$driver
    name=$(basename $bus/$driver-*)
    echo $name >$bus/unbind && echo $name >$bus/bind && echo "RESTARTED $name"
done
echo "a second disk" >/dev/ram0
xl block-attach guest phy:/dev/ram0 xvdb r
tell attached
wait_for "attached: a second disk"
xl network-attach guest mac=00:16:3e:00:00:03 bridge=xenbr0
tell link eth1
wait_for "has eth1 00:16:3e:00:00:03"
grep -h "guest: attached\|guest: has" $console | sed 's/^/SAID /'
xl destroy guest
gone
echo "SOAK 1: $(as_before "$before")"
dmesg | grep -E "BUG|Oops|hung task" | sed 's/^/TROUBLE /'
""")
        self.nothing_left(done, (1,))
        for line in (r"RESTARTED vbd-\d+-51712", r"RESTARTED vif-\d+-0", "SAID guest: attached: a second disk",
                     "SAID guest: has eth1 00:16:3e:00:00:03"):
            self.assertRegex(done.out, rf"(?m)^\(d0\) {line}", done.out[-6000:])
        self.assertNotIn("(d0) TROUBLE", done.out)


class HostileTest(XlTest):
    """A frontend that says to its backends whatever it likes. Linux's blkback warns (xen_blkif_disconnect) of rings that it
    never had; that is its own."""

    guest_script = """
say() { echo "guest: $*" >/dev/console; }
disk=device/vbd/51712
link=device/vif/0
echo vbd-51712 >/sys/bus/xen/drivers/vbd/unbind
echo vif-0 >/sys/bus/xen/drivers/vif/unbind
rounds=0
for ref in 0 1 511 65535 4294967295 nonsense; do
    for port in 0 2 4294967295; do
        for device in $disk $link; do
            xenstore-write $device/state 1
            xenstore-write $device/ring-ref $ref $device/tx-ring-ref $ref $device/rx-ring-ref 1 \\
                $device/event-channel $port $device/protocol x86_64-abi $device/request-rx-copy 1 $device/feature-rx-notify 1
            xenstore-write $device/state 3
            xenstore-write $device/state 4
        done
        rounds=$((rounds + 1))
        for device in $disk $link; do
            xenstore-write $device/state 5
            xenstore-write $device/state 6
        done
    done
done
say "hostile $rounds"
read -r line </dev/console
"""

    def test_hostile_frontend(self):
        """Its rings are pages that it has not granted, or which are none, and its channels not its own: the backends
        give up, domain 0 goes on, and nothing of it is left."""
        done = self.in_host("""
xl create -p -q /small.cfg && xl destroy small
before=$(left)
echo "SOAK before: $before"
for round in 1 2 3; do
    rm -f $console
    cp /disk.img /fresh.img
    xl create -q /guest.cfg disk='["file:/fresh.img,xvda,w"]' || break
    wait_for hostile
    xl destroy guest
    gone
    echo "SOAK $round: $(as_before "$before")"
    killall -HUP xenconsoled
done
grep -h "guest: hostile" $console | sed 's/^/SAID /'
dmesg | grep -E "BUG|Oops|hung task" | sed 's/^/TROUBLE /'
xenstore-ls /local/domain/0/backend | sed 's/^/LEFT /'
""", guest_script=self.guest_script, guest_programs=[path for path in host_demo.PROGRAMS if path.name.startswith("xenstore-")])
        self.nothing_left(done, (1, 2, 3))
        self.assertIn("(d0) SAID guest: hostile 18", done.out)
        self.assertNotIn("(d0) TROUBLE", done.out)
