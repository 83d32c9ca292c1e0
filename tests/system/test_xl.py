# SPDX-License-Identifier: MIT
"""Debian's xl in the demo's domain 0: killed while it makes a domain; domains made and destroyed with disk and network, busy, until something would be missing."""

import re
import subprocess
import sys

import runner
from harness import HERE, FacetTest
from runner import machines

sys.path.insert(0, str(runner.ROOT / "demo"))

import host_demo  # noqa: E402  pylint: disable=wrong-import-position

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
gone() { tries=0; while [ -n "$(others)" ] && [ $tries -lt 200 ]; do tries=$((tries + 1)); sleep 0.1; done; }
"""


class XlTest(FacetTest):
    """What the tests here share."""

    weight = 100.0

    def _compiled(self, source, *options):
        target = self.dir / source.partition(".")[0]
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-D__XEN_TOOLS__", *options, "-o", target, HERE / source],
                       check=True)
        return target

    def in_host(self, script, **guest):
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
                          "--ticks", str(machine.limit(TICKS)), path)
        self.assertEqual(done.status, 0, done.out[-6000:] + done.err[-1000:])
        return done


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
    now=$(pages)
    [ $now -eq $before ] || { echo "WALK at $at: $now pages are free, not $before"; before=$now; }
    at=$((at + STRIDE))
done
xl unpause small
until xl list small | grep -q -- ---s--; do sleep 0.1; done
xl destroy small; gone
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

    def test_busy_ends(self):
        """Destroyed while disk and network are busy; after the second one nothing changes any more."""
        done = self.in_host("""
for round in $(seq 0 ROUNDS); do
    cp /disk.img /fresh.img
    rm -f $console
    xl create -q /guest.cfg disk='["file:/fresh.img,xvda,w"]' || break
    wait_for ready
    tell busy
    wait_for busy
    xl destroy guest
    gone
    echo "SOAK $round: $(pages) pages, $(losetup -a | wc -l) loops, $(ls /sys/class/net | grep -c vif) links"
    killall -HUP xenconsoled
done
""".replace("ROUNDS", str(self.rounds)))
        seen = re.findall(r"^\(d0\) SOAK (\d+): (.*)$", done.out, re.M)
        self.assertEqual(len(seen), self.rounds + 1, done.out[-6000:])
        self.assertEqual({text for _, text in seen[1:]}, {seen[1][1]}, done.out[-6000:])
        self.assertIn(" 0 loops, 0 links", seen[1][1])
