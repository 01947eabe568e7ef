"""Clients: threads that send requests to any node and record what they were told.

An epoch has databases of its own, reg-E and set-E-1, set-E-2 …, so that histories can be judged and
forgotten when it ends. A set that has grown to a size makes room for the next. A client keeps one connection a node, as programs do.
"""
import base64
import collections
import http.client
import json
import random
import threading
import time

import linear
from sets import FeedHistory, SetHistory

TIMEOUT_S = 6.0
REGISTERS = 8
OPERATIONS_A_REGISTER = 250
MEMBERS_A_SET = 400
LARGE_BYTES = 300_000
now = time.monotonic

# What the interface promises about a 503 with these words: nothing was written.
NOT_DONE = {"sealed", "no_leader", "no_quorum", "busy", "closing", "uninitialised"}


class Lost(Exception):
    """No answer. `sent` is False when the request cannot have reached a node."""

    def __init__(self, sent):
        super().__init__()
        self.sent = sent


class Epoch:
    """The histories of one pair of databases."""

    def __init__(self, number):
        self.number = number
        self.registers, self.set, self.sets_n = f"reg-{number}", None, 0
        self.quiet_until = 0.0  # one creates a set at a time
        self.operations = collections.defaultdict(list)  # register: what happened to it
        self.current = {}  # register: (value, rev) as last seen by anyone
        self.value_of = {}  # (register, rev): value
        self.not_done = {}  # value: how its write was refused
        self.odd = []  # what no correct node answers
        self.sets = {}
        self.feeds = {self.registers: FeedHistory()}
        self.names = collections.deque(f"r{i}" for i in range(REGISTERS))
        self.made = REGISTERS
        self.lock = threading.Lock()

    def register(self, rng):
        """A register in use; one that had its share of operations makes room for the next."""
        with self.lock:
            at = rng.randrange(len(self.names))
            if len(self.operations[self.names[at]]) >= OPERATIONS_A_REGISTER:
                self.names[at] = f"r{self.made}"
                self.made += 1
            return self.names[at]

    def next_set(self):
        """The name of a set to create, for the one caller who is to do it; else None."""
        with self.lock:
            if self.set is not None and len(self.sets[self.set].called) < MEMBERS_A_SET:
                return None
            if now() < self.quiet_until:
                return None
            self.quiet_until = now() + TIMEOUT_S
            self.sets_n += 1
            return f"set-{self.number}-{self.sets_n}"

    def set_made(self, name):
        with self.lock:
            self.sets[name], self.feeds[name] = SetHistory(), FeedHistory()
            self.set, self.quiet_until = name, 0.0

    def saw(self, name, value, rev):
        with self.lock:
            self.current[name] = (value, rev)
            if rev is not None and self.value_of.setdefault((name, rev), value) != value:
                self.odd.append(f"{name}: revision {rev} is {value} and {self.value_of[name, rev]}")

    def judge(self, counts):
        """Every fault found in this epoch."""
        faults = list(self.odd)
        for name, operations in sorted(self.operations.items()):
            verdict, stuck = linear.check(operations)
            counts[f"registers {verdict}"] += 1
            if verdict == linear.BROKEN:
                faults.append(f"register {self.registers}/{name} is not linearizable:\n"
                              + linear.explain(operations, stuck)
                              + f"\nits write: {self.not_done.get(operations[stuck].old, 'no refusal')}")
        for database, members in self.sets.items():
            faults += [f"set {database}: {fault}" for fault in members.check()]
        for database, feed in self.feeds.items():
            faults += [f"feed of {database}: {fault}" for fault in feed.check()]
        return faults


def was_cut_short(status, content):
    """A listing whose node sealed (or lost memory or disk) after its first rows: what stands open is
    followed by a line that says why, so that nobody takes it for the whole."""
    try:
        last = json.loads(content.rstrip(b"\n").rpartition(b"\n")[2])
    except ValueError:
        return False
    return status == 200 and isinstance(last, dict) and set(last) == {"error", "reason"}


class Client(threading.Thread):
    def __init__(self, world, number, seed):
        super().__init__(daemon=True, name=f"c{number}")
        self.world, self.number = world, number
        self.rng = random.Random(f"{seed} client {number}")
        self.connections = {}
        self.serial = 0
        self.since = {}
        self.error = None

    # --- requests ---

    def send(self, node, method, path, body=None, timeout=TIMEOUT_S):
        """(status, JSON, called, returned); Lost where there is no answer."""
        connection = self.connections.get(node.number)
        headers = self.world.headers
        data = None if body is None else json.dumps(body)
        called = now()
        try:
            if connection is None:
                connection = http.client.HTTPConnection(node.address, 7600, timeout=timeout)
                connection.connect()
                self.connections[node.number] = connection
        except OSError:
            raise Lost(False) from None
        try:
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.drop(node)
            raise Lost(True) from None
        returned = now()
        try:
            return answer.status, json.loads(content), called, returned
        except ValueError:
            if was_cut_short(answer.status, content):
                raise Lost(True) from None
            raise AssertionError(f"{method} {path}: {answer.status} {content[:200]!r} is no JSON") from None

    def drop(self, node):
        connection = self.connections.pop(node.number, None)
        if connection is not None:
            connection.close()

    def node(self):
        return self.rng.choice(self.world.nodes)

    def value(self):
        self.serial += 1
        return f"{self.name}-{self.serial}"

    def count(self, kind, how):
        self.world.count(kind, how)

    def refused_outright(self, kind, status, answer):
        """A 503 or 507 that says that nothing was written."""
        if status == 507 or (status == 503 and answer.get("error") in NOT_DONE):
            self.count(kind, answer["error"])
            return True
        if status == 503:
            self.count(kind, answer.get("error", "503"))
            return False
        self.world.surprise(f"{kind}: {status} {answer}")
        return False

    # --- registers ---

    def read(self, epoch, name, node=None):
        node = node or self.node()
        status, answer, called, returned = self.send(node, "GET", f"/{epoch.registers}/{name}")
        if status == 200:
            epoch.saw(name, answer["value"], answer["_rev"])
            value = answer["value"]
        elif status == 404 and answer.get("reason") in ("missing", "deleted"):
            epoch.saw(name, None, None)
            value = None
        else:
            self.refused_outright("read", status, answer)
            return False
        epoch.operations[name].append(linear.read(value, called, returned, f"{self.name} {node.name}"))
        self.count("read", "ok")
        return True

    def swap(self, epoch, name, delete=False):
        old, rev = epoch.current.get(name, (None, None))
        if delete and rev is None:
            return
        new = None if delete else self.value()
        node, called = self.node(), now()
        kind = "delete" if delete else "write"
        path = f"/{epoch.registers}/{name}"
        operations, who = epoch.operations[name], f"{self.name} {node.name}"
        try:
            if delete:
                status, answer, called, returned = self.send(node, "DELETE", f"{path}?rev={rev}")
            else:
                body = {"value": new, "fill": "x" * self.rng.choice((0, 10, 300, 3000))}
                if rev is not None:
                    body["_rev"] = rev
                status, answer, called, returned = self.send(node, "PUT", path, body)
        except Lost as lost:
            self.count(kind, "unknown" if lost.sent else "unreached")
            if lost.sent:
                operations.append(linear.unknown(old, new, called, who))
            return
        if status in (200, 201):
            operations.append(linear.swap(old, new, called, returned, who))
            epoch.feeds[epoch.registers].wrote(name, answer["rev"], called, returned)
            if delete:
                epoch.saw(name, None, None)
            else:
                epoch.saw(name, new, answer["rev"])
            self.count(kind, "ok")
        elif status == 409 or (delete and status == 404 and answer.get("reason") in ("missing", "deleted")):
            operations.append(linear.refused(old, called, returned, who))
            self.count(kind, "conflict")
        elif self.refused_outright(kind, status, answer):
            epoch.not_done[new] = f"{status} {answer} at {returned:.4f} {who}"
        else:
            operations.append(linear.unknown(old, new, called, who))

    # --- sets ---

    def create(self, epoch, name):
        """True once the database is there; a client that fails leaves the next name to another."""
        status, answer, _, _ = self.send(self.node(), "PUT", f"/{name}")
        if status in (201, 412):
            epoch.set_made(name)
            return True
        self.refused_outright("create", status, answer)
        return False

    def database(self, epoch):
        """The set in use, now and then an older one."""
        name = epoch.next_set()
        if name is not None:
            self.create(epoch, name)
        return epoch.set if self.rng.random() < 0.9 else self.rng.choice(list(epoch.sets))

    def add(self, epoch):
        name, database, node = f"m-{self.value()}", self.database(epoch), self.node()
        members = epoch.sets[database]
        members.add_called(name, now())
        body = {"fill": "z" * (LARGE_BYTES if self.rng.random() < 0.005 else 20)}
        try:
            status, answer, called, returned = self.send(node, "PUT", f"/{database}/{name}", body)
        except Lost as lost:
            self.count("add", "unknown" if lost.sent else "unreached")
            if not lost.sent:
                members.add_refused(name)
            return
        if status == 201:
            members.add_acknowledged(name, returned)
            epoch.feeds[database].wrote(name, answer["rev"], called, returned)
            self.count("add", "ok")
        elif self.refused_outright("add", status, answer):
            members.add_refused(name)

    def bulk(self, epoch):
        names = [f"m-{self.value()}" for _ in range(self.rng.choice((2, 8, 30)))]
        database, node = self.database(epoch), self.node()
        members = epoch.sets[database]
        for name in names:
            members.add_called(name, now())
        docs = {"docs": [{"_id": name, "fill": "y" * 200} for name in names]}
        try:
            status, answer, called, returned = self.send(node, "POST", f"/{database}/_bulk_docs", docs)
        except Lost as lost:
            self.count("bulk", "unknown" if lost.sent else "unreached")
            if not lost.sent:
                for name in names:
                    members.add_refused(name)
            return
        if status == 201:
            for row in answer:
                if row.get("ok"):
                    members.add_acknowledged(row["id"], returned)
                    epoch.feeds[database].wrote(row["id"], row["rev"], called, returned)
                else:
                    self.world.surprise(f"bulk: row {row}")
            self.count("bulk", "ok")
        elif self.refused_outright("bulk", status, answer):
            for name in names:
                members.add_refused(name)

    def list(self, epoch, node=None, database=None):
        node, database = node or self.node(), database or self.database(epoch)
        status, answer, called, returned = self.send(node, "GET", f"/{database}/_all_docs", timeout=20)
        if status != 200:
            self.refused_outright("list", status, answer)
            return None
        if "error" in answer:  # in place of the last rows, after the status was sent
            self.count("list", "cut short")
            return None
        names = [row["id"] for row in answer["rows"]]
        if names != sorted(set(names)):
            epoch.odd.append(f"{database}: rows of _all_docs out of order or twice at {called:.4f}")
        epoch.sets[database].listed(names, called, returned, f"{self.name} {node.name}")
        self.count("list", "ok")
        return names

    # --- the feed ---

    def follow(self, epoch, database, node=None):
        """Goes on from where this client is; any node. Returns how many rows came, None without."""
        node = node or self.node()
        since = self.since.get(database, "0")
        limit = self.rng.choice(("", "", "&limit=7", "&limit=100"))
        status, answer, called, returned = self.send(
            node, "GET", f"/{database}/_changes?since={since}{limit}", timeout=20)
        if status != 200:
            self.refused_outright("changes", status, answer)
            return None
        if "error" in answer:
            self.count("changes", "cut short")
            return None
        whole = not limit or len(answer["results"]) < int(limit.split("=")[1])
        epoch.feeds[database].answered(self.name, since, answer, called, returned, whole)
        self.since[database] = answer["last_seq"]
        self.count("changes", "ok")
        return len(answer["results"])

    # --- the loop ---

    def turn(self, epoch):
        what = self.rng.random()
        if what < 0.40:
            self.read(epoch, epoch.register(self.rng))
        elif what < 0.72:
            self.swap(epoch, epoch.register(self.rng))
        elif what < 0.76:
            self.swap(epoch, epoch.register(self.rng), delete=True)
        elif what < 0.86:
            self.add(epoch)
        elif what < 0.89:
            self.bulk(epoch)
        elif what < 0.94:
            self.list(epoch)
        else:
            self.follow(epoch, self.rng.choice((epoch.registers, self.database(epoch))))

    def run(self):
        try:
            while not self.world.over:
                epoch = self.world.enter(self)
                if epoch is None:
                    time.sleep(0.02)
                    continue
                try:
                    self.turn(epoch)
                except Lost:
                    self.count("any", "lost")
                    time.sleep(0.02)
                finally:
                    self.world.leave(self)
                time.sleep(self.rng.expovariate(1 / self.world.pause_s))
        except Exception as error:  # shown by the main thread
            self.error = error
