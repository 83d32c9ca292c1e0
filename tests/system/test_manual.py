# SPDX-License-Identifier: MIT
"""The man pages against the programs: every command, option and configuration key is described."""

import re
import subprocess

import runner
from harness import FacetTest

FACET = runner.ROOT / "tools" / "runner" / "facet.1"
ALTP2M = runner.ROOT / "tools" / "altp2m" / "altp2m.1"
CONFIGURATION = runner.ROOT / "man" / "facet.cfg.5"
KEYS = runner.ROOT / "tools" / "config" / "domain.c"


def plain(page):
    """A man page's source without font changes, so that names can be looked for."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"\\f[BIRP]", "", text).replace("\\-", "-")
    return re.sub(r'^\.(?:B|I|BR|RB|RI|IR|BI|IB|SY|OP)\s', "", text, flags=re.M).replace('"', " ")


class ManualTest(FacetTest):
    """What a program knows and its page does not tell is a defect."""

    weight = 3.0

    def assert_described(self, words, page):
        """Each word stands in the page as a word of its own."""
        text = plain(page)
        for word in words:
            with self.subTest(word):
                self.assertTrue(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text),
                                f"{page.name} does not tell of {word}")

    def test_facet(self):
        """Commands and long options, as --help lists them."""
        commands = re.findall(r"^    (\w+) ", self.facet("--help").out, re.M)
        self.assertGreater(len(commands), 7)
        words = set(commands)
        for command in commands:
            words.update(re.findall(r"--[a-z][a-z0-9]*(?:-[a-z]+)*", self.facet(command, "--help").out))
        self.assert_described(sorted(words - {"--help"}), FACET)

    def test_configuration_keys(self):
        """All that the configuration compiler accepts."""
        source = KEYS.read_text(encoding="utf-8")
        table = re.search(r"domain_keys\[\] = \{(.*?)\}", source, re.S)
        self.assertTrue(table, "the table of keys is not where it was")
        keys = re.findall(r'"(\w+)"', table.group(1))
        self.assertIn("altp2m_policy", keys)
        self.assert_described(keys, CONFIGURATION)

    def test_altp2m(self):
        """Commands and long options of the altp2m command."""
        done = self.tool("altp2m", "--help")
        commands = re.findall(r"^  ([a-z]\w*) ", done.out, re.M)
        self.assertGreater(len(commands), 15)
        words = set(commands) | set(re.findall(r"--[a-z][a-z0-9]*(?:-[a-z]+)*", done.out))
        for command in commands:
            words.update(re.findall(r"--[a-z][a-z0-9]*(?:-[a-z]+)*",
                                    self.tool("altp2m", command, "--help").out))
        self.assert_described(sorted(words), ALTP2M)

    def test_pages_are_well_formed(self):
        """The formatter has nothing to complain about."""
        for page in (FACET, ALTP2M, *sorted((runner.ROOT / "man").glob("*.[1-8]"))):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", page],
                                  stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
