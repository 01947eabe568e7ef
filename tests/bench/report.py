"""The report as one page: tables, and plots as SVG that need no script and nothing from elsewhere."""
import html
import math
import statistics

COLORS = ["#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#566573", "#117a65"]
STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}td,th{padding:.2em .8em;text-align:right;
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}.met{color:#1e7d34}.missed{color:#b03a2e}
figure{margin:1.5em 0}figcaption{color:#555}svg text{font:12px system-ui,sans-serif}"""


def text_of(value):
    if value is None:
        return "–"
    if isinstance(value, str):
        return html.escape(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(head, rows, classes=None):
    lines = ["<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    for i, row in enumerate(rows):
        mark = f' class="{classes[i]}"' if classes else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{text_of(cell)}</td>" for cell in row) + "</tr>")
    return "\n".join(lines + ["</table>"])


def scale(values, low, high, log):
    """A function from a value to a coordinate, and the marks of its axis."""
    least, most = min(values), max(values)
    if log:
        least, most = math.floor(math.log10(least)), math.ceil(math.log10(most))
        most = max(most, least + 1)
        marks = [10.0 ** power for power in range(least, most + 1)]
        return lambda v: low + (math.log10(v) - least) / (most - least) * (high - low), marks
    most = most or 1
    step = 10 ** math.floor(math.log10(most))
    step = next(s for s in (step / 5, step / 2, step, step * 2) if most / s <= 8)
    top = math.ceil(most / step) * step
    return lambda v: low + v / top * (high - low), [step * i for i in range(round(top / step) + 1)]


def plot(title, series, x_name, y_name, log_y=False):
    """`series`: {name: [(x, y, least, most)]}; x in powers."""
    points = [point for one in series.values() for point in one if point[1] > 0 and point[0] > 0]
    if not points:
        return ""
    x_at, x_marks = scale([p[0] for p in points], 70, 640, True)
    y_at, y_marks = scale([max(p[1], p[3]) for p in points] + ([p[1] for p in points] if log_y else []), 300, 20, log_y)
    out = [f'<figure><svg viewBox="0 0 980 345" width="980" role="img" aria-label="{html.escape(title)}">']
    for mark in y_marks:
        out.append(f'<line x1="70" x2="640" y1="{y_at(mark):.1f}" y2="{y_at(mark):.1f}" stroke="#e5e5e5"/>'
                   f'<text x="64" y="{y_at(mark) + 4:.1f}" text-anchor="end">{text_of(mark)}</text>')
    for mark in x_marks:
        out.append(f'<text x="{x_at(mark):.1f}" y="318" text-anchor="middle">{text_of(mark)}</text>')
    for i, (name, one) in enumerate(series.items()):
        color = COLORS[i % len(COLORS)]
        one = sorted(point for point in one if point[1] > 0)
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y, _, _ in one)
        out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        for x, y, least, most in one:
            out.append(f'<line x1="{x_at(x):.1f}" x2="{x_at(x):.1f}" y1="{y_at(max(least, y_marks[0] or least)):.1f}" '
                       f'y2="{y_at(most):.1f}" stroke="{color}"/><circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3" fill="{color}"/>')
        out.append(f'<rect x="660" y="{24 + 20 * i}" width="12" height="3" fill="{color}"/>'
                   f'<text x="678" y="{30 + 20 * i}">{html.escape(name)}</text>')
    out.append(f'<text x="355" y="340" text-anchor="middle">{html.escape(x_name)}</text></svg>'
               f'<figcaption>{html.escape(title)}: {html.escape(y_name)}</figcaption></figure>')
    return "\n".join(out)


def throughput_plots(rows):
    groups = {}
    for row in rows:
        head, _, clients = row["case"].rpartition(" x")
        if clients.isdigit():
            groups.setdefault(head, {}).setdefault(row["system"], {}).setdefault(int(clients), []).append(row["per_s"])
    out = []
    for head, systems in groups.items():
        if max(len(one) for one in systems.values()) < 2:
            continue
        series = {name: [(clients, statistics.median(v), min(v), max(v)) for clients, v in one.items()]
                  for name, one in systems.items() if name != "etcd-best"}
        out.append(plot(head, series, "clients", "documents a second; median and range of the rounds"))
    return out


def case_rows(rows):
    groups = {}
    for row in rows:
        groups.setdefault((row["case"], row["system"]), []).append(row)
    out = []
    for (case, system), group in groups.items():
        def of(pick, group=group):
            return statistics.median(pick(row) for row in group)
        per_s = [row["per_s"] for row in group]
        out.append([case, system, of(lambda r: r["per_s"]), min(per_s), max(per_s), of(lambda r: r["ms"]["p50"]),
                    of(lambda r: r["ms"]["p99"]), of(lambda r: r["ms"]["p999"]), of(lambda r: r["cpu_us"]), float(len(group))])
    return out


def page(found):
    machine = found["machine"]
    parts = ["<!doctype html><meta charset=utf-8><title>Quorumkeep: benchmark</title>", f"<style>{STYLE}</style>",
             "<h1>Benchmark</h1>", f"<p>{html.escape(machine['processor'])}, {machine['cores']} cores, kernel "
             f"{html.escape(machine['kernel'])}, load at the start {machine['load'][0]:.1f}; commit {html.escape(machine['commit'])}; "
             f"{found['rounds']} rounds, {found['seconds']:.0f} s. All systems and the load generator share this machine: "
             "ratios within a round mean something, absolute figures little.</p>", "<h2>Goals</h2>",
             table(["what", "found", "", "gate", "stretch", "verdict"],
                   [[g["what"], g["found"], g["way"], g["gate"], g["stretch"], g["verdict"]] for g in found["goals"]],
                   ["met" if "met" in g["verdict"] else g["verdict"].split()[0] for g in found["goals"]])]
    if found["rows"]:
        parts += ["<h2>Throughput</h2>", *throughput_plots(found["rows"]),
                  table(["case", "system", "documents/s", "least", "most", "p50 ms", "p99 ms", "p99.9 ms",
                         "CPU µs/request", "rounds"], case_rows(found["rows"]))]
    if found["life"]:
        parts += ["<h2>In the life of a cluster</h2>",
                  table(["what", "found", "unit", "how"], [[o["title"], o["value"], o["unit"], o["how"]] for o in found["life"]])]
    if found["curves"]:
        parts.append("<h2>Scaling</h2><p>The exponent is the slope of cost over size on logarithmic axes: 0 is "
                     "independent, 1 is linear.</p>")
        for curve in found["curves"]:
            series = {f"{name} (exponent {one['exponent']:.2f})" if one["exponent"] is not None else name:
                      [(x, y, y, y) for x, y in one["points"]] for name, one in curve["series"].items()}
            parts.append(plot(curve["title"], series, curve["x"], curve["y"], log_y=True))
    for title, lines in (("Left out", found["left_out"]), ("Failed", found["broken"])):
        if lines:
            parts.append(f"<h2>{title}</h2><ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>")
    return "\n".join(parts) + "\n"
