# SPDX-License-Identifier: MIT
"""`facet test`: finds the tests, runs them two jobs at a time, reports one line per test."""

import os
import queue
import random
import sys
import threading
import time
import traceback

from . import options, packages, reports
from .base import Error, build, writable
from .guests import guest_jobs, places
from .hosttests import make_jobs
from .progress import hushed
from .results import BAD, Case
from .systemtests import system_jobs

MACHINE_SEED = "1"


class Report:
    """Collects cases from the workers and prints each as it comes."""

    def __init__(self, text_filter):
        self.cases = []
        self.broken = None  # what standard output said when it took no more
        self._filter = text_filter
        self._lock = threading.Lock()

    def add(self, case):
        """Takes a finished test; those the filter does not want are dropped."""
        if not self._filter or case.matches(self._filter):
            self.add_always(case)

    def add_always(self, case):
        """The same whatever the filter wants: a job broke, and with it what was wanted."""
        with self._lock:
            self.cases.append(case)
            text = f": {case.text}" if case.text else ""
            seconds = f" ({case.seconds:.1f} s)" if case.seconds >= 1 else ""
            self._print(f"{case.outcome:5} {case.name}{seconds}{text}")

    def note(self, text):
        """A line of progress."""
        if hushed():
            return
        with self._lock:
            self._print(f"----- {text}")

    def _print(self, text):
        try:
            print(text, flush=True)
        except OSError as error:
            self.broken = error


def _work(jobs, report, cancel, total):
    while not cancel.is_set() and not report.broken:
        try:
            number, job = jobs.get_nowait()
        except queue.Empty:
            return
        report.note(f"job {number} of {total}: {job.name}")
        try:
            job.run(report.add, cancel)
        except KeyboardInterrupt:
            return
        except Error as error:
            report.add_always(Case(job.name, "error", str(error)))
        except Exception:  # pylint: disable=broad-except
            report.add_always(Case(job.name, "error", traceback.format_exc().rstrip()))


def _run_all(jobs, workers, report):
    waiting, cancel = queue.Queue(), threading.Event()
    for item in enumerate(jobs, 1):
        waiting.put(item)
    threads = [threading.Thread(target=_work, args=(waiting, report, cancel, len(jobs)))
               for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        cancel.set()
        for thread in threads:
            thread.join()


def count(cases):
    """(passed, failed, skipped); what broke counts as failed."""
    failed = sum(case.outcome in BAD for case in cases)
    skipped = sum(case.outcome == "skip" for case in cases)
    return len(cases) - failed - skipped, failed, skipped


def status(cases):
    """The exit status: 0 if something passed and nothing failed."""
    passed, failed, _ = count(cases)
    return 1 if failed or not passed else 0


def _summary(cases, seconds):
    """Prints what went wrong and, last, the counts."""
    for title, outcomes in (("skipped", ("skip",)), ("failed", BAD)):
        some = [case for case in cases if case.outcome in outcomes]
        if some:
            print(f"\n{title}:")
        for case in some:
            print(f"  {case.name}: {(case.text or case.outcome).splitlines()[-1]}")
    passed, failed, skipped = count(cases)
    tail = f", {skipped} skipped" if skipped else ""
    print(f"\n{len(cases)} tests in {seconds:.0f} s")
    print(f"{passed} passed, {failed} failed{tail}", flush=True)


def _arguments(arguments):
    parser = options.parser(
        "test", "Run all tests: host tests, test guests and Linux on an "
        "emulated machine. The last line counts them; the exit status is 0 if none failed.")
    parser.add_argument("--filter", metavar="TEXT", default="",
                        help="only the tests with TEXT in their names")
    parser.add_argument("--list", action="store_true", help="list the tests and do not run them; "
                        "what a job finds out only by running is shown as NAME/...")
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="run the jobs in a random order, "
                        "the same one for the same SEED (default: the long ones first)")
    parser.add_argument("--jobs", type=options.count, default=min(2, os.cpu_count() or 1), metavar="N",
                        help="run N jobs at a time (default: %(default)s)")
    options.reports(parser)
    parser.add_argument("--machine", metavar="NAME", help="only the test guests, all of them, on this machine "
                        "('all': on each; default: all tests, guests on the machines that are to run them)")
    parser.add_argument("--processors", type=options.processors, metavar="N",
                        help="only the test guests, on machines with N processors")
    return parser.parse_args(arguments)


_NONE = "no test has '{}' in its name; `facet test --list` shows them"


def find_jobs(text_filter, seed=None, where=None):
    """The jobs that may hold tests with this text in their names, the long ones first, or shuffled.
    where: only guests, at these places (guests.places())."""
    if where:
        found = guest_jobs(text_filter, where)
    else:
        found = [*system_jobs(text_filter), *guest_jobs(text_filter), *make_jobs(text_filter)]
    if not found:
        raise Error(_NONE.format(text_filter))
    if seed is not None:
        random.Random(seed).shuffle(found)
        return found
    return sorted(found, key=lambda job: -job.weight)


def main(arguments):
    """Runs `facet test`. Returns its exit status."""
    args = _arguments(arguments)
    where = None
    if args.machine is not None or args.processors is not None:
        where = places(args.machine, args.processors or 1)
    if args.list:
        for name in sorted(name for job in find_jobs(args.filter, where=where) for name in job.contents):
            print(name)
        return 0
    reports.check(args)
    find_jobs(args.filter, where=where)  # that there are any, before anything is built
    # Machines whose clock and random numbers are the same in each run (facet(1)).
    os.environ.setdefault("FACET_SEED", MACHINE_SEED)
    report, started = Report(args.filter), time.monotonic()
    try:
        packages.require("test")
        build()
        jobs = find_jobs(args.filter, args.shuffle, where)
    except Error as error:
        report = Report("")
        report.add(Case("setup", "error", str(error)))
        jobs = []
    _run_all(jobs, args.jobs, report)
    if report.broken:
        raise report.broken
    sys.stdout.flush()
    if not report.cases:  # what a job holds may be known only when it ran
        print("facet:", _NONE.format(args.filter), file=sys.stderr)
    _summary(report.cases, time.monotonic() - started)
    reports.write(args, report.cases)
    return status(report.cases)

