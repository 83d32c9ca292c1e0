# SPDX-License-Identifier: MIT
"""docs/tutorial.md, followed to the letter: each command in its blocks is run where the block says,
and has to print what stands below it."""

import re
import shlex

import runner
from harness import TICKS, FacetTest, quoted_steps

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


def told(lines):
    """{variable: value} from what was printed; the last one counts."""
    return {name: match.group(1) for line in lines for name, pattern in TOLD
            for match in [pattern.search(line)] if match}


def pattern(lines):
    """A regular expression for lines in which [...] stands for anything, alone for any lines."""
    whole = "\n".join(lines)
    return re.escape(whole).replace(re.escape("[...]"), r"(?:.|\n)*?")


class Tutorial(FacetTest):
    """Who follows the tutorial."""

    def wanted(self, kind):
        """[(command, [lines below it])] of the blocks of a kind, `guest` or `monitor`."""
        found = quoted_steps(TUTORIAL.read_text(encoding="utf-8"), kind, PROMPT)
        self.assertGreater(len(found), 6)
        return found

    def script(self, wanted):
        """The script that follows the document: values that it shows become variables."""
        values = {}
        lines = [GUEST_SCRIPT]
        for command, below in wanted:
            for name, value in values.items():
                command = command.replace(value, f"${name}")
            self.assertNotIn("'", command)
            lines.append(f"follow '{command}'")
            values.update(told(below))
        return "\n".join(lines + ["echo '@ end'"])

    def words(self, part, directory):
        """The words of the commands in the part's block of kind `host`, with this directory for /tmp and without ./facet."""
        blocks = re.findall(r"^```host\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.M | re.S)
        found = [shlex.split(line.replace("/tmp/", f"{directory}/")) for line in blocks[part - 1].splitlines()]
        self.assertTrue(all(words[:2] == ["$", "./facet"] for words in found))
        self.assertEqual(found[-1][2:4], ["run", "--interactive"])
        return [words[2:] for words in found]

    @staticmethod
    def runs(texts):
        """What each command printed, of what domain 1 said."""
        found = []
        for text in texts:
            if text.startswith("@ "):
                found.append([])
            elif found:
                found[-1].append(text)
        return found[:-1]

    def follow(self, wanted, runs):
        """Compares what was printed with the document."""
        values = {}
        self.assertEqual(len(runs), len(wanted))
        for (command, below), lines in zip(wanted, runs):
            values.update(zip(told(lines).values(), told(below).values()))
            for actual, shown in values.items():
                lines = [line.replace(actual, shown) for line in lines]
            with self.subTest(command):
                self.assertRegex("\n".join(lines), rf"\A{pattern(below)}\Z")


class TutorialTest(Tutorial):
    """The tutorial is true."""

    weight = 60.0

    def printed(self, part, script):
        """What each command printed in domain 1 of the machine that the part's commands make. The guest that would give a shell
        runs the script in its place."""
        *made, run = self.words(part, self.dir)
        for words in made:
            shell = [] if "--command" in words else ["--command", script]
            done = self.facet(*words, *shell, cwd=runner.ROOT)
            self.assertEqual(done.status, 0, done.err)
        result = runner.boot(run[2:], ticks=TICKS)
        self.assertEqual(result.status, 0, result.reason)
        return self.runs(result.texts("d1")), result

    def test_inside_a_guest(self):
        """Part 1, in the guest that its first command makes."""
        wanted = self.wanted("guest")
        self.assertGreater(len(wanted), 20)
        self.follow(wanted, self.printed(1, self.script(wanted))[0])

    def test_from_outside(self):
        """Part 2, in the monitor that its second command makes."""
        wanted = self.wanted("monitor")
        runs, result = self.printed(2, self.script(wanted))
        self.follow(wanted, runs)
        self.assertIn("work: the code of __x64_sys_sethostname looked changed 0 times",
                      result.texts("d2"))
