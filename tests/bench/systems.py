"""The systems that are measured, each as a set of processes on loopback with data in one temporary
folder: Quorumkeep, the same without encryption (a benchmark-only build), etcd, redis, pouchdb-server
and SQLCipher. All load comes from the product's own generator, in `quorumkeep bench` or bench-peer.
"""
import atexit
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cluster"))
import cluster as qk  # noqa: E402

PEER = str(qk.BUILD / "tests" / "bench" / "bench-peer")
SQLCIPHER = str(qk.BUILD / "tests" / "bench" / "bench-sqlcipher")
NULL = str(qk.BUILD / "tests" / "bench" / "quorumkeepd-null")
ROOT = HERE.parent.parent


class Refused(Exception):
    """A run that gave no figures, with what it said."""


def generate(command, seconds, environment=None):
    """Runs a generator that prints rows of JSON; the last one."""
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120,
                             env={**os.environ, **(environment or {})})
    except subprocess.TimeoutExpired as late:
        raise Refused(f"{command[0]} did not end") from late
    if out.returncode != 0 or not out.stdout.strip():
        raise Refused((out.stderr or out.stdout).strip()[-300:] or f"exit {out.returncode}")
    return json.loads(out.stdout)[-1]


def wait_for(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise Refused(f"waited {seconds} s in vain for {what}")


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


class Quorumkeep:
    """Three nodes; clients ask the leader, as etcd's do below."""

    def __init__(self, name="quorumkeep", nodes=3, daemon=None, settings=None):
        self.name, self.daemon = name, daemon or qk.DAEMON
        self.cluster = qk.Cluster(nodes, settings)
        for node in self.cluster:
            node.daemon = self.daemon
        self.docs = 10000

    def start(self):
        self.cluster.up()
        reply = self.cluster[1].ask("POST", "/_quorumkeep/tokens", {"label": "bench", "ttl_s": 86400})
        assert reply.status == 201, reply
        self.token = reply.json["token"]
        return self

    def pids(self):
        return [node.process.pid for node in self.cluster if node.alive()]

    def command(self, kind, clients, size, seconds, rate=0, warm_up=0.5, docs=None, batch=500, node=None):
        node = node or self.cluster.leader() or self.cluster[1]
        # What reads all there is has a database that nothing else writes to.
        name = f"r{size}" if kind in ("scan", "changes", "find") else f"b{size}"
        command = [qk.CLI, "bench", kind, "--json", "--addr", f"127.0.0.1:{node.http_port}",
                   "--db", name, "--clients", str(clients), "--size", str(size), "--seconds", str(seconds),
                   "--warm-up", str(warm_up), "--docs", str(docs or self.docs), "--batch", str(batch),
                   "--pids", ",".join(map(str, self.pids()))]
        return command + (["--rate", str(rate)] if rate else [])

    def environment(self):
        return {"QUORUMKEEP_TOKEN": self.token}

    def run(self, kind, clients, size, seconds, rate=0, **more):
        for patience in range(20):
            try:
                return generate(self.command(kind, clients, size, seconds, rate, **more), seconds, self.environment())
            except Refused as problem:
                if "503" not in str(problem) or patience == 19:
                    raise
                time.sleep(0.5)  # between two leaders
        return None

    def prepare(self, sizes):
        for size in sizes:
            self.run("get", 1, size, 0.1, warm_up=0)

    def stop(self):
        self.cluster.down(sweep=False)


class Processes:
    """Programs of other projects, and their folder."""

    def __init__(self, name):
        self.name = name
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-"))
        self.processes = []
        self.docs = 10000
        self.filled = set()
        atexit.register(self.stop)

    def spawn(self, command, **more):
        log = open(self.folder / f"log{len(self.processes)}", "wb")
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                   cwd=self.folder, **more)
        self.processes.append(process)
        return process

    def pids(self):
        return [process.pid for process in self.processes]

    def peer(self, wire, kind, clients, size, seconds, rate=0, warm_up=0.5):
        command = [PEER, wire, kind, "--nodes", self.nodes(), "--clients", str(clients), "--size", str(size),
                   "--seconds", str(seconds), "--warm-up", str(warm_up), "--docs", str(self.docs),
                   "--pids", ",".join(map(str, self.pids()))]
        return generate(command + (["--rate", str(rate)] if rate else []), seconds)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Etcd(Processes):
    """Three nodes, gRPC to the leader: `streams` requests on a connection at the most."""

    def __init__(self, name="etcd", peer_tls=False):
        super().__init__(name)
        self.scheme = "https" if peer_tls else "http"
        self.tls = ["--peer-auto-tls"] if peer_tls else []

    @staticmethod
    def missing():
        return None if shutil.which("etcd") else "etcd is not installed: deploy/deps --bench"

    def start(self):
        self.ports = [(qk.free_port(), qk.free_port()) for _ in range(3)]
        names = ",".join(f"e{i}={self.scheme}://127.0.0.1:{peer}" for i, (_, peer) in enumerate(self.ports))
        for i, (client, peer) in enumerate(self.ports):
            self.spawn(["etcd", "--name", f"e{i}", "--data-dir", str(self.folder / f"e{i}"),
                        "--listen-client-urls", f"http://127.0.0.1:{client}",
                        "--advertise-client-urls", f"http://127.0.0.1:{client}",
                        "--listen-peer-urls", f"{self.scheme}://127.0.0.1:{peer}",
                        "--initial-advertise-peer-urls", f"{self.scheme}://127.0.0.1:{peer}",
                        "--initial-cluster", names, "--quota-backend-bytes", str(8 << 30), *self.tls])
        wait_for(lambda: self.leader() is not None, 30, "a leader of etcd")
        return self

    def leader(self):
        for client, _ in self.ports:
            status = post(f"http://127.0.0.1:{client}/v3/maintenance/status", {})
            if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                return client
        return None

    def nodes(self):
        return f"127.0.0.1:{self.leader()}"

    def fill(self, size):
        if size not in self.filled:
            self.filled = {size}  # keys are the same for every size
            self.peer("grpc:8", "fill", 64, size, 60)

    def run(self, kind, clients, size, seconds, rate=0, wire="grpc", **more):
        self.fill(size)
        return self.peer(wire, kind, clients, size, seconds, rate, **more)

    def prepare(self, sizes):
        self.fill(sizes[0])


class Redis(Processes):
    """One process, each write on the disk before its answer; nothing replicated or encrypted."""

    @staticmethod
    def missing():
        return None if shutil.which("redis-server") else "redis-server is not installed: deploy/deps --bench"

    def start(self):
        self.port = qk.free_port()
        self.spawn(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--appendonly", "yes",
                    "--appendfsync", "always", "--save", "", "--dir", str(self.folder)])
        wait_for(lambda: qk.socket.create_connection(("127.0.0.1", self.port), 1).close() is None, 20, "redis")
        return self

    def nodes(self):
        return f"127.0.0.1:{self.port}"

    def run(self, kind, clients, size, seconds, rate=0, **more):
        if size not in self.filled:
            self.filled = {size}
            self.peer("redis", "fill", 16, size, 60)
        return self.peer("redis", kind, clients, size, seconds, rate, **more)

    def prepare(self, sizes):
        pass


class Pouch(Processes):
    """pouchdb-server over LevelDB: CouchDB's interface, one process, nothing replicated."""

    PROGRAM = ROOT / "build" / "bench-npm" / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"

    @classmethod
    def missing(cls):
        return None if cls.PROGRAM.exists() and shutil.which("node") else \
            "pouchdb-server is not installed: deploy/deps --bench"

    def start(self):
        self.port = qk.free_port()
        self.spawn(["node", str(self.PROGRAM), "--port", str(self.port), "--host", "127.0.0.1", "--dir",
                    str(self.folder), "--no-stdout-logs"])
        wait_for(lambda: urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=2).status == 200, 30,
                 "pouchdb-server")
        return self

    def run(self, kind, clients, size, seconds, rate=0, warm_up=0.5):
        command = [qk.CLI, "bench", kind, "--json", "--addr", f"127.0.0.1:{self.port}", "--db", f"b{size}",
                   "--clients", str(clients), "--size", str(size), "--seconds", str(seconds), "--warm-up",
                   str(warm_up), "--docs", "1000", "--pids", ",".join(map(str, self.pids()))]
        return generate(command + (["--rate", str(rate)] if rate else []), seconds,
                        {"QUORUMKEEP_TOKEN": "", "QUORUMKEEP_USER": ""})

    def prepare(self, sizes):
        pass


class SqlCipher(Processes):
    """A library in the generator's own process: one client, nothing over a network."""

    @staticmethod
    def missing():
        return None

    def start(self):
        return self

    def run(self, kind, clients, size, seconds, **_):
        path = self.folder / f"{kind}{size}.db"
        return generate([SQLCIPHER, str(path), kind, "--size", str(size), "--docs", "10000", "--seconds",
                         str(seconds)], seconds)

    def prepare(self, sizes):
        pass
