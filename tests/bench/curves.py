"""How cost grows: with documents, with nodes, with the size of a document, with connections. Each curve
comes with its exponent, the slope on logarithmic axes: 0 is independent, 1 linear. Costs are processor
time where there is one to count, since that is what a shared machine can still measure."""
import http.client
import math
import re
import resource
import statistics
import time

import life
import systems
from measure import number_text, print_table, say


def exponent(points):
    points = [(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0]
    if len(points) < 2:
        return None
    middle_x, middle_y = statistics.mean(x for x, _ in points), statistics.mean(y for _, y in points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else None


class Curve:
    def __init__(self, title, x, y):
        self.title, self.x, self.y, self.series = title, x, y, {}

    def add(self, name, x, y):
        self.series.setdefault(name, []).append((x, y))

    def dump(self):
        return {"title": self.title, "x": self.x, "y": self.y,
                "series": {name: {"points": points, "exponent": exponent(points)} for name, points in self.series.items()}}

    def show(self):
        xs = sorted({x for points in self.series.values() for x, _ in points})
        rows = [[name] + [number_text(dict(points).get(x)) for x in xs] +
                ["-" if exponent(points) is None else f"{exponent(points):.2f}"] for name, points in self.series.items()]
        print_table(f"{self.title} ({self.y})", [self.x] + [f"{x:,}" for x in xs] + ["exponent"], rows)


def timed(node, method, path, body=None, times=15):
    """The median of a request, in ms, on one connection."""
    took = []
    for _ in range(times):
        began = time.monotonic()
        reply = node.ask(method, path, body, timeout=600)
        assert reply.status == 200, reply
        took.append((time.monotonic() - began) * 1000)
    return statistics.median(took)


def restarted(system):
    """(seconds from exec to open of all, ms from the last share to unsealed): kill -9 of all, then start."""
    cluster = system.cluster
    marks = {node.name: len(node.log.read_text(errors="replace")) for node in cluster}
    for node in cluster:
        node.end()
    began = time.monotonic()
    for node in cluster:
        node.start(wait=False)
    for node in cluster:
        node.wait_open(120)
    took = time.monotonic() - began
    said = [re.search(r"unsealed ([\d.]+) ms after", node.log.read_text(errors="replace")[marks[node.name]:])
            for node in cluster]
    return took, statistics.median(float(one[1]) for one in said if one)


def with_documents(wish):
    cost = Curve("As documents grow, CPU a request over three nodes", "documents", "us")
    wall = Curve("As documents grow, a request or a start", "documents", "ms")
    size = Curve("As documents grow, memory and disk", "documents", "MB a node")
    system = systems.Quorumkeep()
    try:
        system.start()
        docs = 1000 if wish.quick else 10000
        while docs <= wish.documents_max:
            began = time.monotonic()
            system.docs = docs
            system.run("get", 1, 300, 0.1, warm_up=0, docs=docs)
            say(f"  {docs:,} documents written in {time.monotonic() - began:.0f} s")
            for kind, name, batch in (("get", "get", 1), ("put", "put", 1), ("scan", "a page of 100", 100)):
                cost.add(name, docs, system.run(kind, 8, 300, wish.seconds, batch=batch)["cpu_us"])
            leader = system.cluster[1].wait(system.cluster.leader, 20, "a leader")
            if docs == (1000 if wish.quick else 10000):
                reply = leader.ask("POST", "/b300/_index", {"index": {"fields": ["v"]}, "name": "v", "ddoc": "v"})
                assert reply.status == 200, reply
            wanted = leader.ask("GET", "/b300/_all_docs?limit=1&include_docs=true").json["rows"][0]["doc"].get("v", "")
            find = {"selector": {"v": {"$gt": wanted + "~"}}, "limit": 1, "use_index": "v"}
            leader.ask("POST", "/b300/_find", find, timeout=900)  # builds what is not indexed yet
            wall.add("find by an index", docs, timed(leader, "POST", "/b300/_find", find))
            wall.add("get", docs, timed(leader, "GET", "/b300/" + key_of(0)))
            size.add("memory, with the index", docs, life.all_rss(system.cluster))
            starts = [restarted(system) for _ in range(1 if wish.quick else 3)]
            wall.add("restart of all to open", docs, statistics.median(took for took, _ in starts) * 1000)
            wall.add("last share to unsealed", docs, statistics.median(unseal for _, unseal in starts))
            size.add("memory after the restart", docs, life.all_rss(system.cluster))
            size.add("store.mdb", docs, (system.cluster[1].data / "store.mdb").stat().st_blocks * 512 / 1e6)
            docs *= 10
    finally:
        system.stop()
    return [cost, wall, size]


def key_of(i):
    """The generator's i-th key: splitmix64."""
    mask = (1 << 64) - 1
    i = (i + 0x9E3779B97F4A7C15) & mask
    i = ((i ^ (i >> 30)) * 0xBF58476D1CE4E5B9) & mask
    i = ((i ^ (i >> 27)) * 0x94D049BB133111EB) & mask
    return f"{i ^ (i >> 31):016x}"


def with_nodes(wish):
    cost = Curve("As nodes grow, CPU a request over all nodes", "nodes", "us")
    latency = Curve("As nodes grow, p50 of one client", "nodes", "ms")
    for nodes in (1, 3) if wish.quick else (1, 2, 3, 5, 7):
        system = systems.Quorumkeep(nodes=nodes)
        try:
            system.start()
            system.docs = 500
            for kind in ("put", "get"):
                cost.add(kind, nodes, system.run(kind, 16, 300, wish.seconds)["cpu_us"])
                latency.add(kind, nodes, system.run(kind, 1, 300, wish.seconds)["ms"]["p50"])
        finally:
            system.stop()
    return [cost, latency]


def with_size(wish):
    cost = Curve("As a document grows, CPU a request over three nodes", "bytes", "us")
    system = systems.Quorumkeep()
    try:
        system.start()
        system.docs = 500
        for size in (100, 10000) if wish.quick else (100, 1000, 10000, 100000, 1 << 20):
            # 500 of 1 MiB are 500 MiB: fewer keys would all be in the processor's caches.
            system.docs = 500 if size < 100000 else 100
            for kind in ("put", "get"):
                row = system.run(kind, 4, size, wish.seconds, batch=10)
                cost.add(kind, size, row["cpu_us"])
    finally:
        system.stop()
    return [cost]


def with_connections(wish):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cost = Curve("As connections grow, CPU a request over three nodes", "connections that ask at once", "us")
    memory = Curve("As connections grow, memory of the node that they are at", "connections", "MB")
    system = systems.Quorumkeep()
    try:
        system.start()
        system.docs = 500
        system.run("get", 1, 300, 0.1, warm_up=0)
        for count in (1, 100) if wish.quick else (1, 10, 100, 1000, 9900):
            if count + 100 > hard:
                say(f"  {count:,} connections are left out: this machine permits {hard:,} open files")
                continue
            leader = system.cluster[1].wait(system.cluster.leader, 20, "a leader")
            row = system.run("get", count, 300, wish.seconds)
            cost.add("get", count, row["cpu_us"])
            memory.add("afterwards", count, life.rss_mb(leader.process.pid, leader.data))
    finally:
        system.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return [cost, memory]


def run(wish, found):
    curves = []
    for part in (with_size, with_nodes, with_connections, with_documents):
        began = time.monotonic()
        try:
            curves += part(wish)
        except (systems.Refused, AssertionError, OSError, http.client.HTTPException, KeyError) as problem:
            found["broken"].append(f"{part.__name__}: {problem!r}"[:400])
        say(f"{part.__name__.replace('_', ' ')}: {time.monotonic() - began:.0f} s")
    for curve in curves:
        curve.show()
    return [curve.dump() for curve in curves]
