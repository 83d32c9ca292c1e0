# SPDX-License-Identifier: MIT
"""The documents: a page for each reader, short enough; an index that has all of them; links that lead somewhere; and code
on the agent's page that is the example's."""

import re
import runpy

import runner
from harness import FacetTest
from runner import prove

DOCS = runner.ROOT / "docs"
# Words that are read in ten minutes; and README's when the pages for users were asked for.
MOST, README_MOST = 2200, 1731
READERS = ("tutorial", "agent", "monitor", "embedding", "interface", "contributing")


def text(path):
    """A document."""
    return path.read_text(encoding="utf-8")


def anchors(path):
    """The anchors of its headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text(path), re.M)}


class DocumentsTest(FacetTest):
    """See the module's text."""

    weight = 0.5

    def test_ten_minutes(self):
        """Each reader's page is read in ten minutes, and the README is shorter than it was."""
        for name in READERS:
            with self.subTest(name):
                self.assertLess(len(text(DOCS / f"{name}.md").split()), MOST)
        self.assertLess(len(text(runner.ROOT / "README.md").split()), README_MOST)

    def test_proven(self):
        """What docs/audit.md says of `facet prove` is what that command counts, the last line included."""
        audit = text(DOCS / "audit.md")
        enumerations = sum(len(re.findall(r"cmocka_unit_test\(", text(path))) for path in (runner.ROOT / "tests/prove").glob("*.c"))
        mutants = sum(len(mutants) for _, mutants in prove.PROTOCOLS.values())
        proven = enumerations + 2 * len(prove.PROTOCOLS) + 1 + len(prove.ANALYSES)
        of_sources = len(runpy.run_path(str(runner.ROOT / "tests/smp/mutants.py"))["MUTANTS"])
        self.assertIn(f"`prove: {proven} proven, 0 open`: {enumerations} enumerations, {len(prove.PROTOCOLS)} protocols, the mutants of "
                      f"each, those of the sources, and {len(prove.ANALYSES)} analyses", audit)
        self.assertIn(f"{mutants} mutants", audit)
        self.assertIn(f"{of_sources} mutants of these sources, each of which is found", audit)
        self.assertIn(f"all {of_sources} are", text(DOCS / "locks.md"))
        self.assertEqual({path.stem for path in (runner.ROOT / "tests/prove/eva").glob("*.c")}, set(prove.ANALYSES))
        self.assertEqual({path.stem for path in (runner.ROOT / "tests/prove/spin").glob("*.pml")}, set(prove.PROTOCOLS))

    def test_index(self):
        """docs/README.md leads to every page."""
        index = text(DOCS / "README.md")
        for path in DOCS.glob("*.md"):
            if path.name != "README.md":
                self.assertIn(f"({path.name})", index)
        for name in READERS:
            self.assertIn(f"({name}.md)", text(runner.ROOT / "README.md").replace("docs/", ""))

    def test_links(self):
        """Files and headings that are linked to are there."""
        seen = 0
        for path in (*DOCS.glob("*.md"), runner.ROOT / "README.md", *(runner.ROOT / "examples").rglob("*.md")):
            prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text(path), flags=re.M | re.S)
            for target, _, anchor in re.findall(r"\]\(([^)#:\s]*)(#([\w-]+))?\)", prose):
                place = path.parent / target if target else path
                with self.subTest(page=path.name, link=f"{target}#{anchor}"):
                    self.assertTrue(place.exists())
                    self.assertTrue(not anchor or anchor in anchors(place))
                seen += 1
        self.assertGreater(seen, 50)

    def test_agent_quotes(self):
        """The code on the agent's page is the project's."""
        sources = "".join(text(path) for path in (runner.ROOT / "examples/project").glob("*.c"))
        quotes = re.findall(r"^```c\n(.*?)^```$", text(DOCS / "agent.md"), re.M | re.S)
        self.assertGreater(len(quotes), 1)
        for quote in quotes:
            self.assertIn(quote, sources)
