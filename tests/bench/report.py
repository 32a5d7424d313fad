"""report -- what was measured, as Markdown and JSON, and what of the targets is reached."""

import json
import os
import re
import statistics
import time

# Row, what penstock's median is divided by (None: nothing), and the most that is aimed for.
TARGETS = [
    ("get", "haproxy", 1.0),
    ("single", "haproxy", 1.0),
    ("single-p50", "haproxy", 1.0),
    ("single-p99", "haproxy", 1.0),
    ("fresh", "haproxy", 1.0),
    ("tunnel-get", "limit", 1.1),
    ("tunnel-fresh", "limit", 1.1),
    ("download", "haproxy", 0.85),
    ("download", "limit", 1.3),
    ("download-8", "haproxy", 0.85),
    ("download-8", "limit", 1.3),
    ("download-64", "haproxy", 0.85),
    ("download-64", "limit", 1.3),
    ("download-chunked", "haproxy-copy", 0.6),
    ("download-close", "haproxy-copy", 0.6),
    ("tunnel-down", "limit", 1.15),
    ("tunnel-up", "limit", 1.15),
    ("upload", "haproxy", 1.0),
    ("upload-chunked", "haproxy-copy", 1.0),
    ("idle-clients", None, 3),
    ("idle-tunnels", None, 4),
    ("rest", None, 4),
    ("slow-readers", None, 64),
    ("crowd", None, 1.2),
    ("slowloris", None, 3),
    ("log", None, 1.05),
    ("workers", None, 1.1),
    ("workers-tunnels", None, 1.1),
]


def version_in(text):
    """The first number with dots in what a program says of itself."""
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else "?"


def number(value):
    """Three digits that count, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


class Results:
    """The measured rows: name, unit, what, and by peer the values of all rounds or a failure."""

    def __init__(self, measured):
        self.rows, self.values, self.failures = [], {}, {}
        for one in measured:
            self.rows += one.work.rows
            self.values.update(one.values)
            for row in one.work.rows:
                self.failures[row[0]] = one.failures

    def median(self, row, peer):
        if peer in self.failures.get(row, {}):
            return None
        values = self.values.get(row, {}).get(peer)
        return statistics.median(values) if values else None

    def ratio(self, row, peer):
        """Penstock's median by the peer's, or None."""
        mine, other = self.median(row, "penstock"), self.median(row, peer)
        return mine / other if mine is not None and other else None

    def spread(self, row, reference):
        """The same of each round, which had both after each other: the least and the most."""
        mine = self.values[row].get("penstock", [])
        others = self.values[row].get(reference, []) if reference else [1] * len(mine)
        found = [m / o for m, o in zip(mine, others) if o]
        return (min(found), max(found)) if found else None

    def cell(self, row, peer):
        if peer in self.failures[row]:
            return "failed: " + self.failures[row][peer].replace("|", "\\|")[:100]
        values = self.values[row].get(peer)
        if not values:
            return "-"
        median = number(statistics.median(values))
        if len(values) == 1:
            return median
        return f"{median} ({number(min(values))} to {number(max(values))})"


def table(head, lines):
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines]
    )


def costs(results, peers):
    return table(
        ["work", "unit", *peers],
        [
            [name, unit, *(results.cell(name, peer) for peer in peers)]
            for name, unit, _ in results.rows
        ],
    )


def ratios(results, peers):
    columns = [peer for peer in peers if peer != "penstock"]
    lines = []
    for name, _, _ in results.rows:
        found = [results.ratio(name, peer) for peer in columns]
        if any(ratio is not None for ratio in found):
            lines.append([name, *("-" if ratio is None else f"{ratio:.2f}" for ratio in found)])
    return table(["work", *(f"by {peer}" for peer in columns)], lines)


def judge(results):
    """
    The targets of what was measured: (row, reference, most, value or None, whether it is reached,
    least and most of the rounds).
    """
    known = {name for name, _, _ in results.rows}
    for row, reference, most in TARGETS:
        if row in known:
            value = results.ratio(row, reference) if reference else results.median(row, "penstock")
            reached = value is not None and round(value, 2) <= most
            yield row, reference, most, value, reached, results.spread(row, reference)


def targets(results):
    units = {name: unit for name, unit, _ in results.rows}
    lines = []
    for row, reference, most, value, reached, spread in judge(results):
        unit = "" if units[row] == "ratio" else " " + units[row]
        aim = f"{most} x {reference}" if reference else f"{most}{unit}"
        if value is None:
            lines.append([row, aim, "not measured", "-", "-"])
            continue
        mark = "reached" if reached else "**missed**"
        if spread[0] <= most < spread[1]:
            mark += ", within the noise"
        lines.append([row, aim, number(value), f"{number(spread[0])} to {number(spread[1])}", mark])
    return table(["work", "at most", "measured", "in the rounds", ""], lines)


def preamble(bench, facts):
    box = facts["machine"]
    shared = ", the proxy on one, load and origin on the other" if box["cpus"] == 2 else ""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts["began"]))
    text = (
        f"{when}, {facts['seconds'] / 60:.1f} minutes. {box['cpu']}, {box['cpus']} CPUs{shared}, "
        f"Linux {box['kernel']}. {versions}.\n\n"
        f"Medians of the rounds ({bench.rounds}), with the least and the most. Less is better "
        "everywhere. CPU is user and system time of the proxy's processes; memory is what is "
        "resident."
    )
    if box["load_average"] > 0.5:
        load = f"{box['load_average']:.1f}"
        bench.note(f"The machine was not quiet before: its load average was {load}.")
    if box["cpus"] < 2:
        bench.note("There is one CPU for all programs: the latencies are worth little.")
    return text


def markdown(bench, results, facts):
    parts = ["# What penstock costs", preamble(bench, facts)]
    parts += ["\n".join(f"- {name}: {what}" for name, _, what in results.rows)]
    parts += ["## Costs", costs(results, bench.peers)]
    parts += ["## Penstock's medians, divided", ratios(results, bench.peers)]
    parts += ["## What to reach", targets(results)]
    if bench.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in bench.notes)]
    return "\n\n".join(parts) + "\n"


def write(bench, measured, facts, target, plot):
    """Write the report and print it.  Returns the exit status."""
    results = Results(measured)
    text = markdown(bench, results, facts)
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    with open(f"{target}.md", "w") as f:
        f.write(text)
    with open(f"{target}.json", "w") as f:
        document = {
            **facts,
            "rounds": bench.rounds,
            "open_files": bench.open_files,
            "notes": bench.notes,
            "rows": [
                {"name": name, "unit": unit, "what": what, "values": results.values[name],
                 "failed": results.failures[name]}
                for name, unit, what in results.rows
            ],
            "sides": bench.details,
            "targets": [
                dict(zip(("row", "reference", "most", "measured", "reached", "rounds"), found))
                for found in judge(results)
            ],
        }
        json.dump(document, f, indent=1)
        f.write("\n")
    if plot:
        import plot as drawing  # only here, because matplotlib takes a second

        drawing.draw(results, bench.peers, f"{target}.png")
    print(text)
    must = {"penstock", "limit"}
    return 1 if any(must & set(failures) for failures in results.failures.values()) else 0
