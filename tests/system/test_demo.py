# SPDX-License-Identifier: MIT
"""Linux on Facet: the demo as users run it, the altp2m command in a guest, and what the demo's
host side makes of a guest that does not do what it says."""

import io
import json
import subprocess
import sys

import runner
from harness import LIMIT, FacetTest
from runner import Line, cpio, initramfs

sys.path.insert(0, str(runner.ROOT / "demo"))

import demo  # noqa: E402  pylint: disable=wrong-import-position


def good_guest():
    """What a guest prints when all goes well, line by line."""
    count = len(demo.STEPS)
    lines = [f"demo: begin steps={count} tsc=100"]
    for number, title in enumerate(demo.STEPS, 1):
        lines += [f"demo: step {number}: {title}", "demo:   $ altp2m something",
                  f"demo: step {number} ok: shown"]
    return lines + [f"demo: end ok={count} failed=0 tsc=200"]


class StoryTest(FacetTest):
    """The host side must not believe a guest that skipped, repeated or failed a step."""

    weight = 0.1

    def complaints(self, lines):
        """What the host side says about a guest that printed `lines`."""
        story = demo.Story(io.StringIO(), lambda code, text: text)
        for number, text in enumerate(lines):
            story.line(Line("d1", text, float(number)))
        return story.complaints()

    def test_good_guest_is_believed(self):
        """The control: nothing to complain about."""
        self.assertEqual(self.complaints(good_guest()), [])

    def test_every_line_that_carries_a_claim_is_needed(self):
        """Without any of them there is a complaint."""
        lines = good_guest()
        for number, text in enumerate(lines):
            if not text.startswith("demo:   "):
                with self.subTest(text):
                    self.assertNotEqual(self.complaints(lines[:number] + lines[number + 1:]), [])

    def test_failed_step_is_named(self):
        """With the guest's reason."""
        lines = [text.replace("step 4 ok: shown", "step 4 FAILED: no second content")
                 for text in good_guest()]
        self.assertIn("no second content", " ".join(self.complaints(lines)))

    def test_order_and_repetition_count(self):
        """A step twice, or two in the wrong order, is not the demo."""
        lines = good_guest()
        self.assertNotEqual(self.complaints(lines[:4] + lines[1:4] + lines[4:]), [])
        self.assertNotEqual(self.complaints(lines[:1] + lines[4:7] + lines[1:4] + lines[7:]), [])

    def test_another_domain_is_not_listened_to(self):
        """Only domain 1 tells the story."""
        story = demo.Story(io.StringIO(), lambda code, text: text)
        for text in good_guest():
            story.line(Line("d2", text, 0.0))
        self.assertEqual(story.complaints(), ["the demo program never started"])

    def test_titles_are_those_of_the_guest_program(self):
        """The list here and the guest's own must not drift apart."""
        source = (runner.ROOT / "demo" / "guest" / "steps.c").read_text(encoding="utf-8")
        table = source[source.index("const struct step steps[]"):]
        self.assertEqual([text for text in table.split('"')[1::2]], list(demo.STEPS))


class ArchiveTest(FacetTest):
    """The initramfs writer against cpio's reader."""

    weight = 0.2

    def test_cpio_reads_what_is_written(self):
        """Names, contents, links and modes survive; odd lengths need the padding."""
        archive = cpio.Archive()
        archive.file("a/b/odd", b"12345")
        archive.file("a/b/empty", b"", 0o644)
        archive.link("a/link", "b/odd")
        done = subprocess.run(["cpio", "-idm", "--quiet"], input=archive.bytes(), cwd=self.dir,
                              check=False, stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual((self.dir / "a/link").read_bytes(), b"12345")
        self.assertEqual((self.dir / "a/b/odd").stat().st_mode & 0o777, 0o755)
        self.assertEqual((self.dir / "a/b/empty").stat().st_mode & 0o777, 0o644)
        self.assertEqual((self.dir / "a/b/empty").read_bytes(), b"")

    def test_same_input_gives_the_same_bytes(self):
        """No time stamps, no inode numbers of this computer."""
        kernel = runner.debian_kernel()
        made = [initramfs.demo(self.dir / name, kernel, runner.build_dir()).read_bytes()
                for name in ("one", "two")]
        self.assertEqual(made[0], made[1])


class LinuxTest(FacetTest):
    """A stock Debian kernel to user space."""

    weight = 60.0

    def test_demo(self):
        """Every step does what it says; checked by the guest and by the demo's host side."""
        done = self.facet("demo")
        self.assertEqual(done.status, 0, done.out[-4000:] + done.err[-1000:])
        count = len(demo.STEPS)
        self.assertIn(f"{count} of {count} steps did what they say", done.out)

    def test_demo_on_amd(self):
        """The same where VMFUNC and #VE are Facet's doing."""
        done = self.facet("demo", "--machine", "amd")
        self.assertEqual(done.status, 0, done.out[-4000:] + done.err[-1000:])
        self.assertIn(f"{len(demo.STEPS)} of {len(demo.STEPS)} steps did what they say", done.out)

    def test_demo_on_several(self):
        """A vCPU for each of several processors, all of them on the view that the demo looks at."""
        done = self.facet("demo", "--processors", "4")
        self.assertEqual(done.status, 0, done.out[-4000:] + done.err[-1000:])
        self.assertIn(f"{len(demo.STEPS)} of {len(demo.STEPS)} steps did what they say", done.out)
        self.assertIn("MiB, 4 vCPUs, altp2m", done.out)
        self.assertIn("view 1 is in use by vCPUs 0, 1, 2, 3:", done.out)

    def test_other_processor(self):
        """To user space also where the emulator's features contradict each other: this one has FSRM
        and says that its string instructions are not fast."""
        kernel = runner.debian_kernel()
        ramdisk = initramfs.script(self.dir / "other.gz", kernel, runner.build_dir(),
                                   "echo user space; poweroff -f")
        config = self.config("other.cfg", kernel=kernel.vmlinuz, ramdisk=ramdisk, memory=128,
                             cmdline=demo.CMDLINE)
        done = self.facet("run", "--machine", "tigerlake", "--timeout", "280", config)
        self.assertEqual(done.status, 0, done.out[-4000:] + done.err[-1000:])
        self.assertIn("(d1) user space", done.lines)

    def test_altp2m_command(self):
        """The command in a guest: JSON that parses, a range set in one call, words for refusals,
        and `poweroff -f`, which leaves nothing but a halted processor behind."""
        script = """
            json() { echo JSON; altp2m --json "$@" | fold -w 100; }
            altp2m on && altp2m create >/dev/null && altp2m access 1 0x1000+0x500 rx
            json access 1 0xfff+0x502; json list; json info
            json destroy 0; json destroy 7; json -d 5 list
            echo JSON; poweroff -f"""
        kernel = runner.debian_kernel()
        ramdisk = initramfs.script(self.dir / "ramdisk.gz", kernel, runner.build_dir(), script)
        config = self.config("linux.cfg", kernel=kernel.vmlinuz, ramdisk=ramdisk, memory=128,
                             altp2m="mixed", cmdline=demo.CMDLINE)
        done = self.facet("run", *LIMIT, config)
        self.assertEqual(done.status, 0, done.out[-4000:] + done.err[-1000:])
        text = "".join(line[5:] for line in done.lines if line.startswith("(d1) "))
        said = [json.loads(part) for part in text.split("JSON")[1:-1]]
        access, views, info, host, missing, stranger = said
        self.assertEqual([(r["first"], r["last"], r["access"]) for r in access["ranges"]],
                         [(0xfff, 0xfff, "rwx"), (0x1000, 0x14ff, "rx"), (0x1500, 0x1500, "rwx")])
        self.assertEqual([(v["view"], v["vcpus"]) for v in views["views"]], [(0, [0]), (1, [])])
        self.assertEqual((info["mode"], info["state"], info["domid"]), ("mixed", "on", 1))
        self.assertTrue(all(s["answers"] in ("yes", "as get_domain_state")
                            for s in info["subops"]), info["subops"])
        self.assertIn("host's own view", host["error"])
        self.assertEqual(missing["error"], "view 7 does not exist")
        self.assertEqual(stranger["error"], "there is no domain 5")
