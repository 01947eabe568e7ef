"""Rounds: each round runs every case on every system once, so that what the machine does meanwhile
meets all of them alike. Medians with ranges; ratios are taken within a round, then their median."""
import statistics
import sys
import time

from systems import Refused


def say(text):
    print(text, flush=True)


class Table:
    """Rows of figures by (system, case)."""

    def __init__(self):
        self.rows = {}
        self.problems = {}

    def add(self, system, case, number, row):
        self.rows.setdefault((system, case), {})[number] = row

    def values(self, system, case, figure="per_s"):
        rows = self.rows.get((system, case), {})
        return {number: pick(row, figure) for number, row in rows.items()}

    def median(self, system, case, figure="per_s"):
        values = list(self.values(system, case, figure).values())
        return statistics.median(values) if values else None

    def span(self, system, case, figure="per_s"):
        values = list(self.values(system, case, figure).values())
        return (min(values), max(values)) if values else None

    def ratio(self, one, other, case, figure="per_s", other_case=None):
        """(median, least, most) of the ratios within each round, or None."""
        above, below = self.values(one, case, figure), self.values(other, other_case or case, figure)
        ratios = [above[n] / below[n] for n in above if n in below and below[n] > 0]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def dump(self):
        return [{"system": system, "case": case, "round": number, **row}
                for (system, case), rows in self.rows.items() for number, row in rows.items()]


def pick(row, figure):
    for part in figure.split("."):
        row = row[part]
    return row


def run_case(table, systems, case, number):
    """`case`: {"name", "systems", and the arguments of run()}."""
    for name in case["systems"]:
        if name not in systems:
            continue
        arguments = {k: v for k, v in case.items() if k not in ("name", "systems", "per_system")}
        arguments.update(case.get("per_system", {}).get(name, {}))
        try:
            row = systems[name].run(**arguments)
        except (Refused, OSError) as problem:
            table.problems[(name, case["name"])] = str(problem)
            continue
        if row["failed"]:
            table.problems[(name, case["name"])] = f'{row["failed"]} failed: {row["problem"]}'
        table.add(name, case["name"], number, row)


def rounds(table, systems, cases, count, until=None):
    """`until`: no new round begins after that moment (time.monotonic()), but the first."""
    for number in range(count):
        if number > 0 and until is not None and time.monotonic() > until:
            say(f"out of time after {number} rounds")
            return number
        began = time.monotonic()
        for i, case in enumerate(cases):
            if sys.stderr.isatty():
                print(f"\rround {number + 1}/{count}: {i}/{len(cases)} {case['name']:40}", end="", file=sys.stderr)
            # Another order in each round: no system always follows the same one.
            shifted = dict(case, systems=case["systems"][number % len(case["systems"]):] +
                           case["systems"][:number % len(case["systems"])])
            run_case(table, systems, shifted, number)
        if sys.stderr.isatty():
            print(file=sys.stderr)
        say(f"round {number + 1} of {count}: {time.monotonic() - began:.0f} s")
    return count


def number_text(value, digits=3):
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def span_text(table, system, case, figure="per_s"):
    median, span = table.median(system, case, figure), table.span(system, case, figure)
    if median is None:
        return "-"
    return f"{number_text(median)} ({number_text(span[0])}..{number_text(span[1])})"


def ratio_text(ratio):
    return "-" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f}..{ratio[2]:.2f})"


def print_table(title, head, rows):
    say(f"\n{title}")
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        say("  " + "  ".join(str(cell).ljust(w) if i == 0 else str(cell).rjust(w)
                             for i, (cell, w) in enumerate(zip(row, widths))))
