"""Real quorumkeepd processes on loopback for the tests of this folder.

A test makes a Cluster in a temporary directory, with ports that nobody has, and ends every process
it started, by its pid. Standard library only.
"""
import atexit
import base64
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import sweeping

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("QUORUMKEEP_BUILD", ROOT / "build" / "release"))
DAEMON = str(BUILD / "src" / "node" / "quorumkeepd")
CLI = str(BUILD / "src" / "cli" / "quorumkeep")
SWEEP = str(BUILD / "tests" / "secrecy" / "sweep")
SLOW = int(os.environ.get("QUORUMKEEP_SLOW", "1"))  # a sanitized build waits longer


def say(text):
    print(text, flush=True)


PORTS = range(10000, 32000)  # below those that the kernel gives to outgoing connections
ports_given = set()


def free_port():
    """Nobody's now, and nobody's by chance later, when the node starts or starts again."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports_given:
            ports_given.add(port)
            return port


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        # A socket path holds 107 bytes at the most: go by the open directory where it is longer.
        if len(self.path) < 100:
            self.sock.connect(self.path)
            return
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(self.path)}")
        finally:
            os.close(folder)


class Node:
    def __init__(self, cluster, number, settings=None):
        self.cluster, self.number, self.name = cluster, number, f"n{number}"
        self.data = cluster.folder / self.name
        self.log = cluster.folder / f"{self.name}.log"
        self.http_port, self.peer_port = free_port(), free_port()
        self.settings = {"node": {"name": self.name, "data": str(self.data)},
                         "http": {"listen": f"127.0.0.1:{self.http_port}"},
                         "peer": {"listen": f"127.0.0.1:{self.peer_port}"}}
        for section, values in (settings or {}).items():
            self.settings.setdefault(section, {}).update(values)
        self.daemon = DAEMON
        self.environment = None
        self.process = None
        self.threads = threading.local()

    def configure(self):
        lines = []
        for section, values in self.settings.items():
            lines.append(f"[{section}]")
            lines += [f"{name} = {value}" for name, value in values.items()]
        path = self.cluster.folder / f"{self.name}.ini"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def start(self, wait=True):
        assert self.process is None or self.process.poll() is not None
        self.data.mkdir(mode=0o700, exist_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.daemon, "--config", self.configure()], stdout=log,
                                            stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment)
        if wait:
            self.wait(lambda: self.control("GET", "/_up") is not None, 20, "its control socket")
        return self

    def end(self, how=signal.SIGKILL):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"{self.name} did not stop on signal {how}")
        return None if self.process is None else self.process.returncode

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def _ask(self, connection, method, path, body, headers, keep=False):
        told = body
        try:
            if isinstance(body, (dict, list, int)):
                body = json.dumps(body)
                headers = {"Content-Type": "application/json", **headers}
            elif method != "GET" and path.startswith("/_quorumkeep/"):
                headers = {"Content-Type": "application/json", **headers}
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            reply = Reply(answer.status, answer.headers, answer.read())
            sweeping.note(self.cluster.texts, told, headers, reply)
            keep = keep and not answer.will_close
            return reply
        except BaseException:
            keep = False
            raise
        finally:
            if not keep:
                connection.close()  # http.client dials anew when it is used again

    def _kept(self, timeout):
        """This thread's connection to this process of the node: a password is checked once a
        connection, at the price of an argon2id."""
        if not hasattr(self.threads, "kept") or self.threads.pid != self.process.pid:
            self.threads.kept = http.client.HTTPConnection("127.0.0.1", self.http_port)
            self.threads.pid = self.process.pid
        kept = self.threads.kept
        kept.timeout = timeout
        if kept.sock is not None:
            kept.sock.settimeout(timeout)
        return kept

    def control(self, method, path, body=None, timeout=60):
        """Over the control socket; None while there is none."""
        try:
            return self._ask(UnixConnection(str(self.data / "control.sock"), timeout), method, path,
                             body, {})
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def ask(self, method, path, body=None, headers=None, auth=True, timeout=30):
        """Over the client address, as the admin. Raises OSError where the node is gone."""
        headers = dict(headers or {})
        keep = auth is True
        if auth is True:
            auth = self.cluster.auth
        if auth:
            headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
        connection = (self._kept(timeout) if keep else
                      http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout))
        return self._ask(connection, method, path, body, headers, keep)

    def up(self):
        """The status of /_up, or 0 where nobody answers."""
        try:
            return self.ask("GET", "/_up", auth=False, timeout=5).status
        except (OSError, http.client.HTTPException):
            return 0

    def wait(self, condition, seconds, what):
        end = time.monotonic() + seconds * SLOW
        last = None
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode} while waiting "
                                     f"for {what}:\n{self.tail()}")
            try:
                last = condition()
                if last:
                    return last
            except (OSError, http.client.HTTPException) as error:
                last = error
            time.sleep(0.01)
        raise AssertionError(f"{self.name}: waited {seconds} s in vain for {what} ({last}):\n{self.tail()}")

    def wait_open(self, seconds=20):
        return self.wait(lambda: self.up() == 200, seconds, "being unsealed")

    def tail(self, lines=25):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def rss_kib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        return 0


class Cluster:
    all = []

    def __init__(self, nodes=3, settings=None, keep=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="qk-"))
        self.keep = keep or bool(os.environ.get("QUORUMKEEP_KEEP"))
        self.settings = settings
        self.nodes = {}
        self.auth = None
        self.texts, self.exempt, self.report, self.sweep_mib = {}, [], None, None
        Cluster.all.append(self)
        for number in range(1, nodes + 1):
            self.add(number)
        atexit.register(self.down, sweep=False)

    def add(self, number):
        node = Node(self, number, self.settings)
        self.nodes[number] = node
        return node

    def __getitem__(self, number):
        return self.nodes[number]

    def __iter__(self):
        return iter(self.nodes.values())

    def init(self, **body):
        self[1].start()
        reply = self[1].control("POST", "/_quorumkeep/init", body)
        assert reply.status in (200, 201), reply
        self.secrets = reply.json
        self.auth = f"{self.secrets['admin_user']}:{self.secrets['admin_password']}"
        return self

    def invite(self, member, **body):
        reply = member.control("POST", "/_quorumkeep/invite", body)
        assert reply.status in (200, 201), reply
        return reply.json["token"]

    def join(self, node, by=None):
        by = by or self[1]
        if not node.alive():
            node.start()
        reply = node.control("POST", "/_quorumkeep/join", {"token": self.invite(by)}, timeout=120)
        assert reply.status == 200 and b'"error"' not in reply.body, f"{reply}\n{node.tail()}\n{by.tail()}"
        node.wait_open(30)
        return node

    def up(self):
        self.init()
        for node in list(self)[1:]:
            self.join(node)
        for node in self:
            node.wait_open()
        return self

    def leader(self):
        for node in self:
            if not node.alive():
                continue
            try:
                reply = node.control("GET", "/_quorumkeep/status", timeout=5)
            except (OSError, http.client.HTTPException):
                continue  # stopped, or too busy to answer: it leads nobody
            if reply is not None and reply.status == 200 and "raft" in reply.json and reply.json["raft"]["role"] == "leader":
                return node
        return None

    def may_have(self, *names):
        """Files that the test itself writes secrets into."""
        self.exempt += [self.folder / name for name in names]

    def down(self, sweep=True):
        for node in self:
            if node.process is not None and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        if sweep and self.report is None:
            self.report = sweeping.sweep(SWEEP, self.folder, self.texts, self.exempt, self.sweep_mib)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            say(f"kept: {self.folder}")


def sweep_all():
    began = time.monotonic()
    for cluster in Cluster.all:
        cluster.down()
    if Cluster.all:
        sums = [sum(cluster.report[what] for cluster in Cluster.all) for what in ("keys", "texts", "files", "kib")]
        say("ok   no secret in any file ({} keys, {} texts, {} files, {} KiB, {:.1f} s)".format(
            *sums, time.monotonic() - began))


def run(*tests):
    """Runs the test functions given, says each, exits 1 on the first that fails."""
    for test in tests:
        began = time.monotonic()
        try:
            test()
        except Exception:
            say(f"FAIL {test.__name__}")
            raise
        say(f"ok   {test.__name__} ({time.monotonic() - began:.1f} s)")
    sweep_all()
    sys.exit(0)
