"""Copies of data directories, and what tests/secrecy/thief opens with them."""
import http.client
import json
import shutil
import subprocess
import time

from cluster import BUILD, CLI, SLOW

UNPACK = str(BUILD / "tests" / "secrecy" / "unpack")
THIEF = str(BUILD / "tests" / "secrecy" / "thief")


def copied(node, label):
    """node.sec and store.mdb, taken when two readings in a row are equal: the node may be running."""
    target = node.cluster.folder / "stolen" / f"{node.name}-{label}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("node.sec", "store.mdb"):
        last = None
        while last is None or last != (node.data / name).read_bytes():
            last = (node.data / name).read_bytes()
            time.sleep(0.1)
        (target / name).write_bytes(last)
        (target / name).chmod(0o600)
    return target


def backed_up(node, label):
    """The store that a real backup of the cluster holds, taken now by this node."""
    target = node.cluster.folder / "stolen" / f"{node.name}-{label}-backup"
    target.mkdir(parents=True)
    file = target / "file.qkbackup"
    for command in ([CLI, "backup", "save", str(file), "--data", str(node.data)], [UNPACK, str(target), str(file)]):
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, (command, result.stdout, result.stderr)
    return target


def directory_of(node, label):
    """The whole directory of a node that has ended."""
    assert not node.alive()
    target = node.cluster.folder / "stolen" / f"{node.name}-{label}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(node.data, target, ignore=shutil.ignore_patterns("*.sock"))
    return target


def thief(**given):
    """disk, keys, store, mk: paths or lists of them; mk_out: a path. What it prints."""
    arguments = []
    for name, paths in given.items():
        for path in paths if isinstance(paths, (list, tuple)) else [paths]:
            arguments += ["--" + name.replace("_", "-"), str(path)]
    result = subprocess.run([THIEF, *arguments], capture_output=True, text=True, timeout=300)
    assert result.returncode in (0, 1), result.stderr
    return json.loads(result.stdout)


def until(condition, seconds, what):
    end = time.monotonic() + seconds * SLOW
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
        except (OSError, http.client.HTTPException) as error:
            last = error
        if last and not isinstance(last, Exception):
            return last
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}: {last}")


def control(node, method, path, body=None):
    """None also where the node dies over it."""
    try:
        return node.control(method, path, body)
    except (OSError, http.client.HTTPException):
        return None


def status(node):
    reply = control(node, "GET", "/_quorumkeep/status")
    return reply.json if reply is not None and reply.status == 200 else {}


def audit(node):
    lines = (node.data / "audit.log").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def ask_leader(cluster, path, body=None, skip=()):
    """An order to whichever node answers for the cluster."""
    def ask():
        for node in cluster:
            if node.alive() and node.name not in skip:
                reply = control(node, "POST", path, body or {})
                if reply is not None and reply.status not in (502, 503):
                    return reply
        return None
    return until(ask, 20, f"an answer to {path}")


def names(node):
    return sorted(member["name"] for member in status(node).get("members", []))


def settled(cluster, without=(), seconds=40):
    """No removal is under way, the deal is final, every node that runs is open and agrees."""
    def look():
        running = [node for node in cluster if node.alive() and node.name not in without]
        for node in running:
            view = control(node, "GET", "/_quorumkeep/deal")
            if view is None or view.status != 200 or view.json.get("removal") or not view.json["final"]:
                return None
            if set(names(node)) & set(without) or node.up() != 200:
                return None
        return running
    return until(look, seconds, "the cluster to settle")


def remove(cluster, node, reencrypt=True, skip=()):
    reply = ask_leader(cluster, f"/_quorumkeep/nodes/{node.name}/remove", {"reencrypt": reencrypt},
                       skip=(node.name, *skip))
    assert reply.status == 200, reply
    settled(cluster, without=(node.name, *skip))


def reencrypted(node, seconds=60):
    """The round has ended; what it said at last."""
    def done():
        progress = status(node).get("reencrypt")
        return progress if progress and progress["state"] == "done" else None
    return until(done, seconds, "the end of the re-encryption")


def put_docs(node, prefix, n, database="/d"):
    docs = [{"_id": f"{prefix}{i}", "text": f"body {i}"} for i in range(n)]
    for start in range(0, n, 1000):
        reply = node.ask("POST", f"{database}/_bulk_docs", {"docs": docs[start:start + 1000]}, timeout=60)
        assert reply.status == 201 and all(row.get("ok") for row in reply.json), reply
