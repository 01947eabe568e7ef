#!/usr/bin/env python3
"""A short load on a node built with ThreadSanitizer, for tests/lanes/tsan-node.

Each part keeps threads besides the loop at work while others write: the disk's and the store's
writer, the pool (logins, large bodies, streams of attachments, backups, the check of the store, the
audit log). Counted is what the tool said in the
node's log; a part that does not work fails, too. One node, since the tool is so slow that several lose each other."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))
from cluster import CLI, Cluster, say  # noqa: E402

WRITERS, WRITES = 6, 40
TIMEOUT = 120  # seconds: the tool makes all of it ten times slower
LARGE = os.urandom(3 << 20)
REPORT = re.compile(r"^SUMMARY: ThreadSanitizer: .*$", re.M)


def ok(node, method, path, body=None, headers=None, status=(200, 201, 202), auth=True):
    reply = node.ask(method, path, body, headers, auth, timeout=TIMEOUT)
    assert reply.status in status, (method, path, reply)
    return reply.json


def write_some(node, number):
    for i in range(WRITES):
        rev = ok(node, "PUT", f"/db/w{number}-{i}", {"n": i, "text": "x" * 200 * (i % 9)})["rev"]
        if i % 5 == 0:
            ok(node, "DELETE", f"/db/w{number}-{i}?rev={rev}")
        if i % 8 == 0:
            ok(node, "GET", f"/db/w{number}-{i}", status=(200, 404))


def follow(node, number):
    since = 0
    for _ in range(12):
        told = ok(node, "GET", f"/db/_changes?feed=longpoll&timeout=500&limit=50&since={since}")
        since = told["last_seq"]


def log_in(node, number):
    for i in range(4):
        wrong = "admin:wrong" if i % 2 else "nobody:at-all"
        ok(node, "GET", "/db", auth=wrong, status=(401, 429))
        ok(node, "POST", "/_quorumkeep/users", {"name": f"u{number}-{i}", "password": "a password"})
        ok(node, "GET", "/_session", auth=f"u{number}-{i}:a password")


def send_large(node, number):
    for i in range(3):
        ok(node, "PUT", f"/db/big{number}-{i}/a", LARGE, {"Content-Type": "application/octet-stream"})
        got = node.ask("GET", f"/db/big{number}-{i}/a", timeout=TIMEOUT)
        assert got.status == 200 and got.body == LARGE, got.status
        docs = [{"_id": f"b{number}-{i}-{j}", "n": j, "fill": "y" * 500} for j in range(200)]
        ok(node, "POST", "/db/_bulk_docs", {"docs": docs})
        ok(node, "POST", "/db/_find", {"selector": {"n": {"$gt": 3}}, "limit": 20})
        ok(node, "GET", "/db/_design/q/_view/by_n?limit=20")


def look_after(node, number):
    for i in range(2):
        path = node.cluster.folder / f"{node.name}-{number}-{i}.qkbackup"
        subprocess.run([CLI, "backup", "save", path, "--data", node.data], check=True, timeout=TIMEOUT,
                       stdout=subprocess.DEVNULL)
        told = node.control("POST", "/_quorumkeep/verify", {}, timeout=TIMEOUT)
        assert told.status in (200, 202), told
        ok(node, "GET", "/_quorumkeep/audit")
        ok(node, "POST", "/_quorumkeep/keys", {"name": f"k{number}-{i}"})
        ok(node, "POST", f"/_quorumkeep/keys/k{number}-{i}/rotate", {})


def at_once(node, parts):
    failed = []

    def guarded(part, node, number):
        try:
            part(node, number)
        except BaseException as error:  # told below, with the part's name
            failed.append(f"{part.__name__}: {error!r}")

    threads = [threading.Thread(target=guarded, args=(part, node, number))
               for number, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def main():
    cluster = Cluster(1).up()
    node = cluster[1]
    ok(node, "PUT", "/db")
    ok(node, "PUT", "/db/_design/q", {"language": "query", "views": {"by_n": {"map": {"fields": "n"}}}})
    at_once(node, [write_some] * WRITERS + [follow, follow, log_in, log_in, send_large, send_large, look_after])
    documents = ok(node, "GET", "/db")["doc_count"]
    status = node.end(signal.SIGTERM)
    log = node.log.read_text(errors="replace")
    reports = REPORT.findall(log)
    for line in sorted(set(reports)):
        say(f"{reports.count(line)} times {line}")
    pathlib.Path("build/tsan-node.log").write_text(log)
    cluster.down(sweep=False)
    say(f"{documents} documents, ended with {status}, {len(reports)} reports (build/tsan-node.log)")
    sys.exit(1 if reports or status else 0)


main()
