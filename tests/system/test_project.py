# SPDX-License-Identifier: MIT
"""examples/project, a user's own project, and its templates for continuous integration: what they run is taken from them and
run here, with Facet as it is installed and no source tree in sight. `fetch`, which clones and builds packages, is left
out, and so is `install`: test_debs.py does that."""

import os
import re
import shutil
import subprocess
from xml.etree import ElementTree

import runner
from test_install import Installed

PROJECT = runner.ROOT / "examples" / "project"
STEPS = ("fetch", "install", "build", "test")
TESTS = 14


def github():
    """{step: its shell lines} of the template for GitHub."""
    text = (PROJECT / ".github/workflows/facet.yml").read_text(encoding="utf-8")
    found = re.findall(r"^      - name: (\w+)\n        run: \|\n((?:          .*\n)+)", text, re.M)
    return {name: [line.strip() for line in block.splitlines()] for name, block in found}


def gitlab():
    """The same of the one for GitLab."""
    text = (PROJECT / ".gitlab-ci.yml").read_text(encoding="utf-8")
    block = re.search(r"^  script:\n((?:    .*\n)+)", text, re.M).group(1)
    steps, name = {}, None
    for line in block.splitlines():
        if line.startswith("    # "):
            name = line[6:]
            steps[name] = []
        else:
            steps[name].append(line.removeprefix("    - "))
    return steps


class ProjectTest(Installed):
    """See the module's text."""

    weight = 25.0

    def steps(self, project, steps, *names):
        """Runs steps of a template in the project, as a CI machine does. Returns (status, output)."""
        text = "\n".join(line for name in names for line in steps[name])
        environment = dict(os.environ, PATH=f"{self.root}/usr/bin:{os.environ['PATH']}", TMPDIR=str(self.dir),
                           PKG_CONFIG_PATH=f"{self.root}/usr/lib/pkgconfig", PKG_CONFIG_SYSROOT_DIR=str(self.root))
        hidden = self.namespace(f"mount -t tmpfs none '{runner.ROOT}'", f"cd '{project}'")
        done = subprocess.run([*hidden, "bash", "-e", "-c", text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, env=environment)
        return done.returncode, done.stdout

    def project(self, name):
        """A copy of the project."""
        return shutil.copytree(PROJECT, self.dir / name)

    def test_templates(self):
        """Both templates run the same, and it works: every test of the guests is in the reports."""
        self.assertEqual(tuple(github()), STEPS)
        self.assertEqual(github(), gitlab())
        project = self.project("good")
        status, said = self.steps(project, github(), "build", "test")
        self.assertEqual(status, 0, said)
        lines = (project / "facet.tap").read_text(encoding="utf-8").splitlines()
        self.assertEqual(lines[1], f"1..{TESTS}")
        self.assertEqual([line.split(" - ")[0] for line in lines[2:]], [f"ok {i}" for i in range(1, TESTS + 1)])
        self.assertEqual(ElementTree.parse(project / "facet.xml").getroot().get("failures"), "0")

    def test_agent_that_calls_out(self):
        """What the agent's view does not have cannot be called there: the build says so."""
        project = self.project("out")
        source = (project / "safe.c").read_text(encoding="utf-8")
        (project / "safe.c").write_text(source.replace("    wrong = 0;\n", "    extern void say(const char *);\n    say(\"!\");\n", 1),
                                        encoding="utf-8")
        status, said = self.steps(project, github(), "build")
        self.assertNotEqual(status, 0)
        self.assertIn("U say", said)

    def test_failure_is_seen(self):
        """A guest whose view shows the wrong page, one that dies, and an agent that opens to anybody, are failures of the CI job."""
        for name, file, line, broken, count in (("wrong", "views.c", "page[1][0] = 'b';", "page[1][0] = 'c';", "1"),
                                                ("dead", "views.c", "guest_end(", '__asm__ volatile("ud2"); guest_end(', "1"),
                                                ("open", "safe.c", "a != safe_pin", "!a", "1")):
            with self.subTest(name):
                project = self.project(name)
                source = (project / file).read_text(encoding="utf-8")
                self.assertEqual(source.count(line), 1)
                (project / file).write_text(source.replace(line, broken), encoding="utf-8")
                status, said = self.steps(project, gitlab(), "build", "test")
                self.assertEqual(status, 1, said)
                self.assertEqual(ElementTree.parse(project / "facet.xml").getroot().get("failures"), count)
