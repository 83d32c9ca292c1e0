# SPDX-License-Identifier: MIT
"""Connects the user's terminal to the emulated machine's second serial port."""

import os
import pty
import selectors
import sys
import termios
import tty

ESCAPE = b"\x1d"  # Ctrl-]


class Terminal:
    """A pseudo-terminal pair: the emulator opens `device`, we pass bytes to and from the user.

    While one exists the user's terminal is in raw mode; restore() must be called.
    """

    raw = False  # whether the user's terminal is in raw mode now

    def __init__(self):
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.device = os.ttyname(self._slave)
        self._held = b""  # typed while nobody was there to take it: a port that is being set up forgets
        self._input = sys.stdin.fileno()
        self._saved = None
        if os.isatty(self._input):
            self._saved = termios.tcgetattr(self._input)
            tty.setraw(self._input, termios.TCSADRAIN)  # what was typed before stays
            Terminal.raw = True

    def register(self, selector):
        """Asks `selector` for what serve() handles."""
        selector.register(self._master, selectors.EVENT_READ)
        try:
            selector.register(self._input, selectors.EVENT_READ)
        except PermissionError:
            pass  # a regular file or /dev/null: there is nobody to type

    def _pass_on(self, data):
        """To the machine, behind what was held."""
        data, self._held = self._held + data, b""
        if data:
            os.write(self._master, data)

    def serve(self, key, selector, is_up):
        """Handles an event; is_up: whether the hypervisor has spoken. Returns False when the user wants to leave."""
        if key.fileobj == self._master:
            sys.stdout.flush()
            os.write(sys.stdout.fileno(), os.read(self._master, 4096))
            self._pass_on(b"")
            return True
        data = os.read(self._input, 256)
        if not data:
            selector.unregister(self._input)
        before, escape, _ = data.partition(ESCAPE)
        if is_up:
            self._pass_on(before)
        else:
            self._held += before
        return not escape

    def restore(self):
        """Gives the user's terminal back as it was."""
        if self._saved:
            termios.tcsetattr(self._input, termios.TCSADRAIN, self._saved)
            Terminal.raw = False
            self._saved = None
        os.close(self._master)
        os.close(self._slave)
