# SPDX-License-Identifier: MIT
"""docs/embedding.md and examples/embed: the page says what the headers have and the example does."""

import re
import subprocess

import runner
from harness import FacetTest

PAGE = runner.ROOT / "docs" / "embedding.md"
REFERENCE = runner.ROOT / "docs" / "embedding-reference.md"
EXAMPLE = runner.ROOT / "examples" / "embed"
SMP = runner.ROOT / "examples" / "embed-smp"
HEADERS = ("altp2m.h", "physmap.h", "policy.h", "platform.h", "abi.h", "version.h")
SEEDS = 2


def without_comments(name):
    """The text of one of the core's headers."""
    text = (runner.ROOT / "core" / name).read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


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

    def smp(self, *arguments):
        """What the example with several processors prints."""
        flags = "-fsanitize=address,undefined -fno-sanitize-recover=all"
        made = subprocess.run(["make", "-s", "-C", SMP, f"CC=gcc {flags}", f"O={self.dir}"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self.assertEqual((made.returncode, made.stdout), (0, ""))
        done = subprocess.run([self.dir / "embed-smp", *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_conformance(self):
        """The example's processors give the core what it asks for: no line is `not ok`, none left out."""
        lines = self.smp().splitlines()
        self.assertEqual(lines[-1], f"1..{len(lines) - 1}")
        self.assertGreater(len(lines), 40)
        for line in lines[:-1]:
            self.assertRegex(line, r"^ok \d+ - [^#]*$")

    def test_race(self):
        """Three vCPUs take away what the others use: nothing is used after its call has returned."""
        for seed in range(1, SEEDS + 1):
            with self.subTest(seed):
                self.assertRegex(self.smp("race", str(seed)),
                                 r"^race, seed \d+: [1-9]\d* uses let through, [1-9]\d* refused, [1-9]\d* calls, 0 wrong\n$")

    def test_cplusplus(self):
        """The headers that an embedder includes are C++ as well, with C's names."""
        source = self.dir / "embed.cc"
        names = "physmap_init", "altp2m_hvmop", "policy_allowed", "platform_flush", "check_failed"
        source.write_text("".join(f'#include "core/{name}"\n' for name in HEADERS)
                          + "#include <facet/hvmop.h>\n#include <facet/lock.h>\n"
                          + "extern const void *const used[];\nconst void *const used[] = {"
                          + ", ".join(f"(const void *)&{name}" for name in names) + "};\n",
                          encoding="ascii")
        for compiler in ("g++", "clang++-14"):
            with self.subTest(compiler):
                made = subprocess.run(
                    [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-I.",
                     "-c", source, "-o", self.dir / "embed.o"], cwd=runner.ROOT,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                self.assertEqual((made.returncode, made.stdout), (0, ""))
                symbols = subprocess.run(["nm", "-u", self.dir / "embed.o"], check=True,
                                         stdout=subprocess.PIPE, text=True).stdout.split()
                for name in names:
                    self.assertIn(name, symbols)

    def test_quotes(self):
        """Each piece of code on the page is the example's."""
        source = (EXAMPLE / "embed.c").read_text(encoding="utf-8")
        quotes = blocks("c")
        self.assertGreater(len(quotes), 4)
        for quote in quotes:
            with self.subTest(quote.splitlines()[0]):
                self.assertIn(quote, source)

    def test_complete(self):
        """The reference tells of every function of the seam and every field of a format."""
        page = REFERENCE.read_text(encoding="utf-8")
        seam = (runner.ROOT / "core" / "platform.h").read_text(encoding="utf-8")
        form = (runner.ROOT / "core" / "format.h").read_text(encoding="utf-8")
        code = re.sub(r"/\*.*?\*/", "", seam, flags=re.S)
        names = re.findall(r"\b(platform_\w+)\(", code)
        self.assertGreater(len(names), 15)
        fields = re.search(r"struct table_format \{(.*?)\n\};", form, re.S).group(1)
        for line in re.sub(r"/\*.*?\*/", "", fields, flags=re.S).split(";"):
            names += re.findall(r"(\w+)(?:\[\d+\])?(?=,|$)", line.strip())
        self.assertIn("own_ve", names)
        answers = re.findall(r"\bFAULT_\w+", without_comments("altp2m.h"))
        functions = [name for header in ("altp2m.h", "physmap.h", "policy.h") for name in
                     re.findall(r"\b((?:physmap|hostmap|altp2m|view|policy)_\w+)\(",
                                without_comments(header))]
        self.assertIn("FAULT_REFUSED", answers)
        self.assertIn("physmap_confines", functions)
        names += [name for name in answers + functions if name not in ("view_eq", "policy_bit")]
        for name in names:
            with self.subTest(name):
                self.assertTrue(f"`{name}`" in page, f"{name} is not in the reference")
        for name in re.findall(r"`((?:physmap|hostmap|altp2m|view|policy)_\w+)`", page + PAGE.read_text(encoding="utf-8")):
            headers = "".join((runner.ROOT / "core" / file).read_text(encoding="utf-8")
                              for file in ("physmap.h", "altp2m.h", "policy.h"))
            with self.subTest(name):
                self.assertRegex(headers, rf"\b{name}\b")
