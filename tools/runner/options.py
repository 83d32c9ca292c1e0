# SPDX-License-Identifier: MIT
"""Types of options: argparse names them in its messages, and what does not fit is refused."""

import argparse
import sys

from .progress import hush


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


processors = _number("number from 1 to 64", int, 1, 65)


def processors_or_all(text):
    """The same for a machine that is not known yet."""
    return text if text == "all" else str(processors(text))


processors_or_all.__name__ = "number from 1 to 64, or all,"
vcpus = _number("number from 1 to 32", int, 1, 33)  # DOMAIN_VCPUS, as tests/system/test_guest.py holds


def reports(parser):
    """The options for results that machines read (reports.py)."""
    parser.add_argument("--tap", metavar="FILE", help="also write the results as TAP")
    parser.add_argument("--junit", metavar="FILE", help="also write the results as JUnit XML")


def machine(parser, vcpus=""):
    """The options that choose a machine; vcpus: what its processors are to the guests."""
    parser.add_argument("--machine", metavar="NAME",
                        help="corei7_skylake_x (default), ryzen or amd; or another processor model of Bochs")
    parser.add_argument("--processors", type=processors, default=1, metavar="N",
                        help=f"how many processors it has (default: %(default)s){vcpus and '; ' + vcpus}")


def limits(parser):
    """The options that end a run early."""
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS",
                        help="end the run after this time")
    parser.add_argument("--ticks", type=ticks, metavar="N", help="end the run after N instructions "
                        "of the machine, however long they take")


class _Hush(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        hush()
        setattr(namespace, self.dest, True)


def quiet(parser, text="tell nothing of work that goes on"):
    """The option that hides what base.progress() tells."""
    parser.add_argument("--quiet", action=_Hush, nargs=0, default=False, help=text)


class Parser(argparse.ArgumentParser):
    """Refuses an option with a value that is given twice: which one counts is not to be guessed."""

    def _print_message(self, message, file=None):
        # argparse's own keeps to itself that nobody could read it.
        if message:
            (file or sys.stderr).write(message)

    def parse_known_args(self, args=None, namespace=None):
        seen = set()
        for word in args or ():
            if word == "--":
                break
            name = word.partition("=")[0] if word.startswith("--") else word[:2]  # -o FILE, -oFILE
            action = self._option_string_actions.get(name)
            if action is not None and action.nargs != 0 and not isinstance(action, argparse._AppendAction):
                if action in seen:
                    self.error(f"{'/'.join(action.option_strings)} is given twice")
                seen.add(action)
        return super().parse_known_args(args, namespace)


def parser(name, description, **more):
    """A parser for a command whose arguments are its own."""
    made = Parser(prog=f"facet {name}", description=description, allow_abbrev=False, **more)
    quiet(made)
    return made
