# SPDX-License-Identifier: MIT
"""Makes the disk that an emulated machine with a BIOS starts from: the first sector (tools/loader) reads everything to where
it is to be, as Multiboot has it. Real machines start by GRUB (image.py)."""

import pathlib
import shutil
import struct

from .base import Error, result, tool

SECTOR = 512
TABLE_SECTORS = 8
# What a BIOS counts a disk in: 16 heads of 63 sectors.
CYLINDER = 16 * 63 * SECTOR
INFO, INFO_MOST = 0x10000, 0x70000
MODULE_ALIGN = 4096
FLAGS = 1 << 2 | 1 << 3 | 1 << 6  # command line, modules, memory map
LOAD = 1
MULTIBOOT = struct.pack("<I", 0x1badb002)
MEMORY_END = 3 << 30  # devices begin there


def look(path):
    """Refuses what does not begin as a hypervisor's image does."""
    with open(path, "rb") as file:
        head = file.read(8192)
    if head[:4] != b"\x7fELF" or MULTIBOOT not in head:
        raise Error(f"{path} is not an ELF image with a Multiboot header")


def segments(path):
    """(entry point, [(address, bytes)]) of an ELF file, memory behind a segment's bytes included."""
    look(path)
    data = pathlib.Path(path).read_bytes()
    wide = data[4:5] == b"\x02"
    header, entry = ("<16xHHIQQQIHHH", "<IIQQQQQQ") if wide else ("<16xHHIIIIIHHH", "<IIIIIIII")
    try:
        _, _, _, start, table, _, _, _, size, count = struct.unpack_from(header, data)
        rows = [struct.unpack_from(entry, data, table + i * size) for i in range(count)]
    except struct.error:
        rows = []
    found = []
    for row in rows:
        kind, offset, address, in_file, in_memory = (row[0], row[2], row[4], row[5], row[6]) if wide else \
            (row[0], row[1], row[3], row[4], row[5])
        if kind == LOAD and in_memory:
            found.append((address, data[offset:offset + in_file].ljust(in_memory, b"\0")))
    if not found:
        raise Error(f"{path} is an ELF image without anything to load")
    return start, found


def _information(modules, options):
    """Multiboot's information about modules, [(address, bytes, text)]; the memory map is the first sector's to add."""
    strings = [options, *(text for _, _, text in modules)]
    table = INFO + 128
    at = table + 16 * len(modules)
    places, text = [], b""
    for string in strings:
        places.append(at + len(text))
        text += string.encode() + b"\0"
    info = struct.pack("<IIIIIII", FLAGS, 0, 0, 0, places[0], len(modules), table).ljust(128, b"\0")
    rows = b"".join(struct.pack("<IIII", address, address + size, place, 0)
                    for (address, size, _), place in zip(modules, places[1:]))
    return info + rows + text


def _place(image, end):
    """(modules as _information() wants them, [(address, file)]): behind the hypervisor, which ends at `end`."""
    modules, files = [], []
    for name, text in image.modules:
        at = -(-end // MODULE_ALIGN) * MODULE_ALIGN
        size = (image.path / name).stat().st_size
        modules.append((at, size, f"/boot/{name} {text}"))
        files.append((at, image.path / name))
        end = at + size
    if end > MEMORY_END:
        raise Error("the files that the machine starts from do not fit below 3 GiB")
    return modules, files


def write(image, path):
    """Writes a disk for what image.lay_out() has laid out."""
    start, loaded = segments(image.path / "facet.elf")
    modules, files = _place(image, max(address + len(data) for address, data in loaded))
    info = _information(modules, f"/boot/facet.elf {image.options}".rstrip())
    rows, sector = [], 1 + TABLE_SECTORS
    with result(path) as beside, open(beside, "wb") as out:
        for address, what in [(INFO, info), *sorted(loaded), *files]:
            out.seek(sector * SECTOR)
            if isinstance(what, bytes):
                out.write(what)
            else:
                with open(what, "rb") as source:
                    shutil.copyfileobj(source, out, 1 << 20)
            count = -(-out.tell() // SECTOR) - sector
            if count:
                rows.append((sector, count, address))
            sector += count
        table = struct.pack("<I", start) + b"".join(struct.pack("<III", *row) for row in [*rows, (0, 0, 0)])
        if len(table) > TABLE_SECTORS * SECTOR or len(info) > INFO_MOST:
            raise Error("too many boot modules for a disk")
        out.truncate(-(-sector * SECTOR // CYLINDER) * CYLINDER)
        out.seek(0)
        out.write(tool("sector.bin").read_bytes() + table)
