# SPDX-License-Identifier: MIT
"""`altp2m watch` on a Debian guest with its default mitigations, as README shows it: system calls, functions and addresses of
processes by what the guest's kernel says of itself, without a file of symbols; its JSON against docs/watch.schema.json."""

import re
import subprocess

import runner
from harness import LIMIT, FacetTest

SCHEMA = runner.ROOT / "docs" / "watch.schema.json"
CHECK = runner.ROOT / "tests" / "unit" / "check_schema.py"
README = (runner.ROOT / "README.md").read_text(encoding="utf-8")
# The one line that README shows, and what it prints there.
LINE, SHOWN = re.search(r"^    # (altp2m -d 2 watch .*)\n((?:      .*\n)+)", README, re.M).groups()
# Each round of the target has three execve(). Conditions, types, symbols of modules, JSON.
TELLS = LINE + """ --count 8
altp2m -d 2 watch syscall openat --result --count 3 --if 'comm == "date" && result >= 0'
altp2m -d 2 watch break do_sys_openat2 --args --count 2 --if 'args.filename =~ "*localtime"' --show 'task->real_parent->comm'
echo "{ json"
altp2m -d 2 --json watch syscall execve break do_exit --args --count 10
echo "} json"
altp2m -d 2 watch break dummy_get_stats64 --count 2
"""
# What changes the guest, a process' own code, and SIGKILL, after which the guest lives and is watched again.
ACTS = """altp2m -d 2 watch break do_group_exit --if 'comm == "date"' --set rdi=0x2a00 --count 1 --exec 'cat >/event'
cat /event
altp2m -d 2 watch break __x64_sys_sethostname --return -1 --count 1
ip=$(altp2m -d 2 watch syscall openat --if 'pid == 1' --count 1 --show 'u64[rdi+128]' | sed -n 's/.*128\\]=//p')
altp2m -d 2 watch user 1:$ip --count 1
altp2m -d 2 watch syscall openat > /log &
until grep -qs openat /log; do sleep 0.1; done
kill -9 $!
wait $!
altp2m -d 2 watch syscall execve --count 2 | tail -n 1
altp2m -d 2 off
altp2m domains
"""
# The same on a processor whose tables cannot say what a breakpoint needs, so that each page with one has a second view.
RYZEN = """altp2m -d 2 watch syscall execve --count 4
altp2m -d 2 watch break do_sys_openat2 --args --count 1 --if 'args.filename =~ "*localtime"'
altp2m -d 2 watch syscall openat --result --count 1 --if 'comm == "date" && result >= 0'
altp2m -d 2 watch break dummy_get_stats64 --count 1
"""
# The last that a monitor does: the target's date ends with 43, and the target with it.
END = """altp2m -d 2 watch break do_group_exit --if 'comm == "date"' --set rdi=0x2b00 --count 1
"""
TARGET = """grep . /sys/devices/system/cpu/vulnerabilities/meltdown
until [ "$s" = 43 ]; do
cat /proc/net/dev >/dev/null
hostname target 2>/dev/null || echo "hostname: $?"
/bin/date >/dev/null; s=$?
[ $s = 0 ] || echo "date: $s"
sleep 0.1
done
echo "the target is at its end"
"""
OPENED = (r'\(d1\) +[0-9.]+  vcpu 0  date\(\d+\)  break do_sys_openat2\(dfd=-100, filename="/etc/localtime", how=0x[0-9a-f]+\)'
          r'  rip 0x[0-9a-f]+ \(do_sys_openat2\)')
PATTERNS = {
    "call": r'\(d1\) +[0-9.]+  vcpu 0  init\(\d+\)  syscall execve\(filename="/proc/self/exe", argv=\[sleep 0\.1\], envp=0x[0-9a-f]+\)$',
    "execve": r'\(d1\) +[0-9.]+  vcpu 0  init\(\d+\)  syscall execve\(filename="/bin/date", argv=\[/bin/date\], envp=0x[0-9a-f]+\)$',
    "openat": r'\(d1\) +[0-9.]+  vcpu 0  date\(\d+\)  syscall openat\(dfd=-100, filename="/[^"]+", flags=\d+, mode=\d+\) = \d+$',
    "opened": OPENED + "$",
    "opened_by": OPENED + r'  task->real_parent->comm="init"$',
    "module": r"\(d1\) +[0-9.]+  vcpu 0  \w+\(\d+\)  break dummy_get_stats64  rip 0x[0-9a-f]+ \(dummy_get_stats64\)",
}


class WatchTest(FacetTest):
    """Two Debian kernels."""

    weight = 180.0

    def _guest(self, name, *arguments):
        done = self.facet("guest", "-o", self.dir / name, *arguments)
        self.assertEqual(done.status, 0, done.err)
        return self.dir / name / "guest.cfg"

    def watched(self, script, *options):
        """What the machine prints while a monitor runs the script and, last, ends its target."""
        monitor = self._guest("monitor", "--monitor", "--command", script + END)
        target = self._guest("target", "--altp2m", "external", "--module", "dummy", "--program", "/bin/date", "--command", TARGET)
        done = self.facet("run", *LIMIT, *options, monitor, target)
        self.assertEqual(done.status, 0, done.out[-3000:] + done.err[-1000:])
        self.assertIn("(d2) date: 43", done.lines)
        self.assertIn("(d2) the target is at its end", done.lines)
        return done

    def _told(self, done, **counts):
        for name, count in counts.items():
            self.assertGreaterEqual(len(re.findall(PATTERNS[name], done.out, re.M)), count, done.out)

    def _acted(self, done):
        """What ACTS wants."""
        for line in ("(d2) date: 42", "(d2) hostname: 1", "(d1)   execve: 2 times"):
            self.assertIn(line, done.lines)
        self.assertRegex(done.out, r'\(d1\) \{"event": "break", .*"comm": "date", "label": "do_group_exit"')
        self.assertRegex(done.out, r"\(d1\) +[0-9.]+  vcpu 0  init\(1\)  user  1:0x[0-9a-f]+  rip 0x")
        self.assertRegex(done.out, r"\(d1\) 2 .* off *\n")

    def test_readme(self):
        """The lines that README shows are such as the others here are held to."""
        shown = [f"(d1) {line.strip()}" for line in SHOWN.splitlines()]
        self.assertEqual([sum(bool(re.fullmatch(PATTERNS[name], line)) for line in shown) for name in ("execve", "call")], [1, 1])

    def test_ryzen(self):
        """What is told, in short, on Bochs' processor of AMD's."""
        self._told(self.watched(RYZEN, "--machine", "ryzen"), execve=1, openat=1, opened=1, module=1)

    def test_amd(self):
        """What changes the guest, on QEMU's processor of AMD's."""
        self._acted(self.watched(ACTS, "--machine", "amd"))

    def test_linux(self):
        """Each line of the scripts."""
        done = self.watched(TELLS + ACTS)
        self._told(done, execve=2, call=1, openat=3, opened_by=2, module=1)
        self._acted(done)
        self.assertIn("(d2) Mitigation: PTI", done.lines)
        lines = [line.removeprefix("(d1) ") for line in done.lines]
        lines = lines[lines.index("{ json") + 1:lines.index("} json")]
        checked = subprocess.run(["/usr/bin/python3", CHECK, SCHEMA], input="\n".join(lines), text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual((checked.returncode, checked.stdout), (0, ""))
        for wanted in ('"event": "begin"', '"filename": "/bin/date"', '"label": "do_exit"', '"code": 0'):
            self.assertIn(wanted, "\n".join(lines))
