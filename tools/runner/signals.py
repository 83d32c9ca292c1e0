# SPDX-License-Identifier: MIT
"""Signals that end the runner, and what it has started by then."""

import contextlib
import os
import signal
import subprocess
import threading


class Terminated(BaseException):
    """SIGTERM or SIGHUP came in."""

    def __init__(self, number):
        super().__init__()
        self.number = number


_held = None  # numbers that came in, while they are held


def _raise(number):
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(number)


def _on_signal(number, _frame):
    if _held is None:
        _raise(number)
    _held.append(number)


def install():
    """From now on they are exceptions of the main thread's. SIGINT stays ignored where it is."""
    numbers = [signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        numbers.append(signal.SIGINT)
    for number in numbers:
        signal.signal(number, _on_signal)


@contextlib.contextmanager
def held():
    """What comes in meanwhile is raised at the end: what is started here is known to who has to end it."""
    global _held  # pylint: disable=global-statement
    if threading.current_thread() is not threading.main_thread() or _held is not None:
        yield
        return
    _held = []
    try:
        yield
    finally:
        came, _held = _held, None
    if came:
        _raise(came[0])


@contextlib.contextmanager
def started(command, number=signal.SIGKILL, **options):
    """A process in a session of its own. Whatever ends this early ends what it has started, too, by that signal."""
    process = None
    try:
        with held():
            process = subprocess.Popen(command, start_new_session=True, **options)  # pylint: disable=consider-using-with
        yield process
    except BaseException:
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            process.communicate()
        raise
    finally:
        if process:
            with process:
                pass
