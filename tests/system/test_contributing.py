# SPDX-License-Identifier: MIT
"""docs/contributing.md: its commands are run from the clone's root and print what it shows; numbers
may differ, and a line "[...]" stands for any lines."""

import re
import subprocess

import runner
from harness import PATIENCE, FacetTest, quoted_steps

DOCUMENT = runner.ROOT / "docs" / "contributing.md"
PROMPT = "$ "


def pattern(lines):
    """A regular expression for what the lines allow."""
    parts = []
    for line in lines:
        if line == "[...]":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(re.sub(r"(?:\\ )*[0-9]+", r" *[0-9,]+", re.escape(line)) + r"\n")
    return "".join(parts)


class ContributingTest(FacetTest):
    """The contributor's document is true."""

    weight = 15.0

    def test_commands(self):
        """Each, in order, in one directory."""
        wanted = quoted_steps(DOCUMENT.read_text(encoding="utf-8"), "console", PROMPT)
        self.assertGreater(len(wanted), 3)
        for command, below in wanted:
            command = command.replace("/tmp/", f"{self.dir}/")
            done = subprocess.run(["sh", "-c", command], cwd=runner.ROOT, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True, check=False,
                                  stdin=subprocess.DEVNULL, timeout=PATIENCE)
            with self.subTest(command):
                self.assertEqual(done.returncode, 0)
                self.assertRegex(done.stdout, re.compile(rf"\A{pattern(below)}\Z"))

    def test_files_that_are_named_exist(self):
        """A path in back quotes, or a link, is there."""
        text = DOCUMENT.read_text(encoding="utf-8")
        paths = re.findall(r"`((?:core|hv|include|tests|tools|agent|docs)/[\w./-]*\w)`", text)
        paths = [path for path in paths if "NAME" not in path]
        paths += [f"docs/{target}" for target in re.findall(r"\]\(([^)#]+)\)", text)]
        self.assertGreater(len(paths), 15)
        for path in paths:
            with self.subTest(path):
                self.assertTrue((runner.ROOT / path).exists(), f"{path} is not there")
