# SPDX-License-Identifier: MIT
"""docs/tutorial.md, followed to the letter: each command in its blocks is run where the block says,
and has to print what stands below it."""

import re
import sys

import runner
from harness import FacetTest

sys.path.insert(0, str(runner.ROOT / "demo"))

import demo  # noqa: E402  pylint: disable=wrong-import-position
import initramfs  # noqa: E402  pylint: disable=wrong-import-position

TUTORIAL = runner.ROOT / "docs" / "tutorial.md"
PROMPT = "~ # "
# What differs from boot to boot: in the guest a variable holds it. (variable, what tells it)
TOLD = (("GFN", re.compile(r"in gfn (0x[0-9a-f]+)")), ("SHADOW", re.compile(r"^(s[0-9]+)$")))

# Runs the command in its arguments as a line of its own; what it prints also fills the variables.
GUEST_SCRIPT = r"""
follow() {
    echo "@ run"
    eval "$1" > /tmp/out 2>&1
    cat /tmp/out
    found=$(sed -n 's/.*in gfn \(0x[0-9a-f]*\).*/\1/p' /tmp/out); GFN=${found:-$GFN}
    found=$(sed -n 's/^\(s[0-9]*\)$/\1/p' /tmp/out); SHADOW=${found:-$SHADOW}
}
"""


def steps(text, kind):
    """[(command, [lines below it])] of the document's blocks of this kind."""
    found = []
    for block in re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith(PROMPT):
                found.append((line[len(PROMPT):], []))
            else:
                found[-1][1].append(line)
    return found


def told(lines):
    """{variable: value} from what was printed; the last one counts."""
    return {name: match.group(1) for line in lines for name, pattern in TOLD
            for match in [pattern.search(line)] if match}


class TutorialTest(FacetTest):
    """The tutorial is true."""

    weight = 40.0

    def script(self, wanted):
        """The guest's script: values that the document shows become variables."""
        values = {}
        lines = [GUEST_SCRIPT]
        for command, below in wanted:
            for name, value in values.items():
                command = command.replace(value, f"${name}")
            self.assertNotIn("'", command)
            lines.append(f"follow '{command}'")
            values.update(told(below))
        return "\n".join(lines + ["echo '@ end'"])

    def printed(self, wanted):
        """What each command printed, in the guest of `./facet demo --shell`."""
        kernel = runner.debian_kernel()
        ramdisk = initramfs.script(self.dir / "tutorial.gz", kernel, runner.build_dir(),
                                   self.script(wanted))
        path = self.dir / "tutorial.cfg"
        path.write_text(runner.config(
            name="tutorial", kernel=kernel.vmlinuz, ramdisk=ramdisk, cmdline=demo.CMDLINE,
            memory=demo.MEMORY_MIB, vcpus=1, altp2m="mixed"), encoding="utf-8")
        result = runner.boot([path], timeout=600)
        self.assertEqual(result.status, 0, result.reason)
        runs = []
        for text in result.texts("d1"):
            if text.startswith("@ "):
                runs.append([])
            elif runs:
                runs[-1].append(text)
        return runs[:-1]

    def test_inside_a_guest(self):
        """Part 1."""
        wanted = steps(TUTORIAL.read_text(encoding="utf-8"), "guest")
        self.assertGreater(len(wanted), 20)
        seen, values = [], {}
        for (command, below), lines in zip(wanted, self.printed(wanted)):
            values.update(zip(told(lines).values(), told(below).values()))
            for actual, shown in values.items():
                lines = [line.replace(actual, shown) for line in lines]
            seen.append((command, lines))
        for number, step in enumerate(wanted):
            with self.subTest(step[0]):
                self.assertEqual(seen[number], step)
        self.assertEqual(len(seen), len(wanted))
