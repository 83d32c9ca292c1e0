# SPDX-License-Identifier: MIT
"""Files that hold results are written whole or not at all: full disks, directories that cannot be written, tools that fail, signals.
What was there before stays as it was, nothing is left beside it, and the error names the place."""

import json
import os
import signal
import subprocess

import runner
from harness import FacetTest

OLD = "what an earlier run wrote\n"
FULL = "No space left on device"
# Stands for grub-mkrescue: writes half an image to where it is told, then acts.
HALF = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
head -c 100000 /dev/zero > "$2"
{act}
"""
# A row is enough for `bench --from` to draw.
REPORT = {"operations": [{"text": "a", "ratio": 9.5, "xen": 95, "facet": 10, "target": 11, "reached": True, "name": "x"}],
          "tables": [], "scaling": {}, "not_measured": {}, "uses": [], "limits": []}


class ResultTest(FacetTest):
    """See the module's text."""

    weight = 10.0

    def setUp(self):
        super().setUp()
        self.out = self.dir / "out"
        self.out.mkdir()
        self.image = self.out / "x.iso"

    def image_words(self, output=None):
        """`facet image` with a hypervisor and a domain of the test's own."""
        return ["image", "-o", output or self.image, "--hypervisor", self.standin("x"),
                self.config("a.cfg", kernel=self.guest())]

    def run_facet(self, words, prefix=(), **environment):
        """Runs ./facet behind a prefix. Returns (status, standard error)."""
        done = subprocess.run([*prefix, runner.ROOT / "facet", *words], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              env=dict(os.environ, **environment))
        self.assertNotIn("Traceback", done.stderr)
        return done.returncode, done.stderr

    def assert_refused(self, wanted, words, prefix=(), **environment):
        """Status 2 and one line, in which all of `wanted` is."""
        status, err = self.run_facet(words, prefix, **environment)
        self.assertEqual(status, 2, err)
        lines = [line for line in err.splitlines() if line.startswith("facet: ") and not line.endswith("jobs)")]
        self.assertEqual(len(lines), 1, err)
        for word in wanted:
            self.assertIn(str(word), lines[0])

    def assert_old(self):
        """The old image, and nothing else."""
        self.assertEqual([path.name for path in self.out.iterdir()], [self.image.name])
        self.assertEqual(self.image.read_text(encoding="utf-8"), OLD)

    def small(self, directory, size):
        """A prefix: the directory is a file system of that size, with an old image; afterwards the files in it are
        named in the file `left`."""
        mounted = self.namespace(f"mount -t tmpfs -o size={size} none {directory}")
        script = f'printf "%s" "$OLD" > {directory}/x.iso; "$@"; s=$?; ls -A {directory} > {self.dir}/left; ' \
                 f'cat {directory}/x.iso >> {self.dir}/left; exit $s'
        return [*mounted, "sh", "-c", script, "sh"]

    def left(self):
        """What small() found."""
        return (self.dir / "left").read_text(encoding="utf-8")

    def test_full_disk(self):
        """An image, a chart and results on a disk that is smaller: said in a line, and the old one is there."""
        report = self.write("report", json.dumps(REPORT))
        for size, words in (("256k", self.image_words()),
                            ("4k", ["bench", "--from", report, "--plot", self.image]),
                            ("4k", ["test", "--filter", "system/suite/manifest", "--junit", self.image])):
            with self.subTest(words[0]):
                self.assert_refused([self.image, FULL], words, self.small(self.out, size), OLD=OLD)
                self.assertEqual(self.left(), "x.iso\n" + OLD)

    def test_full_build_directory(self):
        """Room for nothing, for the hypervisor but not for GRUB's files, for all but the image of a run."""
        run = runner.build_dir() / "run"
        run.mkdir(exist_ok=True)
        self.image.write_text(OLD, encoding="utf-8")
        config = self.config("a.cfg", kernel=self.guest())
        for size, command in (("4k", "image"), ("150k", "image"), ("1m", "image"), ("3m", "run")):
            words = ["image", "-o", self.image, config] if command == "image" else ["run", config]
            with self.subTest(size):
                self.assert_refused([FULL], words, self.small(run, size), OLD="")
                self.assertEqual(self.left(), "x.iso\n")
                self.assert_old()

    def test_build_directory_that_cannot_be_used(self):
        """Read-only, or a file: named, with what would help."""
        self.image.write_text(OLD, encoding="utf-8")
        build = runner.build_dir()
        readonly = self.namespace(f"mount --bind {build} {build}", f"mount -o remount,bind,ro {build}")
        self.assert_refused([build, "Read-only file system", "B can name"], self.image_words(), readonly)
        file = self.write("file", "")
        for place in (file, file / "below"):
            self.assert_refused([place, "B can name"], self.image_words(), B=str(place))
        self.assert_old()

    def test_places_that_take_no_file(self):
        """A directory, no directory, a file for one, devices, a directory without room for a name."""
        file = self.write("file", "")
        for place in (self.out, self.out / "no" / "x.iso", file / "x.iso", "/dev/null", "/dev/full", "/proc/x.iso"):
            with self.subTest(place):
                self.assert_refused([place], self.image_words(place))
        self.assertEqual(list(self.out.iterdir()), [])

    def test_directory_that_takes_no_new_file(self):
        """The old file could be written, but not replaced: refused before anything is done."""
        self.image.write_text(OLD, encoding="utf-8")
        readonly = self.namespace(f"mount --bind {self.out} {self.out}", f"mount --bind {self.image} {self.image}",
                                  f"mount -o remount,bind,ro {self.out}")
        self.assert_refused([self.image, "no file can be made in", "Read-only"], self.image_words(), readonly)
        self.assert_old()

    def test_replaces(self):
        """Through a symbolic link, which stays one; the old file's permissions stay, too, and a new one has the usual ones."""
        self.image.write_text(OLD, encoding="utf-8")
        self.image.chmod(0o640)
        link = self.dir / "link"
        link.symlink_to(self.image)
        self.assertEqual(self.run_facet(self.image_words(link))[0], 0)
        self.assertTrue(link.is_symlink())
        self.assertGreater(self.image.stat().st_size, 100_000)
        self.assertEqual(self.image.stat().st_mode & 0o777, 0o640)
        other = self.out / ("y" * 255)
        self.assertEqual(self.run_facet(self.image_words(other), ["sh", "-c", 'umask 027; exec "$@"', "sh"])[0], 0)
        self.assertEqual(other.stat().st_mode & 0o777, 0o640)
        self.assertEqual(set(self.out.iterdir()), {self.image, other})

    def half(self, act):
        """A PATH on which grub-mkrescue writes half an image."""
        (self.dir / "bin").mkdir(exist_ok=True)
        self.write("bin/grub-mkrescue", HALF.format(act=act)).chmod(0o755)
        return f"{self.dir}/bin:{os.environ['PATH']}"

    def test_tool_that_fails(self):
        """Half an image and an error: its words, and the old image."""
        self.image.write_text(OLD, encoding="utf-8")
        status, err = self.run_facet(self.image_words(), PATH=self.half("echo no luck >&2; exit 1"))
        self.assertEqual((status, err), (2, "no luck\n"))
        self.assert_old()

    def test_signals(self):
        """In the middle of writing: the old image, and the tool is ended with what it started."""
        started = self.dir / "started"
        os.mkfifo(started)
        path = self.half(f'sleep 7200 & echo $$ $! > {started}; wait')
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                self.image.write_text(OLD, encoding="utf-8")
                process = self.start(*self.image_words(), env=dict(os.environ, PATH=path))
                pids = started.read_text(encoding="ascii").split()  # waits for it
                process.send_signal(number)
                self.finish(process)
                self.assertEqual(process.returncode, 130 if number == signal.SIGINT else 128 + number)
                self.assert_old()
                self.assert_gone(pids)
