# SPDX-License-Identifier: MIT
"""The agent that protects a Linux kernel: the demo as users run it, and what its host side makes of
a guest that does not do what it says."""

import io
import re
import subprocess
import sys

import runner
from demosteps import assert_titles, report
from harness import LIMIT, FacetTest
from runner import Line

sys.path.insert(0, str(runner.ROOT / "demo"))

import agent_demo  # noqa: E402  pylint: disable=wrong-import-position


class StepsTest(FacetTest):
    """The steps in the guest's script and those that are wanted."""

    weight = 0.1

    def script(self):
        """The text of the guest's script."""
        return (runner.ROOT / "demo" / agent_demo.SCRIPT).read_text(encoding="utf-8")

    def test_titles_are_those_of_the_script(self):
        """The list here and the guest's own must not drift apart."""
        assert_titles(self, agent_demo)

    def test_every_step_is_needed(self):
        """A guest that leaves one out, or fails one, is not believed."""
        lines = report(agent_demo.STEPS)
        self.assertEqual(self.complaints(lines), [])
        for number, text in enumerate(lines):
            with self.subTest(text):
                self.assertNotEqual(self.complaints(lines[:number] + lines[number + 1:]), [])
        failed = [text.replace("step 6 ok: shown", "step 6 FAILED: a key was read")
                  for text in lines]
        self.assertIn("a key was read", " ".join(self.complaints(failed)))

    def complaints(self, lines):
        """What the host side says about a guest that printed `lines`."""
        story = agent_demo.AgentStory(io.StringIO(), lambda code, text: text, False)
        for number, text in enumerate(lines):
            story.line(Line("d1", text, float(number)))
        return story.complaints()


class ScriptTest(FacetTest):
    """What the guest's script takes for the word on an attack."""

    weight = 0.1

    def test_what_is_told_late_is_not_the_attack_s(self):
        """Writes of registers are counted at once, and told when the reporter comes by: after the
        attack's own line, or in the middle of another attack."""
        late = "[ 2.0] facet_agent: denied: 1 writes of registers that are to stay as they are"
        for before, after in (("", late), (late, "")):
            with self.subTest(before=before):
                text = (runner.ROOT / "demo" / agent_demo.SCRIPT).read_text(encoding="utf-8")
                functions = text[:text.index("\ninsmod ")]
                log = f"{before}\n[ 1.0] facet_attack: lidt: refused\n{after}\n"
                log += "[ 3.0] facet_agent: allowed: 2 writes of the kernel to its own text\n"
                stubs = f"attack=/dev/full; dmesg() {{ echo '{log}'; }}; note() {{ :; }}"
                done = subprocess.run(["dash", "-c", f'{functions}\n{stubs}\ntry lidt; echo "$last"'],
                                      capture_output=True, text=True, check=False)
                self.assertEqual(done.stdout, "[ 1.0] facet_attack: lidt: refused\n", done.stderr)


class ExamplesTest(FacetTest):
    """The library's examples, as docs/agent-inside.md shows them."""

    weight = 10.0

    def test_examples(self):
        """All end well, and nothing in them is skipped; hypercalls are refused where it is sealed."""
        elves = runner.build_dir() / "agent" / "examples"
        configs = [self.config(f"{name}.cfg", kernel=elves / f"{name}.elf", altp2m="mixed")
                   for name in ("views", "shield")]
        configs.append(self.config("sealed.cfg", kernel=elves / "shield.elf", altp2m="mixed",
                                   altp2m_policy="audited"))
        done = self.facet("run", *LIMIT, *configs)
        self.assertEqual(done.status, 0, done.out[-4000:] + done.err[-1000:])
        ends = re.findall(r"END (\w+): (\d+) passed, 0 skipped, 0 errors, 0 failed", done.out)
        self.assertEqual(sorted(ends), [("shield", "8"), ("shield", "8"), ("views", "4")])
        self.assertIn("(d2) not sealed: hypercalls are anybody's", done.out)
        self.assertIn("(d3) sealed: hypercalls are refused", done.out)


class AgentTest(FacetTest):
    """The modules are built for Debian's kernel, loaded there, and attacked."""

    weight = 60.0

    def test_demo(self):
        """Every attack works before, none works under the agent, and the kernel lives on."""
        self.demo(*LIMIT)

    def test_demo_on_several(self):
        """Four vCPUs on four processors, on AMD, where page tables are not kept."""
        self.demo("--machine", "amd", "--processors", "4")

    def demo(self, *options):
        """Runs it, and looks at what it says."""
        done = self.facet("demo", "agent", *options)
        self.assertEqual(done.status, 0, done.out[-4000:] + done.err[-1000:])
        count = len(agent_demo.STEPS)
        self.assertIn(f"{count} of {count} steps did what they say", done.out)
        self.assertRegex(done.out, r"a signature costs \d+ ticks")
