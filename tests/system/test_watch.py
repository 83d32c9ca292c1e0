# SPDX-License-Identifier: MIT
"""`altp2m watch` on a Debian guest with its default mitigations, as README shows it: system calls, functions and addresses of
processes by what the guest's kernel says of itself, without a file of symbols; its JSON against docs/watch.schema.json."""

import re
import subprocess

import runner
from harness import LIMIT, FacetTest

SCHEMA = runner.ROOT / "docs" / "watch.schema.json"
CHECK = runner.ROOT / "tests" / "unit" / "check_schema.py"
MONITOR = """altp2m -d 2 watch syscall execve --count 6
altp2m -d 2 watch syscall openat --result --count 3 --if 'comm == "date" && result >= 0'
altp2m -d 2 watch break do_sys_openat2 --args --count 2 --if 'args.filename =~ "*localtime"' --show 'task->real_parent->comm'
echo "{ json"
altp2m -d 2 --json watch syscall execve break do_exit --args --count 6
echo "} json"
altp2m -d 2 watch break dummy_get_stats64 --count 2
altp2m -d 2 watch break do_group_exit --if 'comm == "date"' --set rdi=0x2a00 --count 1 --exec 'cat >/event'
cat /event
ip=$(altp2m -d 2 watch syscall openat --if 'pid == 1' --count 1 --show 'u64[rdi+128]' | sed -n 's/.*128\\]=//p')
altp2m -d 2 watch user 1:$ip --count 1
altp2m -d 2 watch syscall openat > /log &
until grep -q openat /log; do sleep 0.1; done
kill -9 $!
sleep 1
altp2m -d 2 watch syscall execve --count 2 | tail -n 1
altp2m -d 2 off
altp2m domains
"""
# On a processor whose tables cannot say what a breakpoint needs, so that each page with one has a second view.
AMD = """altp2m -d 2 watch syscall execve --count 3
altp2m -d 2 watch break do_sys_openat2 --args --count 1 --if 'args.filename =~ "*localtime"'
altp2m -d 2 watch syscall openat --result --count 1 --if 'comm == "date" && result >= 0'
altp2m -d 2 watch break dummy_get_stats64 --count 1
"""
TARGET = """grep . /sys/devices/system/cpu/vulnerabilities/meltdown
n=0
until [ $n -ge ROUNDS ]; do cat /proc/net/dev >/dev/null; /bin/date >/dev/null || echo "date: $?"; sleep 0.1; n=$((n + 1)); done
echo "the target is at its end"
"""
EXECVE = r'\(d1\) +[0-9.]+  vcpu 0  init\(\d+\)  syscall execve\(filename="/bin/date", argv=\[/bin/date\], envp=0x[0-9a-f]+\)$'
OPENAT = r'\(d1\) +[0-9.]+  vcpu 0  date\(\d+\)  syscall openat\(dfd=-100, filename="/[^"]+", flags=\d+, mode=\d+\) = \d+$'
OPEN = (r'\(d1\) +[0-9.]+  vcpu 0  date\(\d+\)  break do_sys_openat2\(dfd=-100, filename="/etc/localtime", how=0x[0-9a-f]+\)'
        r'  rip 0x[0-9a-f]+ \(do_sys_openat2\)  task->real_parent->comm="init"$')
MODULE = r"\(d1\) +[0-9.]+  vcpu 0  \w+\(\d+\)  break dummy_get_stats64  rip 0x[0-9a-f]+ \(dummy_get_stats64\)"


class WatchTest(FacetTest):
    """Two Debian kernels."""

    weight = 60.0

    def _guest(self, name, *arguments):
        done = self.facet("guest", "-o", self.dir / name, *arguments)
        self.assertEqual(done.status, 0, done.err)
        return self.dir / name / "guest.cfg"

    def _target(self, rounds):
        return self._guest("target", "--altp2m", "external", "--module", "dummy", "--program", "/bin/date",
                           "--command", TARGET.replace("ROUNDS", str(rounds)))

    def test_amd(self):
        """The same, in short, on a processor of AMD's."""
        done = self.facet("run", "--machine", "ryzen", *LIMIT, self._guest("monitor", "--monitor", "--command", AMD),
                          self._target(250))
        self.assertEqual(done.status, 0, done.out[-3000:] + done.err[-1000:])
        for pattern, count in ((EXECVE, 1), (OPENAT, 1), (OPEN.partition("  task")[0] + "$", 1)):
            self.assertGreaterEqual(len(re.findall(pattern, done.out, re.M)), count, done.out)
        self.assertRegex(done.out, MODULE)
        self.assertIn("(d2) the target is at its end", done.lines)

    def test_linux(self):
        """Each line of the monitor's script."""
        done = self.facet("run", *LIMIT, self._guest("monitor", "--monitor", "--command", MONITOR),
                          self._target(400))
        self.assertEqual(done.status, 0, done.out[-3000:] + done.err[-1000:])
        for pattern, count in ((EXECVE, 2), (OPENAT, 3), (OPEN, 2)):
            self.assertGreaterEqual(len(re.findall(pattern, done.out, re.M)), count, done.out)
        self.assertRegex(done.out, MODULE)
        self.assertIn("(d2) Mitigation: PTI", done.lines)
        self.assertIn("(d2) date: 42", done.lines)
        self.assertRegex(done.out, r'\(d1\) \{"event": "break", .*"comm": "date", "label": "do_group_exit"')
        self.assertRegex(done.out, r"\(d1\) +[0-9.]+  vcpu 0  init\(1\)  user  1:0x[0-9a-f]+  rip 0x")
        self.assertIn("(d1)   execve: 2 times", done.lines)  # after a watch that was killed
        self.assertIn("(d2) the target is at its end", done.lines)
        self.assertRegex(done.out, r"\(d1\) 2 .* off *\n")
        lines = [line.removeprefix("(d1) ") for line in done.lines]
        lines = lines[lines.index("{ json") + 1:lines.index("} json")]
        checked = subprocess.run(["/usr/bin/python3", CHECK, SCHEMA], input="\n".join(lines), text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual((checked.returncode, checked.stdout), (0, ""))
        for wanted in ('"event": "begin"', '"filename": "/bin/date"', '"label": "do_exit"', '"code": 0'):
            self.assertIn(wanted, "\n".join(lines))
