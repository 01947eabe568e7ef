"""What happens in the life of a cluster: reboots, fail-overs, rotations, re-encryption, snapshots, and
the memory that it takes. Each figure is a median of `repeats`, with how it was found."""
import http.client
import pathlib
import re
import statistics
import threading
import time

import systems
from measure import number_text, print_table

REENCRYPT_DOCS = 100000
FAST = {"consensus": {"election_timeout_ms": "300", "heartbeat_ms": "60"}}


class Findings:
    def __init__(self, found):
        self.rows, self.broken = [], found["broken"]

    def add(self, name, title, values, unit, how):
        values = values if isinstance(values, list) else [values]
        spread = "" if len(values) == 1 else f" ({number_text(min(values))}..{number_text(max(values))}, {len(values)} times)"
        self.rows.append({"name": name, "title": title, "value": statistics.median(values), "unit": unit, "values": values,
                          "how": how + spread})

    def attempt(self, what, act, *arguments):
        """One part that fails is said, and the rest goes on."""
        try:
            act(self, *arguments)
        except (systems.Refused, AssertionError, OSError, http.client.HTTPException, KeyError, IndexError) as problem:
            self.broken.append(f"{what}: {problem!r}"[:400])


def first_write(nodes, path):
    """Until a new document is acknowledged by one of `nodes`, asked in turn."""
    number, end = 0, time.monotonic() + 60
    while time.monotonic() < end:
        for node in nodes:
            number += 1
            try:
                if node.ask("PUT", f"{path}-{number}", {"n": number}, timeout=5).status == 201:
                    return
            except (OSError, http.client.HTTPException):
                pass
        time.sleep(0.002)
    raise systems.Refused("no write was acknowledged within 60 s")


def rss_mb(pid, folder):
    """Resident memory without the map of the store's file, which is the kernel's cache."""
    total, counts = 0, True
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            counts = str(folder) not in line
        elif line.startswith("Rss:") and counts:
            total += int(line.split()[1])
    return total / 1024


def all_rss(cluster):
    return statistics.median(rss_mb(node.process.pid, node.data) for node in cluster if node.alive())


def reboots(findings, system, repeats):
    cluster, writes, shares = system.cluster, [], []
    for number in range(repeats):
        for node in cluster:
            node.end()
        marks = {node.name: len(node.log.read_text(errors="replace")) for node in cluster}
        cluster[1].start()
        time.sleep(0.3)
        began = time.monotonic()
        cluster[2].start(wait=False)
        first_write([cluster[2]], f"/b300/reboot{number}")
        writes.append(time.monotonic() - began)
        for node in (cluster[1], cluster[2]):
            said = re.search(r"unsealed ([\d.]+) ms after", node.log.read_text(errors="replace")[marks[node.name]:])
            shares += [float(said[1])] if said else []
        cluster[3].start()
        for node in cluster:
            node.wait_open()
    findings.add("reboot_write_s", "second node's exec to first acknowledged write", writes, "s",
                 f"kill -9 of all three with {system.docs:,} documents, then two start")
    findings.add("share_ms", "last share to unsealed", shares, "ms", "the node's own log line at these starts")


def failovers(findings, system, repeats, name, title):
    cluster, took = system.cluster, []
    for number in range(repeats):
        leader = cluster[1].wait(cluster.leader, 20, "a leader")
        others = [node for node in cluster if node is not leader]
        for node in others:
            node.ask("GET", "/")  # its connection and login are not what is measured
        began = time.monotonic()
        leader.process.kill()
        first_write(others, f"/b300/{name}{number}")
        took.append(time.monotonic() - began)
        leader.end()
        leader.start()
        leader.wait_open()
    findings.add(name, title, took, "s", "kill -9 of the leader to the first acknowledged write at another")


def rotations(findings, system, repeats):
    took = []
    for _ in range(repeats):
        leader = system.cluster[1].wait(system.cluster.leader, 20, "a leader")

        def deal(leader=leader):
            return leader.control("GET", "/_quorumkeep/status").json["deal"]
        before = deal()["mk_version"]
        for _ in range(100):  # the one before may be final here and not yet everywhere
            began = time.monotonic()
            reply = leader.control("POST", "/_quorumkeep/master/rotate", {})
            if reply.status not in (409, 503):
                break
            time.sleep(0.1)
        assert reply.status == 200, reply
        leader.wait(lambda: deal()["final"] and deal()["mk_version"] == before + 1, 60, "the deal")
        took.append(time.monotonic() - began)
    findings.add("rotation_s", "rotation of the master key", took, "s",
                 f"order to final on the leader, {system.docs:,} documents")


class Paced(threading.Thread):
    """Writes at a fixed rate while something else goes on."""

    def __init__(self, system, rate, seconds):
        super().__init__(daemon=True)
        self.system, self.rate, self.seconds, self.row = system, rate, seconds, None
        self.start()

    def run(self):
        try:
            self.row = self.system.run("put", 16, 300, self.seconds, self.rate, warm_up=0)
        except systems.Refused as problem:
            self.row = {"ms": {"p99": float("nan")}, "failed": 1, "problem": str(problem)}

    def p99(self):
        self.join()
        return self.row["ms"]["p99"]


def reencrypt(leader, writer=None):
    """A new version and everything sealed again under it: (seconds, records), and of these what fell into the
    time in which `writer` wrote: not the order, nor the last look."""
    def progress():
        return leader.control("GET", "/_quorumkeep/status").json.get("reencrypt") or {"round": 0, "state": "", "done": 0}
    before, began, seen = progress()["round"], time.monotonic(), []
    reply = leader.ask("POST", "/_quorumkeep/keys/default/rotate", {"reencrypt": True})
    assert reply.status == 200, reply
    while time.monotonic() < began + 600:
        now = progress()
        if now["round"] > before and now["done"] > 0:
            if now["state"] == "done":
                whole = (time.monotonic() - began, now["done"])
                return whole, (seen[-1][0] - seen[0][0], seen[-1][1] - seen[0][1]) if len(seen) > 1 else whole
            if writer is not None and writer.is_alive():
                seen.append((time.monotonic(), now["done"]))
        time.sleep(0.02)
    raise systems.Refused(f"the re-encryption did not end: {now}")


def reencryption(findings, system, rate):
    """Twice: while nothing else goes on, which the goal is about, and beside writers, which it must not disturb."""
    leader = system.cluster[1].wait(system.cluster.leader, 20, "a leader")
    system.docs = max(system.docs, REENCRYPT_DOCS)  # so many that the order's own time is little
    system.run("get", 1, 300, 0.1, warm_up=0)
    time.sleep(1)
    (took, records), _ = reencrypt(leader)
    findings.add("reencrypt_million_s", "re-encryption of a million documents", took * 1e6 / records, "s",
                 f"nothing else going on: {records:,} records took {took:.2f} s; in proportion")
    for node in system.cluster:  # each copies its file after a round
        node.wait(lambda log=node.log: "store.mdb was compacted" in log.read_text(errors="replace"), 60, "the compaction")
    quiet = Paced(system, rate, 5).p99()
    writer = Paced(system, rate, 5)
    time.sleep(0.3)
    _, (took, records) = reencrypt(leader, writer)
    findings.add("reencrypt_beside_million_s", "the same beside writers", took * 1e6 / records, "s",
                 f"beside {rate} writes/s: {records:,} records took {took:.2f} s of theirs; in proportion")
    findings.add("p99_quiet_ms", f"p99 of {rate} writes/s", quiet, "ms", "from when each was due, 16 clients")
    findings.add("p99_reencrypt_ms", "p99 during re-encryption", writer.p99(), "ms", "the same rate")
    findings.add("p99_reencrypt_ratio", "p99 of writes, during re-encryption / before", writer.p99() / quiet, "", "of these two")


def join(system, number):
    """A blank node takes the whole store: (bytes, seconds) by its own log."""
    cluster = system.cluster
    leader = cluster[1].wait(cluster.leader, 20, "a leader")
    node = cluster.add(number)
    node.daemon = system.daemon
    node.start()
    cluster.join(node, leader)
    text = node.log.read_text(errors="replace")
    staged = re.search(r"T(\d+):(\d+):([\d.]+)Z.*of (\d+) bytes is staged", text)
    began = re.search(r"T(\d+):(\d+):([\d.]+)Z.*receiving a snapshot", text)
    assert staged and began, "the blank node was brought up by the log alone"

    def at(match):
        return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    return int(staged[4]), max(at(staged) - at(began), 1e-3)


def joining(findings, system, rate):
    """Once while nothing else goes on, which the goal is about, and once beside writers: then it is paced."""
    size, took = join(system, 4)
    findings.add("snapshot_mb_s", "snapshot to a blank node", size / 1e6 / took, "MB/s",
                 f"nothing else going on: {size / 1e6:.0f} MB, from the blank node's log")
    writer = Paced(system, rate, 4)
    size, took = join(system, 5)
    findings.add("snapshot_beside_mb_s", "the same beside writers", size / 1e6 / took, "MB/s",
                 f"{size / 1e6:.0f} MB, beside {rate} writes/s")
    findings.add("p99_snapshot_ms", "p99 during a join with a snapshot", writer.p99(), "ms", f"{rate} writes/s")


def catching_up(findings, system, docs):
    """A follower misses `docs` documents and applies them from the log."""
    cluster = system.cluster
    leader = cluster[1].wait(cluster.leader, 20, "a leader")
    away = next(node for node in cluster if node is not leader and node.number < 4)

    def count(node):
        reply = node.ask("GET", "/b300?consistency=local")
        return reply.json.get("doc_count", 0) if reply.status == 200 else 0
    leader.wait(lambda: count(away) == count(leader), 20, "a quiet start")
    before = count(leader)
    away.end()
    system.run("bulk", 1, 300, max(docs / 5000, 1), warm_up=0)
    wanted = count(leader)
    began = time.monotonic()
    away.start(wait=False)
    away.wait(lambda: count(away) >= wanted, 300, "all documents")
    took = time.monotonic() - began
    findings.add("catch_up_per_s", "catch-up of a follower from the log", (wanted - before) / took, "documents/s",
                 f"{wanted - before:,} documents in {took:.2f} s from its exec, opening included")


def connections(findings, system, count):
    cluster = system.cluster
    leader = cluster[1].wait(cluster.leader, 20, "a leader")
    before = rss_mb(leader.process.pid, leader.data)
    held = []
    try:
        for _ in range(count):
            one = http.client.HTTPConnection("127.0.0.1", leader.http_port, timeout=20)
            one.request("GET", "/_up")
            one.getresponse().read()
            held.append(one)
        findings.add("rss_connections_mb", f"memory of {count:,} connections", rss_mb(leader.process.pid, leader.data) - before,
                     "MB", "each had one request and waits")
    finally:
        for one in held:
            one.close()


def run(wish, found):
    findings = Findings(found)
    docs, repeats, rate = (20000, 2, 200) if wish.quick else (100000, 5, 500)
    system = systems.Quorumkeep(settings={"consensus": {"log_keep_mib": "8" if wish.quick else "32"}})
    try:
        system.start()
        time.sleep(2)
        findings.add("rss_idle_mb", "memory of an idle node", all_rss(system.cluster), "MB",
                     "resident, the store's map excluded; median of three nodes")
        findings.attempt("connections", connections, system, 1000)
        system.docs = docs
        system.run("get", 1, 300, 0.1, warm_up=0)
        time.sleep(2)
        findings.add("rss_documents_mb", f"memory after {docs:,} documents", all_rss(system.cluster), "MB", "the same")
        store = (system.cluster[1].data / "store.mdb").stat().st_blocks * 512
        findings.add("disk_per_document", "disk a document of 300 bytes", store / docs, "bytes", "store.mdb; the log is trimmed")
        findings.attempt("rotations", rotations, system, repeats)
        findings.attempt("re-encryption", reencryption, system, rate)
        findings.attempt("catch-up", catching_up, system, docs // 4)
        findings.attempt("reboots", reboots, system, repeats)
        findings.attempt("fail-over", failovers, system, repeats, "failover_s", "fail-over, default timeouts")
        findings.attempt("join", joining, system, rate)
    finally:
        system.stop()
    fast = systems.Quorumkeep(settings=FAST)
    try:
        fast.start()
        fast.docs = 500
        fast.run("get", 1, 300, 0.1, warm_up=0)
        findings.attempt("fast fail-over", failovers, fast, repeats, "failover_fast_s",
                         "fail-over, election_timeout_ms 300, heartbeat_ms 60")
    finally:
        fast.stop()
    print_table("In the life of a cluster", ["what", "found", "unit", "how"],
                [[row["title"], number_text(row["value"]), row["unit"], row["how"]] for row in findings.rows])
    return findings.rows
