# SPDX-License-Identifier: MIT
"""What make leaves when it is ended: each file as it was, or whole. Compilers and linkers are stand-ins."""

import os
import re
import signal
import subprocess

import runner
from harness import FacetTest

# Writes half of its output. Where $AT names that: ends all of make at once, as a lost machine would, or tells its
# pid and waits. The output is what follows -o or rcs, else the last word.
STANDIN = r"""#!/bin/sh
out= last=
for word; do
	case $last in -o|rcs) out=$word;; esac
	last=$word
done
out=${out:-$last}
printf half >"$out"
if [ "$TWICE" ]; then # another make does the same meanwhile, and is done first
	again=$TWICE
	TWICE= AT=none make -s -C . "B=$B" "$again" || exit 1
fi
case $out in
"$AT"|"$AT".part*) if [ "$TELL" ]; then echo $$ >"$TELL"; while :; do sleep 1; done; else kill -9 0; fi;;
esac
"""
# Of each kind of rule one.
FILES = ("hv/hv/platform.o", "facet.elf", "altp2m", "tools/altp2m/libaltp2m.a", "agent/vault.core.o", "agent/libagent.a", "seed.so",
         "facet-config", "guest/hello.elf", "guest/bench-linux", "libfacet-core.a", "greet", "sector.bin", "hv/vsnprintf.a")
# Recipes that make, beside programs of their own, parts of a file to come.
PREPARES = re.compile(r"mkdir -p |rm -f |touch |cd \S+ && ar x |if nm -u ")


class BuildTest(FacetTest):
    """See the module's text."""

    weight = 20.0

    def setUp(self):
        super().setUp()
        self.made = self.dir / "b"
        tools = self.dir / "bin"
        tools.mkdir()
        for name in ("gcc", "ar", "ld", "objcopy", "cp"):
            self.write(f"bin/{name}", STANDIN).chmod(0o755)
        self.environment = dict(os.environ, PATH=f"{tools}:{os.environ['PATH']}", B=os.path.relpath(self.made, runner.ROOT))
        self.environment.pop("MAKEFLAGS", None)

    def _make(self, *words, **more):
        return subprocess.run(["make", "-s", "-C", runner.ROOT, f"B={self.environment['B']}", *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, start_new_session=True,
                              env=dict(self.environment, **more))

    def test_killed(self):
        """Nothing of a file that was not there, and what was there as it was."""
        for name in FILES:
            target = f"{self.environment['B']}/{name}"
            for before in (None, "whole"):
                with self.subTest(name, before=before):
                    (self.made / name).parent.mkdir(parents=True, exist_ok=True)
                    (self.made / name).unlink(missing_ok=True)
                    if before:
                        (self.made / name).write_text(before, encoding="ascii")
                        os.utime(self.made / name, (1, 1))
                    done = self._make(target, AT=target)
                    self.assertEqual(done.returncode, -signal.SIGKILL, done.stdout)
                    left = (self.made / name).read_text(encoding="ascii") if (self.made / name).exists() else None
                    self.assertEqual(left, before)
                    done = self._make(target, AT="none")
                    self.assertEqual((done.returncode, (self.made / name).read_text(encoding="ascii")), (0, "half"), done.stdout)

    def test_headers_are_followed(self):
        """What a file was made of is known by the file's own name."""
        target = f"{self.environment['B']}/hv/core/range.o"
        done = self._make(target, AT="none", PATH=os.environ["PATH"])
        self.assertEqual(done.returncode, 0, done.stdout)
        rule, _, needed = (self.made / "hv/core/range.o.d").read_text(encoding="utf-8").partition(":")
        self.assertEqual(rule, target)
        self.assertIn("core/range.c", needed)
        self.assertIn("\ncore/range.h:", needed)

    def test_two_at_once(self):
        """Two makes that make the same file do not spoil each other's."""
        target = f"{self.environment['B']}/hv/hv/platform.o"
        done = self._make(target, AT="none", TWICE=target)
        self.assertEqual((done.returncode, (self.made / "hv/hv/platform.o").read_text(encoding="ascii")), (0, "half"), done.stdout)
        self.assertEqual([path.name for path in (self.made / "hv/hv").iterdir()], ["platform.o"])

    def test_every_rule(self):
        """Each command that make would run to make anything at all is one of those that test_killed tries."""
        done = self._make("-n", "--trace", "all", "unit", "fuzz-smoke", "prove", "xen-needs", "check-clang-hv")
        self.assertEqual(done.returncode, 0, done.stdout[-2000:])
        rules = re.split(r"^\S+:\d+: (?:update )?target '([^']+)'.*\n", done.stdout, flags=re.M)
        files = {target: text for target, text in zip(rules[1::2], rules[2::2]) if target.startswith(self.environment["B"])}
        self.assertGreater(len(files), 500)
        for target, text in files.items():
            for line in text.replace("\\\n", "").splitlines():
                if re.search(rf"(?<!-MT )(?<!\S)>?{re.escape(target)}(?!\S)", line) and not PREPARES.match(line.strip().lstrip("@")):
                    self.assertRegex(line, rf"^tools/into {re.escape(target)} ")

    def test_ended(self):
        """./facet build that is ended takes with it all that it runs, and the next one builds."""
        os.mkfifo(self.dir / "fifo")
        target = f"{self.environment['B']}/facet.elf"
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                process = self.start("run", "--hypervisor", self.standin(""), self.config("a.cfg", kernel=self.guest()),
                                     env=dict(self.environment, AT=f"{self.environment['B']}/facet-config", TELL=str(self.dir / "fifo")))
                linker = int((self.dir / "fifo").read_text(encoding="ascii"))
                running = [linker, *self.children(process.pid)]
                process.send_signal(number)
                self.finish(process)
                self.assertEqual([pid for pid in running if self._alive(pid)], [])
                self.assertFalse((self.made / "facet-config").exists())
        done = self._make(target, AT="none")
        self.assertEqual(done.returncode, 0, done.stdout)
