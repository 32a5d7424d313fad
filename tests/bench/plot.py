"""plot -- the report as a picture: a small chart for each row, a bar for each peer."""

import math

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 (after the choice of a backend)

from report import number  # noqa: E402

COLUMNS = 4
COLOURS = {"penstock": "#c44e52", "limit": "#8c8c8c"}
OTHERS = "#4c72b0"


def chart(axes, results, peers, row):
    name, unit, _ = row
    shown = [peer for peer in peers if results.median(name, peer) is not None]
    medians = [results.median(name, peer) for peer in shown]
    ranges = [
        [median - min(results.values[name][peer]) for median, peer in zip(medians, shown)],
        [max(results.values[name][peer]) - median for median, peer in zip(medians, shown)],
    ]
    axes.barh(
        shown,
        medians,
        xerr=ranges,
        color=[COLOURS.get(peer, OTHERS) for peer in shown],
        error_kw={"elinewidth": 0.8, "capsize": 2},
    )
    most = max([m + r for m, r in zip(medians, ranges[1])] or [1]) or 1
    for place, (median, above) in enumerate(zip(medians, ranges[1])):
        axes.text(median + above + most * 0.02, place, number(median), va="center", fontsize=7)
    axes.set_xlim(0, most * 1.18)
    axes.set_title(f"{name}, {unit}", fontsize=9, loc="left")
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw(results, peers, path):
    rows = [row for row in results.rows if row[1] != "ratio" and results.values[row[0]]]
    lines = math.ceil(len(rows) / COLUMNS)
    height = lines * (0.8 + 0.2 * len(peers))
    figure, grid = pyplot.subplots(lines, COLUMNS, figsize=(15, height), squeeze=False)
    cells = list(grid.flat)
    for axes, row in zip(cells, rows):
        chart(axes, results, peers, row)
    for axes in cells[len(rows) :]:
        axes.set_visible(False)
    title = "What each proxy costs: medians, with the least and the most; less is better"
    figure.suptitle(title, fontsize=11)
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    figure.savefig(path, dpi=110)
