#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in a clean Debian, where /facet has the packages and what is tried with them (test_debs.py). Each step that did what
# it should says so.
set -eu
export DEBIAN_FRONTEND=noninteractive
cd /root
APT="apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io -o APT::Keep-Downloaded-Packages=true"

ok() {
    echo "== $1: ok"
}
left() { # what has their names
    find / -xdev \( -path /proc -o -path /dev -o -path /facet -o -name '*locale_facets*' \) -prune -o \( -name '*facet*' -o -name '*altp2m*' \) -print
}
expect() { # WANTED COMMAND...: the command succeeds and prints a line with this in it
    wanted=$1
    shift
    "$@" >out 2>&1 || { cat out && return 1; }
    grep -qF -- "$wanted" out || { cat out && echo "not there: $wanted" && return 1; }
}

[ -z "$(left)" ]
# With what they depend on. Lists that are too old name packages that are gone.
$APT install /facet/*.deb >log 2>&1 || { $APT update && $APT install /facet/*.deb; } >log 2>&1 || { tail -n 20 log && exit 1; }
dpkg --verify facet altp2m libfacet-agent-dev libfacet-core-dev
ok install

expect "facet 0" facet --version
expect "source tree" sh -c 'facet test; [ $? = 2 ]'
for page in facet.1 altp2m.1 facet.cfg.5 facet-tests.5 facet.7 facet-boot.8; do
    man -w "${page##*.}" "${page%.*}" >out
done
ok command

expect "(d1) END hello: 1 passed, 0 skipped, 0 errors, 0 failed" facet run /facet/hello.cfg
facet image -o hello.iso /facet/hello.cfg 2>out
[ -s hello.iso ]
ok run

expect create altp2m --help
ok altp2m

# grub-mkconfig itself cannot look at a disk here; the script of ours can be asked.
mkdir -p /etc/facet/one
cp /facet/hello.cfg /etc/facet/one
expect "menuentry 'Facet, one'" env grub_probe=true grub_mkrelpath=echo /etc/grub.d/20_facet
[ -s /boot/facet/one/facet.elf ]
ok boot

cp /facet/both.c both.cc
for compiler in "gcc -std=c11 /facet/both.c" "g++ -std=c++17 both.cc"; do
    $compiler -Wall -Wextra -Werror $(pkg-config --cflags --libs facet-agent facet-core) -o both
    expect "$(pkg-config --modversion facet-core) " ./both
done
ok libraries

# A page's commands, each in the same folder as the last: what they print is compared with the page outside.
follow() { # NAME
    mkdir -p "$1"
    (cd "$1" && sh -e "/facet/$1.steps") >"/facet/$1.out" 2>&1 || { tail -n 20 "/facet/$1.out" && exit 1; }
    ok "$1"
}
follow agent
follow core
facet setup >log 2>&1 || { tail -n 20 log && exit 1; }
ok setup
follow guest
follow monitor
rm -rf /tmp/guest /tmp/monitor
cp -r /usr/share/doc/libfacet-agent-dev/examples/project .
follow project
cp project/facet.tap /facet/project.tap
rm -r agent core guest monitor project

$APT remove facet altp2m libfacet-agent-dev libfacet-core-dev >remove.log 2>&1
[ ! -e /usr/bin/facet ] && [ ! -e /usr/bin/altp2m ] && [ ! -e /boot/facet ]
/etc/grub.d/20_facet >out 2>&1 # what was left behind is silent
[ ! -s out ]
ok remove

rm -rf /etc/facet/one
dpkg --purge facet altp2m libfacet-agent-dev libfacet-core-dev >purge.log 2>&1
left >out
[ ! -s out ] || { xargs -d '\n' find <out; cat purge.log; exit 1; }
ok purge
