# SPDX-License-Identifier: MIT
"""Writes cpio archives: no root for device nodes, and the same bytes for the same input."""

import io
import pathlib
import stat


class Archive:
    """A cpio archive in the "newc" format (Documentation/driver-api/early-userspace of Linux)."""

    def __init__(self):
        self._out = io.BytesIO()
        self._inode = 0
        self._made = set()

    def _entry(self, name, mode, data=b""):
        self._inode += 1
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        self._out.write(b"070701" + b"".join(b"%08X" % field for field in fields))
        self._out.write(name.encode() + b"\0")
        self._pad()
        self._out.write(data)
        self._pad()

    def _pad(self):
        self._out.write(b"\0" * (-self._out.tell() % 4))

    def directory(self, name):
        """A directory and those above it, each once."""
        if name in self._made or name in ("", "."):
            return
        self.directory(str(pathlib.PurePosixPath(name).parent))
        self._made.add(name)
        self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o755):
        """A regular file with these bytes."""
        self.directory(str(pathlib.PurePosixPath(name).parent))
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        """A symbolic link."""
        self.directory(str(pathlib.PurePosixPath(name).parent))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def bytes(self):
        """The finished archive."""
        self._entry("TRAILER!!!", 0)
        return self._out.getvalue()
