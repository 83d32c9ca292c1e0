# SPDX-License-Identifier: MIT
"""docs/embedding.md and examples/embed: the page says what the headers have and the example does."""

import re
import subprocess

import runner
from harness import FacetTest

PAGE = runner.ROOT / "docs" / "embedding.md"
EXAMPLE = runner.ROOT / "examples" / "embed"


def blocks(kind):
    """The page's quotes of one kind, "c" or "" (output)."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [quote for name, quote in found if name == kind]


class EmbeddingTest(FacetTest):
    """The embedding example, and the page about it."""

    weight = 20.0

    def run_with(self, *compiler):
        """What the example prints when this compiler built it."""
        made = subprocess.run(["make", "-s", "-C", EXAMPLE, f"CC={' '.join(compiler)}",
                               f"O={self.dir}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        self.assertEqual((made.returncode, made.stdout), (0, ""))
        done = subprocess.run([self.dir / "embed"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_gcc(self):
        """Built by gcc with sanitizers, it prints what the page says."""
        self.assertEqual([self.run_with("gcc", "-fsanitize=address,undefined",
                                        "-fno-sanitize-recover=all")], blocks(""))

    def test_clang(self):
        """The same by clang."""
        self.assertEqual([self.run_with("clang-14")], blocks(""))

    def test_quotes(self):
        """Each piece of code on the page is the example's."""
        source = (EXAMPLE / "embed.c").read_text(encoding="utf-8")
        quotes = blocks("c")
        self.assertGreater(len(quotes), 4)
        for quote in quotes:
            with self.subTest(quote.splitlines()[0]):
                self.assertIn(quote, source)

    def test_complete(self):
        """The page tells of every function of the seam and every field of a format."""
        page = PAGE.read_text(encoding="utf-8")
        seam = (runner.ROOT / "core" / "platform.h").read_text(encoding="utf-8")
        form = (runner.ROOT / "core" / "format.h").read_text(encoding="utf-8")
        code = re.sub(r"/\*.*?\*/", "", seam, flags=re.S)
        names = re.findall(r"\b(platform_\w+)\(", code)
        self.assertGreater(len(names), 15)
        fields = re.search(r"struct table_format \{(.*?)\n\};", form, re.S).group(1)
        for line in re.sub(r"/\*.*?\*/", "", fields, flags=re.S).split(";"):
            names += re.findall(r"(\w+)(?:\[\d+\])?(?=,|$)", line.strip())
        self.assertIn("own_ve", names)
        for name in names:
            with self.subTest(name):
                self.assertIn(f"`{name}`", page)
        for name in re.findall(r"`((?:physmap|hostmap|altp2m|view)_\w+)`", page):
            headers = "".join((runner.ROOT / "core" / file).read_text(encoding="utf-8")
                              for file in ("physmap.h", "altp2m.h"))
            with self.subTest(name):
                self.assertRegex(headers, rf"\b{name}\b")
