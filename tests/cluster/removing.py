"""What the tests of removals and of the master key share: orders, what is pending, clients that write
meanwhile, and thieves with disks of several times."""
import json
import subprocess
import threading
import time

from cluster import BUILD, CLI, SLOW, Cluster

OFFLINE = str(BUILD / "tests" / "secrecy" / "offline")

DB = "/d"


def status(node):
    reply = node.control("GET", "/_quorumkeep/status")
    return reply.json if reply is not None and reply.status == 200 else {}


def names(node):
    return sorted(member["name"] for member in status(node).get("members", []))


def until(condition, seconds, what):
    end = time.monotonic() + seconds * SLOW
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
        except OSError as error:
            last = error
        if last and not isinstance(last, OSError):
            return last
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}: {last}")


def order(cluster, name, by=None):
    """`node remove`, by whoever can be asked."""
    def ask():
        for node in [by] if by else cluster:
            if node.alive() and node.name != name or by:
                reply = node.control("POST", f"/_quorumkeep/nodes/{name}/remove", {})
                if reply is not None and reply.status not in (503, 502):
                    return reply
        return None
    return until(ask, 20, "an answer to the removal")


def deal(cluster, skip=()):
    for node in cluster:
        if node.alive() and node.name not in skip:
            reply = node.control("GET", "/_quorumkeep/deal")
            if reply is not None and reply.status == 200:
                return reply.json
    return None


def missing(view):
    return [] if view is None else [member["name"] for member in view["missing"]]


def done(cluster, name, seconds=30, skip=()):
    def gone():
        view = deal(cluster, (name, *skip))
        return view is not None and view["removal"] is None and view["final"]
    try:
        until(gone, seconds, f"the removal of {name}")
    except AssertionError as error:
        logs = "\n".join(f"--- {n.name}\n{n.tail(12)}" for n in cluster)
        raise AssertionError(f"{error}\n{deal(cluster)}\n{logs}") from None
    for node in cluster:
        if node.alive() and node.name != name and node.name not in skip:
            until(lambda: name not in names(node), 10, f"{node.name} to forget {name}")
            node.wait_open()


def copied(node, what):
    """The data directory of a node, as a thief has it; the node may be running."""
    target = node.cluster.folder / "stolen" / f"{node.name}-{what}"
    target.mkdir(parents=True)
    for name in ("node.sec", "store.mdb"):
        last = None
        while last is None or last != (node.data / name).read_bytes():
            last = (node.data / name).read_bytes()
        (target / name).write_bytes(last)
        (target / name).chmod(0o600)
    return target


def offline(*folders):
    result = subprocess.run([OFFLINE, *map(str, folders)], capture_output=True, text=True, timeout=60)
    assert result.returncode in (0, 1), result.stderr
    return json.loads(result.stdout)


def thieves(cluster, removed, rest, expect_old=None):
    """Whatever was on disks that left, with any one disk of those who stay as it is now: nothing; the
    search is real: two of those who stay open all, and did so before with what left."""
    time.sleep(0.3 * SLOW)
    later = [copied(node, "now") for node in rest]
    if expect_old is not None:
        both = offline(removed[0], expect_old)
        assert both["mk"], both
    for one in later:
        # the deal record tried is the first folder's: each that left, and the one in force for all
        pairs = [[gone, one] for gone in removed] + [[one, gone] for gone in removed]
        for folders in [*pairs, [one, *removed]]:
            found = offline(*folders)
            assert not found["mk"] and found["opened"] == 0 and found["tried"] > 0, (folders, found)
    both = offline(later[0], later[1])
    assert both["mk"], both


class Writers:
    """Clients at every node given: each write is tried once and has to work; reads as well."""

    def __init__(self, nodes):
        self.nodes, self.errors, self.written = nodes, [], 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(node,), daemon=True) for node in nodes]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def run(self, node):
        at = 0
        while not self.stop.is_set():
            at += 1
            path = f"{DB}/{node.name}-{id(self)}-{at}"
            try:
                reply = node.ask("PUT", path, {"at": at})
                if reply.status != 201:
                    self.errors.append((path, reply))
                else:
                    self.written += 1
                reply = node.ask("GET", path)
                if reply.status != 200 or reply.json["at"] != at:
                    self.errors.append((path, reply))
            except Exception as error:  # noqa: every kind counts
                self.errors.append((path, error))
            time.sleep(0.005)


def cluster_of(n, settings=None):
    cluster = Cluster(n, settings).up()
    assert cluster[1].ask("PUT", DB).status == 201
    return cluster


def check_all(cluster, expected):
    for node in cluster:
        if node.alive() and node.up() == 200:
            rows = node.ask("GET", f"{DB}/_all_docs?include_docs=true", timeout=60).json
            assert "error" not in rows, rows
            assert len(rows["rows"]) >= expected, (node.name, len(rows["rows"]), expected)
            assert not [row for row in rows["rows"] if "error" in row]


def cli(node, *arguments):
    result = subprocess.run([CLI, *arguments, "--data", str(node.data)], capture_output=True, text=True,
                            timeout=120, stdin=subprocess.DEVNULL)
    return result.returncode, result.stdout, result.stderr
