# SPDX-License-Identifier: MIT
"""What a Linux kernel's image says of the kernel, as a profile that LibVMI, DRAKVUF and Volatility 3 read.

    profile = Profile(path)              an unpacked kernel (facet-kernel)
    profile.document()                   the profile of it all
    profile.document(wanted)             of what wanted(name) says yes to, and what that is made of

The format is that of dwarf2json ("ISF", schema 6.2.0), which reads DWARF. This reads what is in each kernel anyway: its type
information for BPF (linux/btf.h) and the table behind /proc/kallsyms (scripts/kallsyms.c of Linux).
"""

import base64
import itertools
import pathlib
import re
import struct

from .base import Error, version

KERNEL_MAP = 0xffffffff80000000
BTF_MAGIC = b"\x9f\xeb\x01\0"
BTF_HEADER = struct.Struct("<HBBIIIII")  # magic, version, flags, header's length, then offset and length of types and names
(INT, POINTER, ARRAY, STRUCT, UNION, ENUM, FORWARD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNCTION, PROTOTYPE, VARIABLE,
 SECTION, FLOAT, DECL_TAG, TYPE_TAG, ENUM64) = range(1, 20)
THROUGH = frozenset({TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG})
# Kind: the bytes behind the header of a type, as (once, for each element).
BEHIND = {INT: (4, 0), ARRAY: (12, 0), STRUCT: (0, 12), UNION: (0, 12), ENUM: (0, 8), PROTOTYPE: (0, 8), VARIABLE: (4, 0),
          SECTION: (0, 12), DECL_TAG: (4, 0), ENUM64: (0, 12)}
MALFORMED = (struct.error, ValueError, IndexError, KeyError, TypeError, RecursionError)
BTF_BAD = "the type information (BTF) is malformed"
VOID = {"kind": "base", "name": "void"}
KINDS = {STRUCT: "struct", UNION: "union"}
DIGITS = b"0\0" b"1\0" b"2\0" b"3\0" b"4\0" b"5\0" b"6\0" b"7\0" b"8\0" b"9\0"  # tokens that stand for themselves
TOKENS, PER_MARKER, SYMBOLS_MIN = 256, 256, 256
PROGRAM_HEADER = 56  # bytes


def _align(value, to=8):
    return value + -value % to


def extract_btf(data, name="the kernel"):
    """The type information in the bytes of a kernel without section headers."""
    at = -1
    while (at := data.find(BTF_MAGIC + b"\x18\0\0\0", at + 1)) >= 0:
        if len(data) - at < BTF_HEADER.size:
            break
        *_, header, types, types_size, names, names_size = BTF_HEADER.unpack_from(data, at)
        if types == 0 and names == types_size and at + header + names + names_size <= len(data):
            return data[at:at + header + names + names_size]
    raise Error(f"{name} has no type information (BTF)")


# ---- types ----

class Types:
    """A kernel's type information, parsed."""

    def __init__(self, btf):
        try:
            *_, header, _, size, names, names_size = BTF_HEADER.unpack_from(btf)
            self._names = btf[header + names:header + names + names_size]
            self._types = [("", 0, 0, 0, 0, ())]  # the first one is void
            self._read(memoryview(btf)[header:header + size])
        except MALFORMED:
            raise Error(BTF_BAD) from None
        self._called = {}
        for number, (name, kind, *_) in enumerate(self._types):
            if name and kind in (STRUCT, UNION, ENUM, ENUM64):
                self._called.setdefault(name, number)
        self.functions = {one[0] for one in self._types if one[1] == FUNCTION}
        self.variables = {one[0]: one[4] for one in self._types if one[1] == VARIABLE}

    def _name(self, at):
        return self._names[at:self._names.index(b"\0", at)].decode("ascii", "replace")

    def _read(self, data):
        at = 0
        while at < len(data):
            name, info, word = struct.unpack_from("<III", data, at)
            kind, count, flag = info >> 24 & 0x1f, info & 0xffff, info >> 31
            once, each = BEHIND.get(kind, (0, 0)) if 0 < kind <= ENUM64 else (None, None)
            at += 12
            size = once + each * count
            behind = struct.unpack_from(f"<{size // 4}I", data, at)
            self._types.append((self._name(name), kind, count, flag, word, behind))
            at += size

    def names(self):
        """The names of structures, unions and enumerations."""
        return list(self._called)

    def through(self, number):
        """The type behind typedefs and qualifiers."""
        for _ in range(64):
            if self._types[number][1] not in THROUGH:
                return number
            number = self._types[number][4]
        raise Error(BTF_BAD)

    def of_symbol(self, name):
        """The type of a function or a variable, as symbols name it."""
        try:
            return ({"kind": "function"} if name in self.functions else
                    self.reference(self.variables[name]) if name in self.variables else VOID)
        except MALFORMED:
            raise Error(BTF_BAD) from None

    def _type_name(self, number):
        """The name of a structure, union or enumeration: names of two are the first one's."""
        name = self._types[number][0]
        if not name:
            return f"unnamed_{number}"
        return name if self._called.get(name, number) == number else f"{name}_{number}"

    def reference(self, number):
        """A type as members and symbols name it."""
        number = self.through(number)
        name, kind, _, flag, word, behind = self._types[number]
        if kind in (INT, FLOAT):
            return {"kind": "base", "name": name}
        if kind == POINTER:
            return {"kind": "pointer", "subtype": self.reference(word) if self._shallow(word) else VOID}
        if kind == ARRAY:
            return {"kind": "array", "count": behind[2], "subtype": self.reference(behind[0])}
        if kind in KINDS:
            return {"kind": KINDS[kind], "name": self._type_name(number)}
        if kind in (ENUM, ENUM64):
            return {"kind": "enum", "name": self._type_name(number)}
        if kind == FORWARD:
            return {"kind": "union" if flag else "struct", "name": name}
        return {"kind": "function"} if kind == PROTOTYPE else VOID

    def _shallow(self, number):
        """Whether a type ends after a few pointers: all do, but for information that is malformed."""
        for _ in range(64):
            number = self.through(number)
            if self._types[number][1] != POINTER:
                return True
            number = self._types[number][4]
        return False

    def _members(self, number):
        """(name, type, bits from the start, bits wide or 0) of each member."""
        _, _, count, flag, _, behind = self._types[number]
        for index in range(count):
            name, kind, offset = behind[3 * index:3 * index + 3]
            yield self._name(name), kind, offset & 0xffffff if flag else offset, offset >> 24 if flag else 0

    def _field(self, kind, offset, width):
        inner = self.reference(kind)
        if not width:
            return {"type": inner, "offset": offset // 8}
        unit = self._types[self.through(kind)][4] * 8 or 8
        return {"type": {"kind": "bitfield", "bit_position": offset % unit, "bit_length": width, "type": inner},
                "offset": offset // unit * unit // 8}

    def _structure(self, number):
        _, kind, _, _, size, _ = self._types[number]
        fields, unnamed = {}, itertools.count()
        for name, inner, offset, width in self._members(number):
            if name:
                fields[name] = self._field(inner, offset, width)
            elif not width:
                fields[f"unnamed_field_{next(unnamed)}"] = {**self._field(inner, offset, 0), "anonymous": True}
        return {"size": size, "fields": fields, "kind": KINDS[kind]}

    def _enumeration(self, number):
        _, kind, count, flag, size, behind = self._types[number]
        step, constants = (3, {}) if kind == ENUM64 else (2, {})
        for index in range(count):
            name, *words = behind[step * index:step * (index + 1)]
            value = sum(word << 32 * place for place, word in enumerate(words))
            bits = 32 * len(words)
            constants[self._name(name)] = value - (1 << bits) if flag and value >> (bits - 1) else value
        return {"size": size, "base": "int" if flag else "unsigned int", "constants": constants}

    def _made_of(self, number):
        """A type, and those that it holds (not those that it points to)."""
        found, seen, left = set(), set(), [number]
        while left:
            one = self.through(left.pop())
            kind = self._types[one][1]
            if one in seen:
                continue
            seen.add(one)
            if kind == ARRAY:
                left.append(self._types[one][5][0])
            elif kind in KINDS or kind in (ENUM, ENUM64):
                found.add(one)
                if kind in KINDS:
                    left += [inner for _, inner, _, _ in self._members(one)]
        return found

    def _chosen(self, wanted):
        numbers = (number for number, one in enumerate(self._types) if one[1] in (STRUCT, UNION, ENUM, ENUM64))
        if wanted is None:
            return list(numbers)
        found = set()
        for name in wanted:
            if name in self._called:
                found |= self._made_of(self._called[name])
        return sorted(found)

    def documents(self, wanted=None):
        """(base types, structures and unions, enumerations), each by name."""
        try:
            return self._documents(wanted)
        except MALFORMED:
            raise Error(BTF_BAD) from None

    def _documents(self, wanted):
        base = {"void": {"size": 0, "signed": False, "kind": "void", "endian": "little"},
                "pointer": {"size": 8, "signed": False, "kind": "int", "endian": "little"}}
        for name, kind, _, _, size, behind in self._types:
            if kind in (INT, FLOAT):
                flags = behind[0] >> 24 if behind else 0
                word = "float" if kind == FLOAT else "bool" if flags & 4 else "char" if flags & 2 or name == "char" else "int"
                base[name] = {"size": size, "signed": kind == FLOAT or bool(flags & 1), "kind": word, "endian": "little"}
        structures, enumerations = {}, {}
        for number in self._chosen(wanted):
            if self._types[number][1] in KINDS:
                structures[self._type_name(number)] = self._structure(number)
            else:
                enumerations[self._type_name(number)] = self._enumeration(number)
        return base, structures, enumerations


# ---- symbols ----

class Symbols:
    """The table of /proc/kallsyms in a kernel's image: scripts/kallsyms.c writes it, in two orders until now."""

    def __init__(self, data):
        self._data = data
        for match in re.finditer(re.escape(DIGITS), data):
            if self._take_tokens(match.start()) and self._take_names():
                self.found = dict(self._expand())
                return
        raise Error("the kernel has no table of its symbols (kallsyms)")

    def _take_tokens(self, digits):
        """Sets the tokens, if those around the digits are such. The index behind them says where each begins."""
        ends, at = [], digits
        for _ in range(ord("0"), TOKENS):
            at = self._data.find(b"\0", at) + 1
            if not at:
                return False
            ends.append(at)
        index = _align(ends[-1])
        places = struct.unpack_from(f"<{TOKENS}H", self._data, index) if index + 2 * TOKENS <= len(self._data) else (0,)
        start = digits - (places[ord("0")] if len(places) == TOKENS else digits)
        texts = self._data[max(start, 0):index].split(b"\0")[:TOKENS]
        lengths = [0, *itertools.accumulate(len(text) + 1 for text in texts)]
        if start <= 0 or list(places) != lengths[:TOKENS]:
            return False
        self._tokens, self._start, self._behind = texts, start, _align(index + 2 * TOKENS)
        return True

    def _take_names(self):
        """Sets where names begin and how many there are: the number stands before them, the marks behind."""
        for at in range(self._start & ~7, 8, -8):
            count, high = struct.unpack_from("<II", self._data, at - 8)
            if not high and SYMBOLS_MIN <= count <= (self._start - at) // 2 and self._fits(at, count):
                self._at, self._count = at, count
                return True
        return False

    def _name_at(self, at):
        """Where the bytes of a name begin, and how many they are."""
        length = self._data[at]
        return (at + 1, length) if length < 0x80 else (at + 2, length & 0x7f | self._data[at + 1] << 7)

    def _fits(self, at, count):
        marks, place = [], at
        for number in range(count):
            if number % PER_MARKER == 0:
                marks.append(place - at)
            place, length = self._name_at(place)
            place += length
            if not length or place > self._start:
                return False
        place = _align(place)
        return (place + 4 * len(marks) <= self._start and
                list(struct.unpack_from(f"<{len(marks)}I", self._data, place)) == marks)

    def _offsets(self):
        """The number of each symbol and what they are relative to: before the names, or (since 6.4) behind the tokens."""
        size = _align(4 * self._count)
        for at, base in ((self._at - 16 - size, self._at - 16), (self._behind, self._behind + size)):
            if at > 0 and base + 8 <= len(self._data):
                relative, = struct.unpack_from("<Q", self._data, base)
                if relative >= KERNEL_MAP:
                    return struct.unpack_from(f"<{self._count}i", self._data, at), relative
        raise Error("the kernel's table of symbols has no addresses")

    def _expand(self):
        """(name, address), the first one of several of a name last."""
        offsets, relative = self._offsets()
        # Kernels with absolute per-CPU symbols (until 6.14) count all others down from -1.
        down, place, found = sum(one < 0 for one in offsets) > self._count // 2, self._at, []
        for offset in offsets:
            place, length = self._name_at(place)
            name = b"".join(map(self._tokens.__getitem__, self._data[place:place + length]))
            place += length
            address = relative + (offset & 0xffffffff) if not down else offset if offset >= 0 else relative - 1 - offset
            found.append((name[1:].decode("ascii", "replace"), address))
        return reversed(found)


# ---- the profile ----

class Profile:
    """What an unpacked kernel says of itself."""

    def __init__(self, path):
        self._path = pathlib.Path(path)
        self._data = self._path.read_bytes()
        self.types = Types(extract_btf(self._data, self._path))
        self.symbols = Symbols(self._data).found

    def bytes_at(self, address, size):
        """Bytes that the image has for an address; none if it has none."""
        if self._data[:6] != b"\x7fELF\x02\x01" or len(self._data) < 64:
            return b""
        table, = struct.unpack_from("<Q", self._data, 32)
        each, count = struct.unpack_from("<HH", self._data, 54)
        if count and table + (count - 1) * each + PROGRAM_HEADER > len(self._data):
            raise Error(f"{self._path}: its program headers are cut off")
        for index in range(count):
            kind, _, offset, virtual, _, length = struct.unpack_from("<IIQQQQ", self._data, table + index * each)
            if kind == 1 and virtual <= address < virtual + length:
                return self._data[offset:offset + length][address - virtual:][:size]
        return b""

    def _symbol(self, name, moved):
        address = self.symbols[name]
        entry = {"type": self.types.of_symbol(name), "address": address + (moved if address >= KERNEL_MAP else 0)}
        if name == "linux_banner":
            text = self.bytes_at(address, 4096).partition(b"\0")[0]
            entry["constant_data"] = base64.b64encode(text + b"\0").decode()
        return entry

    def document(self, wanted=None, moved=0):
        """The profile. wanted: a function that says of a name whether it is wanted, and of each structure that is, so
        are those it holds; None: everything. moved: bytes that the kernel's own addresses (not those of per-CPU variables)
        are moved by."""
        names = None if wanted is None else [name for name in self.types.names() if wanted(name)]
        base, structures, enumerations = self.types.documents(names)
        symbols = {name: self._symbol(name, moved) for name in sorted(self.symbols) if wanted is None or wanted(name)}
        sources = [{"kind": "symtab", "name": self._path.name}]
        return {"metadata": {"linux": {"symbols": sources, "types": [{"kind": "btf", "name": self._path.name}]},
                             "producer": {"name": "facet", "version": version()}, "format": "6.2.0"},
                "base_types": base, "user_types": structures, "enums": enumerations, "symbols": symbols}
