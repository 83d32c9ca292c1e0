# SPDX-License-Identifier: MIT
"""Draws what `facet bench` measured: an SVG of bars, made by gnuplot."""

import pathlib
import subprocess
import tempfile

from . import packages
from .base import Error, write_result

# Of 900 pixels, the part that labels get; pixels for each bar, and around them.
LABELS = 0.42
BAR, AROUND = 17, 80

SCRIPT = """\
set terminal svg size 900,{height} font "sans,11" background "white"
set title "How many times less than Xen 4.17 (instructions or pages)" offset -14,0
set lmargin at screen {labels}
set logscale x
set xlabel "Xen's cost / Facet's cost, logarithmic: right of the line Facet is cheaper"
set xrange [{least}:{most}]
set yrange [{count}:-1] noreverse
set grid xtics
set ytics nomirror scale 0
set datafile separator "\t"
set style fill solid 0.8 noborder
unset key
set arrow from 1,graph 0 to 1,graph 1 nohead lc rgb "black"
plot "{data}" using (1):0:(1):2:($0-0.35):($0+0.35):3:ytic(1) with boxxyerror lc rgb variable, \\
     "" using ($2>1?$2:1):0:4 with labels left offset 0.5,0 font ",9"
"""
# Colours of the rows of a group; the next group has the next.
COLOURS = (0x3465A4, 0x4E9A06, 0xC17D11, 0x75507B, 0xCC0000, 0x06989A, 0x555753)


def _row_ratio(row):
    """How many times less, not rounded; None without a figure of Xen's."""
    if row["ratio"] is None:
        return None
    return row["xen"] / max(row["facet"], 1) if row.get("xen") and row.get("facet") is not None else row["ratio"]


def bars(report):
    """[(label, ratio, number of its group)] of all rows that have a ratio. A missed target is told in the label."""
    out = []
    for row in [*report["operations"], *report.get("monitor", [])]:
        if row["ratio"]:
            missed = " (target missed)" if row.get("reached") is False else ""
            out.append((row["text"] + missed, _row_ratio(row), 0))
    groups = []
    for row in report.get("uses", []):
        if row["heading"] not in groups:
            groups.append(row["heading"])
        if row["ratio"]:
            label = f"{row['heading'].split(', ')[0].split(' over ')[0]}: {row['text']}"
            out.append((label, _row_ratio(row), 1 + groups.index(row["heading"])))
    return out


def _shown(ratio):
    """A ratio with as many digits as it takes to tell 127 from 129."""
    return f"{ratio:,.2f}" if ratio < 10 else f"{ratio:,.1f}"


def _quoted(text):
    """A label for gnuplot: `_`, `^`, `{` and `@` would be typesetting, `"` its own quote."""
    for character in "_^{}@":
        text = text.replace(character, f"\\\\{character}")
    return text.replace('"', "''")


def plot(report, output):
    """Writes the chart to `output`, which ends in .svg."""
    packages.require("plot")
    table = bars(report)
    if not table:
        raise Error("nothing to plot: no ratio was measured")
    ratios = [ratio for _, ratio, _ in table]
    with tempfile.TemporaryDirectory() as scratch:
        data = pathlib.Path(scratch) / "bars"
        data.write_text("".join(
            f"{_quoted(label)}\t{ratio}\t{COLOURS[group % len(COLOURS)]}\t{_shown(ratio)}\n"
            for label, ratio, group in table), encoding="utf-8")
        script = SCRIPT.format(
            height=AROUND + BAR * len(table), data=data, labels=LABELS,
            count=len(table), least=min(0.5, min(ratios)), most=max(ratios) * 3)
        done = subprocess.run(["gnuplot"], input=script, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode or not done.stdout.rstrip().endswith("</svg>"):
        raise Error(f"gnuplot failed: {done.stderr.strip()[-400:]}")
    write_result(output, done.stdout)
    return pathlib.Path(output).resolve()
