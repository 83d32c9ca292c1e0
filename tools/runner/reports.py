# SPDX-License-Identifier: MIT
"""Results for machines: TAP (version 13) and JUnit's XML, of a list of Cases."""

import os
import re
from xml.etree import ElementTree

from .base import Error, result, writable, write_result

# What XML 1.0 cannot hold.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _diagnosis(text):
    """A text's lines as TAP's comments."""
    return [f"# {line}" for line in text.splitlines()]


def tap(path, cases):
    """Writes TAP. What a test skips names what is missing; an error is a failure that begins with that word."""
    lines = ["TAP version 13", f"1..{len(cases)}"]
    for number, case in enumerate(cases, 1):
        name = case.name.replace("\\", "\\\\").replace("#", "\\#")
        if case.outcome == "skip":
            first = " ".join(case.text.split())
            lines.append(f"ok {number} - {name} # SKIP {first}".rstrip())
            continue
        word = "ok" if case.outcome == "pass" else "not ok"
        lines.append(f"{word} {number} - {name}")
        lines += _diagnosis(f"error: {case.text}" if case.outcome == "error" else case.text)
    write_result(path, "\n".join(lines) + "\n")


def junit(path, cases):
    """Writes JUnit's XML, as continuous integration reads it."""
    def total(outcome):
        return str(sum(case.outcome == outcome for case in cases))
    root = ElementTree.Element("testsuite", name="facet", tests=str(len(cases)), failures=total("fail"),
                               errors=total("error"), skipped=total("skip"))
    for case in cases:
        group, _, name = case.name.rpartition("/")
        node = ElementTree.SubElement(root, "testcase", classname=group, name=name, time=f"{case.seconds:.3f}")
        kind = {"fail": "failure", "error": "error", "skip": "skipped"}.get(case.outcome)
        if kind:
            text = _NO_XML.sub("\ufffd", case.text)
            ElementTree.SubElement(node, kind, message=text).text = text
    with result(path) as beside:
        ElementTree.ElementTree(root).write(beside, encoding="utf-8", xml_declaration=True)


def _wanted(args):
    return [(write_one, path) for write_one, path in ((tap, args.tap), (junit, args.junit)) if path is not None]


def check(args):
    """Refuses files that cannot be written, of the options that options.reports() adds."""
    for _, path in _wanted(args):
        writable(path)
    if len(_wanted(args)) == 2 and os.path.realpath(args.tap) == os.path.realpath(args.junit):
        raise Error(f"{args.tap} cannot hold both reports")


def write(args, cases):
    """Writes the reports that are wanted."""
    for write_one, path in _wanted(args):
        write_one(path, cases)
