# SPDX-License-Identifier: MIT
"""Profiles of kernels for LibVMI, DRAKVUF and Volatility 3, from an image's own type information and symbols."""

import base64
import itertools
import re
import shutil
import struct
import subprocess
from random import Random

from harness import FacetTest
from runner import debian_kernel, kernelprofile
from runner.base import Error, build_dir
from runner.kernelprofile import Profile, Symbols, Types, extract_btf

TEXT = 0xffffffff81000000
BANNER = b"Linux version 6.1.0 (made by a test)\n\0"


class Btf:
    """Writes type information."""

    def __init__(self):
        self.names, self.types, self.count = b"\0", b"", 0

    def name(self, text):
        """Where a name stands."""
        if not text:
            return 0
        self.names += text.encode() + b"\0"
        return len(self.names) - len(text) - 1

    def add(self, kind, name, word, behind=(), count=0, flag=0):
        """A type; returns its number."""
        self.types += struct.pack("<III", self.name(name), kind << 24 | count | flag << 31, word)
        self.types += struct.pack(f"<{len(behind)}I", *(one & 0xffffffff for one in behind))
        self.count += 1
        return self.count

    def structure(self, name, size, *members, kind=kernelprofile.STRUCT, flag=0):
        """A structure of (name, type, offset)."""
        words = [(self.name(member), inner, offset) for member, inner, offset in members]
        return self.add(kind, name, size, list(itertools.chain(*words)), len(members), flag)

    def write(self):
        """All of it."""
        return struct.pack("<HBBIIIII", 0xeb9f, 1, 0, 24, 0, len(self.types), len(self.types), len(self.names)) + \
            self.types + self.names


def sample():
    """Types of most kinds."""
    btf = Btf()
    number = btf.add(kernelprofile.INT, "int", 4, (1 << 24 | 32,))
    byte = btf.add(kernelprofile.INT, "char", 1, (8,))
    alias = btf.add(kernelprofile.TYPEDEF, "pid_t", number)
    array = btf.add(kernelprofile.ARRAY, "", 0, (byte, number, 16))
    union = btf.structure("", 8, ("one", alias, 0), ("other", number, 0), kind=kernelprofile.UNION)
    inner = btf.structure("list_head", 16, ("next", btf.count + 2, 0), ("prev", btf.count + 2, 64))
    btf.add(kernelprofile.POINTER, "", inner)
    btf.structure("task", 64, ("pid", alias, 0), ("", union, 64), ("tasks", inner, 128), ("comm", array, 256))
    btf.structure("flags", 8, ("low", number, 3 << 24), ("high", number, 2 << 24 | 35), flag=1)
    btf.add(kernelprofile.ENUM, "kind", 4, (btf.name("NONE"), -1, btf.name("SOME"), 7), 2, flag=1)
    btf.structure("task", 8, ("something_else", number, 0))
    proto = btf.add(kernelprofile.PROTOTYPE, "", 0)
    btf.add(kernelprofile.FUNCTION, "do_it", proto)
    btf.add(kernelprofile.VARIABLE, "current_task", btf.add(kernelprofile.POINTER, "", inner), (0,))
    return btf


def table(symbols, late=False, down=True):
    """The table of symbols, as (type and name, address); late: in the order since 6.4; down: as until 6.14."""
    tokens = [bytes([i]) if i >= 32 and i != 255 else f"t{i}".encode() for i in range(256)]
    tokens[255] = b"_sys_"
    names, marks = b"", []
    for number, (name, _) in enumerate(symbols):
        if number % 256 == 0:
            marks.append(len(names))
        coded = name.encode().replace(b"_sys_", b"\xff")
        names += (bytes([len(coded)]) if len(coded) < 0x80 else bytes([len(coded) & 0x7f | 0x80, len(coded) >> 7])) + coded
    joined = b"\0".join(tokens) + b"\0"
    index = struct.pack("<256H", *(len(b"".join(tokens[:i])) + i for i in range(256)))

    def aligned(data):
        return data + bytes(-len(data) % 8)

    words = [TEXT - 1 - at if at >= TEXT else at for _, at in symbols] if down else [at - TEXT for _, at in symbols]
    offsets = aligned(struct.pack(f"<{len(words)}i", *words)) + struct.pack("<Q", TEXT)
    body = struct.pack("<Q", len(symbols)) + aligned(names) + aligned(struct.pack(f"<{len(marks)}I", *marks)) + \
        aligned(joined) + index
    return body + offsets if late else offsets + body


def many(down=True):
    """Some hundred symbols."""
    first = [("Acurrent_task", 0x1fb80)] if down else []
    return [*first, ("T_text", TEXT), ("Rlinux_banner", TEXT + 0x1000),
            *((f"t__x64_sys_call{i}", TEXT + 0x2000 + i) for i in range(600)), ("tdo_it", TEXT + 0x100), ("t" + "long" * 60, TEXT + 5),
            ("tdo_it", TEXT + 0x200)]


class KernelProfileTest(FacetTest):
    """Types, symbols, and what is made of both."""

    weight = 4.0

    def test_types(self):
        """Members by name and place, of structures in structures too; names that two have are the first one's."""
        base, structures, enums = Types(sample().write()).documents()
        self.assertEqual(base["int"], {"size": 4, "signed": True, "kind": "int", "endian": "little"})
        task = structures["task"]["fields"]
        self.assertEqual({name: one["offset"] for name, one in task.items()},
                         {"pid": 0, "unnamed_field_0": 8, "tasks": 16, "comm": 32})
        self.assertEqual(task["pid"]["type"], {"kind": "base", "name": "int"})
        self.assertTrue(task["unnamed_field_0"]["anonymous"])
        self.assertEqual(set(structures[task["unnamed_field_0"]["type"]["name"]]["fields"]), {"one", "other"})
        self.assertEqual(task["comm"]["type"], {"kind": "array", "count": 16, "subtype": {"kind": "base", "name": "char"}})
        self.assertEqual(structures["list_head"]["fields"]["next"]["type"],
                         {"kind": "pointer", "subtype": {"kind": "struct", "name": "list_head"}})
        self.assertEqual([one for one in structures if one.startswith("task_")], ["task_11"])
        self.assertEqual(enums["kind"]["constants"], {"NONE": -1, "SOME": 7})

    def test_bits(self):
        """Fields of bits: the place of their unit, and where in it they are."""
        fields = Types(sample().write()).documents()[1]["flags"]["fields"]
        self.assertEqual(fields["low"], {"offset": 0, "type": {
            "kind": "bitfield", "bit_position": 0, "bit_length": 3, "type": {"kind": "base", "name": "int"}}})
        self.assertEqual((fields["high"]["offset"], fields["high"]["type"]["bit_position"]), (4, 3))

    def test_wanted(self):
        """Who asks for a structure gets what it holds, and not what it points to."""
        _, structures, enums = Types(sample().write()).documents(["task"])
        self.assertEqual({name.rstrip("0123456789") for name in structures}, {"task", "list_head", "unnamed_"})
        self.assertEqual(enums, {})

    def test_malformed(self):
        """Type information that ends early, is damaged or goes in a circle is refused in words, if it is."""
        whole = sample().write()
        for end in range(0, len(whole), 7):
            with self.subTest(end):
                try:
                    Types(whole[:end]).documents()
                except Error:
                    pass
        for seed in range(300):
            random = Random(seed)
            data = bytearray(whole)
            for _ in range(3):
                data[random.randrange(24, len(data))] = random.randrange(256)
            with self.subTest(seed=seed):
                try:
                    Types(bytes(data)).documents()
                except Error:
                    pass
        circle = Btf()
        circle.add(kernelprofile.TYPEDEF, "a", 2)
        circle.add(kernelprofile.TYPEDEF, "b", 1)
        circle.structure("s", 8, ("x", 1, 0))
        with self.assertRaises(Error):
            Types(circle.write()).documents()
        with self.assertRaises(Error):
            extract_btf(b"nothing of the kind")

    @staticmethod
    def ring():
        """Two arrays, each of the other, which a structure holds and a variable is."""
        btf = Btf()
        btf.add(kernelprofile.ARRAY, "", 0, (2, 2, 1))
        btf.add(kernelprofile.ARRAY, "", 0, (1, 1, 1))
        btf.structure("s", 8, ("x", 1, 0))
        btf.add(kernelprofile.VARIABLE, "current_task", 1, (0,))
        return btf

    def test_ring(self):
        """Arrays of each other are refused, whoever asks for what is made of them."""
        for wanted in (None, ["s"]):
            with self.subTest(wanted), self.assertRaises(Error):
                Types(self.ring().write()).documents(wanted)

    def test_malformed_symbols(self):
        """A symbol's type that is not there or goes in a circle is refused in words, and so are headers that are cut off."""
        def profile(btf, image=bytes(64)):
            path = self.write("vmlinux", image + bytes(-len(image) % 8) + table(many()) + bytes(8) + btf.write())
            return Profile(path)

        nowhere, whole = Btf(), sample()
        nowhere.add(kernelprofile.VARIABLE, "current_task", 999, (0,))
        for btf in (self.ring(), nowhere):
            with self.assertRaisesRegex(Error, "type information"):
                profile(btf).document(lambda name: name == "current_task")
        headers = bytearray(b"\x7fELF\x02\x01\x01" + bytes(57))
        struct.pack_into("<Q", headers, 32, 1 << 40)
        struct.pack_into("<HH", headers, 54, 56, 1)
        with self.assertRaisesRegex(Error, "vmlinux"):
            profile(whole, bytes(headers)).document(lambda name: name == "linux_banner")

    def test_symbols(self):
        """Both orders of the table, both ways to count; other bytes that look like the digits' tokens."""
        for late, down in itertools.product((False, True), repeat=2):
            symbols = many(down)
            data = b"x" * 8 + kernelprofile.DIGITS + b"y" * 4 + bytes(64) + table(symbols, late, down) + bytes(24)
            with self.subTest(late=late, down=down):
                expected = dict(reversed([(name[1:], at) for name, at in symbols]))
                self.assertEqual(Symbols(data).found, expected)
        with self.assertRaises(Error):
            Symbols(b"no symbols here" + kernelprofile.DIGITS)

    def test_document(self):
        """The kernel's own addresses move when they are to, those of per-CPU variables do not; the banner is there."""
        image = bytearray(64 + 56) + bytes(0x1000 - 120) + BANNER
        image[:16] = b"\x7fELF\x02\x01\x01" + bytes(9)
        struct.pack_into("<Q", image, 32, 64)
        struct.pack_into("<HH", image, 54, 56, 1)
        struct.pack_into("<IIQQQQQQ", image, 64, 1, 5, 0, TEXT, 0, len(image), len(image), 0)
        path = self.write("vmlinux", bytes(image) + bytes(-len(image) % 8) + table(many()) + bytes(8) + sample().write())
        profile = Profile(path)
        symbols = profile.document(moved=-0x200000)["symbols"]
        self.assertEqual((symbols["_text"]["address"], symbols["current_task"]["address"]), (TEXT - 0x200000, 0x1fb80))
        self.assertEqual(base64.b64decode(symbols["linux_banner"]["constant_data"]), BANNER)
        self.assertEqual((symbols["do_it"]["type"], symbols["current_task"]["type"]["kind"]), ({"kind": "function"}, "pointer"))
        few = profile.document(lambda name: name in ("task", "do_it"))
        self.assertEqual((set(few["symbols"]), "flags" in few["user_types"]), ({"do_it"}, False))

    def test_debian(self):
        """Debian's kernel, against what pahole says of the same bytes."""
        if not shutil.which("pahole"):
            self.skipTest("needs pahole (package dwarves)")
        image = self.dir / "vmlinux"
        subprocess.run([str(build_dir() / "facet-kernel"), str(debian_kernel().vmlinuz), str(image)], check=True)
        profile = Profile(image)
        structures, blob = profile.document()["user_types"], self.write("btf", extract_btf(image.read_bytes()))
        compared = 0
        for name in ("task_struct", "linux_binprm", "file", "cred", "pt_regs"):
            shown = subprocess.run(["pahole", "-F", "btf", "-C", name, str(blob)], stdout=subprocess.PIPE, text=True, check=True)
            for member, offset in re.findall(r"^\t\S.*?(\w+);? +/\* +(\d+) +\d+ \*/$", shown.stdout, re.M):
                if member in structures[name]["fields"]:
                    self.assertEqual(structures[name]["fields"][member]["offset"], int(offset), f"{name}.{member}")
                    compared += 1
        self.assertGreater(compared, 100)
        self.assertGreater(profile.symbols["do_exit"], profile.symbols["_text"])
        self.assertIn(b"Linux version", profile.bytes_at(profile.symbols["linux_banner"], 64))
