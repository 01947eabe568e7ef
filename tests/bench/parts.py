"""What is measured, part by part."""
import os
import subprocess
import time

import curves
import goals
import life
import measure
import systems as peers
from measure import Table, number_text, print_table, ratio_text, say, span_text

MAIN = ["quorumkeep", "null", "etcd", "etcd-streams"]
SIZES = {"300 B": 300, "4 KiB": 4096}


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                 "unknown")
    return {"processor": model, "cores": os.cpu_count(), "load": list(os.getloadavg()), "kernel": os.uname().release,
            "commit": subprocess.run(["git", "-C", str(peers.ROOT), "describe", "--always", "--dirty"],
                                     capture_output=True, text=True).stdout.strip()}


def main_cases(wish):
    sizes = {"300 B": 300} if wish.quick else SIZES
    cases = []
    for size_name, size in sizes.items():
        for kind in ("put", "get"):
            for clients in (1, 64) if wish.quick else (1, 16, 64, 256):
                cases.append({"name": f"{kind} {size_name} x{clients}", "systems": MAIN, "kind": kind,
                              "clients": clients, "size": size, "seconds": wish.seconds,
                              # Many requests on few connections are cheaper for etcd, as its own
                              # benchmark does it; the better of the two is the yardstick.
                              "per_system": {"etcd-streams": {"wire": f"grpc:{max(clients // 8, 1)}"}}})
    return [dict(case, systems=MAIN[:3]) if case["clients"] == 1 else case for case in cases]


def peer_cases(wish):
    cases = []
    for kind in ("put", "get"):
        for clients in (1, 64):
            cases.append({"name": f"{kind} 300 B x{clients}, others", "kind": kind, "clients": clients, "size": 300,
                          "seconds": wish.seconds,
                          "systems": ["quorumkeep", "quorumkeep-spread", "etcd-tls", "etcd-gateway", "redis", "pouchdb"] +
                          (["sqlcipher"] if clients == 1 else [])})
    return cases


def more_cases(wish):
    both = ["quorumkeep", "null"]
    cases = [{"name": "local reads 300 B x64", "kind": "local", "clients": 64},
             {"name": "mix 9:1 300 B x64", "kind": "mix", "clients": 64},
             {"name": "bulk of 500, 300 B x4", "kind": "bulk", "clients": 4},
             {"name": "scan with bodies x1", "kind": "scan", "clients": 1},
             {"name": "changes with bodies x1", "kind": "changes", "clients": 1},
             {"name": "find without an index x1", "kind": "find", "clients": 1}]
    return [dict(case, systems=both, size=300, seconds=wish.seconds) for case in cases]


def table_of(table, cases, names, title):
    rows = []
    for case in cases:
        for name in names:
            if table.median(name, case["name"]) is None:
                continue
            rows.append([case["name"], name, span_text(table, name, case["name"])] +
                        [number_text(table.median(name, case["name"], f"ms.{share}")) for share in ("p50", "p99", "p999")] +
                        [number_text(table.median(name, case["name"], "cpu_us")),
                         number_text(table.median(name, case["name"], "own_cpu_us"))])
    print_table(title, ["case", "system", "documents/s: median (range)", "p50 ms", "p99 ms", "p99.9 ms",
                        "CPU us/request", "generator's"], rows)


class Etcd(peers.Etcd):
    """Another way to ask the processes of `whose`."""

    def __init__(self, name, whose, wire):
        self.name, self.whose, self.wire = name, whose, wire

    def run(self, kind, clients, size, seconds, rate=0, wire=None, **more):
        return self.whose.run(kind, clients, size, seconds, rate, wire=wire or self.wire, **more)

    def prepare(self, sizes):
        pass

    def stop(self):
        pass


class Spread:
    """The same cluster, its clients spread over all nodes."""

    def __init__(self, whose):
        self.name, self.whose = "quorumkeep-spread", whose

    def run(self, kind, clients, size, seconds, rate=0, **more):
        command = self.whose.command(kind, clients, size, seconds, rate, **more)
        nodes = ",".join(f"127.0.0.1:{node.http_port}" for node in self.whose.cluster)
        return peers.generate(command + ["--nodes", nodes], seconds, self.whose.environment())

    def prepare(self, sizes):
        pass

    def stop(self):
        pass


def start(wish, problems):
    wanted = [peers.Quorumkeep(), peers.Quorumkeep("null", daemon=peers.NULL), peers.Etcd("etcd")]
    if "peers" in wish.only:
        wanted += [peers.Etcd("etcd-tls", peer_tls=True), peers.Redis("redis"), peers.Pouch("pouchdb"),
                   peers.SqlCipher("sqlcipher")]
    running = {}
    for system in wanted:
        problem = system.missing() if hasattr(system, "missing") else None
        if problem is None:
            try:
                running[system.name] = system.start()
                continue
            except (peers.Refused, OSError, AssertionError) as error:
                problem = str(error)
        problems.append(f"{system.name} is left out: {problem}")
        say(problems[-1])
        system.stop()
    if "etcd" in running:
        running["etcd-streams"] = Etcd("etcd-streams", running["etcd"], "grpc:8")
        running["etcd-gateway"] = Etcd("etcd-gateway", running["etcd"], "gateway")
    running["quorumkeep-spread"] = Spread(running["quorumkeep"])
    return running


def check_null(running):
    """What is compared is what it is called: one of the two builds writes a document in clear, the other does not."""
    for name, in_clear in (("quorumkeep", False), ("null", True)):
        if name not in running:
            continue
        cluster = running[name].cluster
        marker = "seen-only-without-encryption"
        assert cluster[1].ask("PUT", "/marker").status == 201
        assert cluster[1].ask("PUT", "/marker/a", {"text": marker}).status == 201
        files = [path for node in cluster for path in node.data.rglob("*") if path.is_file()]
        found = any(marker.encode() in path.read_bytes() for path in files)
        assert found == in_clear, f"{name}: the document is {'' if found else 'not '}in clear on its disks"


def best_etcd(table, case):
    """etcd by its better way of asking: its figures under one name."""
    name = "etcd-streams" if (table.median("etcd-streams", case) or 0) > (table.median("etcd", case) or 0) else "etcd"
    for number, row in table.rows.get((name, case), {}).items():
        table.add("etcd-best", case, number, row)


def paced(table, running, wish):
    """At the same rate for both, half of what the slower one can: latencies from when each request
    was due, whatever the server did meanwhile."""
    cases = []
    for kind in ("put", "get"):
        name = f"{kind} 300 B x64"
        most = [table.median(system, name, "requests_per_s") for system in ("quorumkeep", "etcd-best")]
        rate = round(min(value for value in most if value) / 2) if any(most) else 0
        if rate:
            cases.append({"name": f"{kind} 300 B x64 at {rate}/s", "systems": ["quorumkeep", "etcd"], "kind": kind,
                          "clients": 64, "size": 300, "seconds": 2 * wish.seconds, "rate": rate})
    measure.rounds(table, running, cases, wish.rounds)
    table_of(table, cases, ["quorumkeep", "etcd"], "At one rate for both (latency from when a request was due)")
    return cases


def ratios(table, cases):
    rows = []
    for case in cases:
        name = case["name"]
        best_etcd(table, name)
        rows.append([name, ratio_text(table.ratio("quorumkeep", "etcd-best", name)),
                     ratio_text(table.ratio("quorumkeep", "etcd-best", name, "cpu_us")),
                     ratio_text(table.ratio("quorumkeep", "null", name)),
                     ratio_text(table.ratio("quorumkeep", "null", name, "cpu_us"))])
    print_table("Ratios within each round: median (range)",
                ["case", "documents/s / etcd", "CPU a request / etcd", "documents/s / no encryption",
                 "CPU a request / no encryption"], rows)


def run(wish, save):
    found = {"machine": machine(), "rounds": wish.rounds, "seconds_each": wish.seconds, "broken": [], "left_out": [],
             "life": [], "curves": []}
    say(f"{found['machine']['processor']}, {found['machine']['cores']} cores, load {found['machine']['load'][0]:.1f}")
    table = Table()
    if set(wish.only) & {"main", "peers", "more", "paced"}:
        throughput(wish, table, found)
    for part, name in ((life, "life"), (curves, "curves")):
        found["rows"], found["goals"] = table.dump(), goals.judge(table, found)
        save(found)  # hours of measuring do not go with what breaks later
        if name in wish.only:
            found[name] = part.run(wish, found)
    found["goals"] = goals.judge(table, found)
    goals.show(found["goals"])
    for (name, case), problem in table.problems.items():
        found["broken"].append(f"{name}, {case}: {problem}")
    for line in found["left_out"] + found["broken"]:
        say(f"NOTE {line}")
    return found


def throughput(wish, table, found):
    running = start(wish, found["left_out"])
    cases = main_cases(wish) if set(wish.only) & {"main", "paced"} else []
    others = peer_cases(wish) if "peers" in wish.only else []
    more = more_cases(wish) if "more" in wish.only else []
    try:
        check_null(running)
        for system in running.values():
            system.prepare(sorted({case["size"] for case in cases + others + more}))
        began = time.monotonic()
        measure.rounds(table, running, cases + others + more, wish.rounds)
        say(f"all rounds: {time.monotonic() - began:.0f} s")
        table_of(table, cases, MAIN, "Quorumkeep, the same without encryption, and etcd, three nodes each")
        if cases:
            ratios(table, cases)
        if others:
            table_of(table, others, others[0]["systems"], "Others")
        if more:
            table_of(table, more, ["quorumkeep", "null"], "Other requests")
        if "paced" in wish.only:
            found["paced"] = [case["name"] for case in paced(table, running, wish)]
    finally:
        for system in running.values():
            system.stop()
