# SPDX-License-Identifier: MIT
"""Types of options: argparse names them in its messages, and what does not fit is refused."""

import argparse


def _number(name, kind, least, beyond):
    """A type of numbers from `least` (0: above it) up to, and without, `beyond`."""
    def convert(text):
        value = kind(text)
        if not (least <= value < beyond and value > 0):
            raise ValueError
        return value
    convert.__name__ = name
    return convert


seconds = _number("number of seconds", float, 0, 1e9)
mebibytes = _number("number of MiB", int, 1, 1 << 24)
ticks = _number("number of instructions", int, 1, 1 << 62)
count = _number("number from 1 on", int, 1, 1 << 31)


def skipped(text):
    """How many times not to stop."""
    value = int(text)
    if not 0 <= value < 1 << 20:
        raise ValueError
    return value


skipped.__name__ = "number from 0 on"


def limits(parser):
    """The options that end a run early."""
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS",
                        help="end the run after this time")
    parser.add_argument("--ticks", type=ticks, metavar="N", help="end the run after N instructions "
                        "of the machine, however long they take")


def parser(name, description, **more):
    """A parser for a command whose arguments are its own."""
    return argparse.ArgumentParser(prog=f"facet {name}", description=description,
                                   allow_abbrev=False, **more)
