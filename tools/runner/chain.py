# SPDX-License-Identifier: MIT
"""Puts a piece of code before a PVH kernel: the kernel's ELF, with one more segment and its entry.

The piece (tests/guest/bench/chain.c) is a flat binary linked at LOAD_AT. It is entered as the
kernel would have been, and jumps to the address at its offset 4: the kernel's own entry.
"""

import struct

from .base import Error

LOAD_AT = 0x100000
ENTRY_NOTE = 18  # XEN_ELFNOTE_PHYS32_ENTRY, <xen/elfnote.h>
PT_LOAD, PT_NOTE = 1, 4
# ELF64: offsets in the file header, size and fields of a program header (elf(5)).
E_PHOFF, E_PHENTSIZE, E_PHNUM = 32, 54, 56
PHDR = struct.Struct("<IIQQQQQQ")


def _align(number):
    return (number + 3) & ~3


def _entry_note(elf, start, size):
    """(offset of the entry's address, its size) in a note segment; None if it has none."""
    at = start
    while at + 12 <= start + size:
        name, desc, kind = struct.unpack_from("<III", elf, at)
        value = at + 12 + _align(name)
        if kind == ENTRY_NOTE and elf[at + 12:at + 12 + name] == b"Xen\0" and desc in (4, 8):
            return value, desc
        at = value + _align(desc)
    return None


def chained(kernel, piece):
    """The bytes of `kernel` (an ELF64 with the entry note) that starts by `piece`."""
    elf, piece = bytearray(kernel), bytearray(piece)
    table, = struct.unpack_from("<Q", elf, E_PHOFF)
    size, count = struct.unpack_from("<HH", elf, E_PHENTSIZE)
    headers = [PHDR.unpack_from(elf, table + i * size) for i in range(count)]
    notes = [_entry_note(elf, h[2], h[5]) for h in headers if h[0] == PT_NOTE]
    found = next((note for note in notes if note), None)
    if not found:
        raise Error("the kernel has no PVH entry")
    if any(h[0] == PT_LOAD and h[4] < LOAD_AT + len(piece) for h in headers):
        raise Error(f"the kernel lies where the piece before it goes: {LOAD_AT:#x}")
    at, width = found
    struct.pack_into("<I", piece, 4, int.from_bytes(elf[at:at + width], "little"))
    elf[at:at + width] = LOAD_AT.to_bytes(width, "little")
    elf += b"\0" * (-len(elf) % 4096)
    headers.append((PT_LOAD, 7, len(elf), LOAD_AT, LOAD_AT, len(piece), len(piece), 4096))
    elf += piece + b"\0" * (-len(piece) % 8)
    struct.pack_into("<Q", elf, E_PHOFF, len(elf))
    struct.pack_into("<H", elf, E_PHNUM, len(headers))
    return bytes(elf) + b"".join(PHDR.pack(*h) for h in headers)
