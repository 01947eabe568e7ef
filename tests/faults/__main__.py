"""Real processes under real faults, judged: see tests/faults/README.md.

  tests/faults/run --minutes N --seed S [--nodes 3|4|5] [--only Kill,Pause] [--keep]
"""
import argparse
import collections
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback

import faults
import net
import nodes
import sweeping
from clients import Client, Epoch, Lost

LINGER_S = 1
HEAL_S = 40  # until every node reads and writes again after a fault
CLIENTS = 8
EPOCHS_KEPT = 4  # older databases are dropped, so that the disks suffice for any number of minutes


def say(text):
    print(text, flush=True)


class World:
    """What the clients share, and the gate that ends an epoch: nobody is inside when it closes."""

    def __init__(self, cluster):
        self.cluster, self.nodes = cluster, list(cluster)
        self.headers = {"Content-Type": "application/json", **cluster.headers()}
        self.counts, self.surprises = collections.Counter(), collections.Counter()
        self.over, self.epoch = False, None
        self.inside = set()
        self.gate = threading.Condition()
        self.pause_s = 0.01

    def count(self, kind, how):
        with self.gate:
            self.counts[f"{kind} {how}"] += 1

    def surprise(self, text):
        with self.gate:
            self.surprises[text[:300]] += 1

    def enter(self, client):
        with self.gate:
            if self.epoch is not None:
                self.inside.add(client)
            return self.epoch

    def leave(self, client):
        with self.gate:
            self.inside.discard(client)
            self.gate.notify_all()

    def close(self):
        """Ends the epoch and waits until every request of it was answered or given up."""
        with self.gate:
            epoch, self.epoch = self.epoch, None
            if not self.gate.wait_for(lambda: not self.inside, 60):
                raise AssertionError("a request takes more than 60 s")
            return epoch


class Campaign:
    def __init__(self, options):
        self.options, self.rng = options, random.Random(options.seed)
        self.nodes_n = options.nodes or self.rng.choice((3, 3, 3, 4, 5))
        self.folder = tempfile.mkdtemp(prefix="qk-faults-")
        self.faults, self.died = collections.Counter(), collections.Counter()
        self.judged = collections.Counter()
        self.found, self.digests = [], {}
        self.probes = 0

    # --- set up ---

    def up(self):
        from nodes import Cluster
        settings = {"seal": {"release_limit": 1000000},
                    "consensus": {"log_keep_mib": self.rng.choice((1, 1, 64))}}
        network = net.Network(self.nodes_n)
        say(f"seed {self.options.seed}: {self.nodes_n} nodes, log_keep_mib "
            f"{settings['consensus']['log_keep_mib']}, {self.options.minutes} min, "
            f"delay by {'netem' if network.netem else 'tbf (this kernel has no netem)'}")
        self.cluster = Cluster(network, self.folder, settings).up()
        self.world = World(self.cluster)
        self.judge = Client(self.world, "judge", self.options.seed)
        self.clients = [Client(self.world, i, self.options.seed) for i in range(CLIENTS)]
        self.open_epoch(0)
        for client in self.clients:
            client.start()

    def open_epoch(self, number):
        epoch = Epoch(number)
        self.persist(f"PUT /{epoch.registers}", lambda: self.judge.send(
            self.rng.choice(self.world.nodes), "PUT", f"/{epoch.registers}")[0] in (201, 412))
        self.persist("the first set", lambda: self.judge.create(epoch, f"set-{number}-0"))
        self.world.pause_s = self.rng.choice((0.002, 0.01, 0.05))
        self.world.epoch = epoch

    def persist(self, what, attempt, seconds=HEAL_S):
        """Until it works; what never works again is a fault of its own."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                if attempt():
                    return
                last = "refused"
            except (Lost, OSError) as error:
                last = type(error).__name__
            time.sleep(0.03)
            self.look_after()
        raise AssertionError(f"{what}: not within {seconds} s ({last})")

    # --- one round ---

    def look_after(self):
        """No node ends by itself, but where the fault takes its disk or memory away."""
        for node in self.cluster:
            if node.process is not None and not node.alive() and not node.gone_is_fine:
                status = node.process.returncode
                raise AssertionError(f"{node.name} ended by itself with {status}:\n{node.tail()}")
        for client in self.clients:
            if client.error is not None:
                raise client.error

    def fault_round(self):
        kinds = [faults.draw(self.rng, self.options.only)]
        if self.rng.random() < 0.3:
            kinds.append(faults.draw(self.rng, self.options.only))
        if len(kinds) == 2 and (issubclass(kinds[1], faults.Split) == issubclass(kinds[0], faults.Split)):
            kinds.pop()
        running = [kind(self.cluster, self.rng) for kind in kinds]
        said = []
        for node in self.cluster:
            node.gone_is_fine = True
        try:
            for fault in running:
                said.append(f"{type(fault).__name__} {fault.begin()}")
                self.faults[type(fault).__name__] += 1
            time.sleep(self.rng.choice((0.2, 1, 2, 4, 8)) * self.rng.random())
        finally:
            self.note_deaths(running)
            for fault in reversed(running):
                fault.end()
            self.linger(running)
            for fault in running:
                fault.healed()
        began = time.monotonic()
        self.heal()
        if self.options.verbose:
            say(f"  {' + '.join(said)}: healed in {time.monotonic() - began:.1f} s")

    def linger(self, running):
        """A write that failed under a limit may be known only after it is lifted: such a node still ends of it."""
        if any(fault.may_end_nodes for fault in running):
            end = time.monotonic() + LINGER_S
            while time.monotonic() < end and all(node.alive() for node in self.cluster):
                time.sleep(0.05)
            self.note_deaths(running)

    def note_deaths(self, running):
        """What ended during a fault must have been killed by it, or have lost disk or memory."""
        excuse = any(fault.may_end_nodes for fault in running)
        for node in self.cluster:
            if node.alive():
                continue
            status = node.process.returncode
            if status not in (-signal.SIGKILL, 0):
                if not excuse:
                    raise AssertionError(f"{node.name} ended with {status}:\n{node.tail()}")
                kinds = "+".join(type(fault).__name__ for fault in running)
                # A limit of the file size may hold for the file of the log, too: then it says nothing.
                said = [line[25:145] for line in node.tail().splitlines() if " error " in line]
                self.died[f"{kinds}: status {status}: {(said or ['no word'])[-1]}"] += 1
                if status < 0:
                    raise AssertionError(f"{node.name} crashed with {status} under {kinds}:\n{node.tail()}")

    def heal(self):
        """Every node is up, reads and writes."""
        for node in self.cluster:
            if not node.alive():
                node.start(wait=False)
        for node in self.cluster:
            node.gone_is_fine = False
        for node in self.cluster:
            self.persist(f"{node.name} reads and writes again", lambda node=node: self.works(node))

    def works(self, node):
        self.probes += 1
        name = f"/{self.world.epoch.registers}/probe-{self.probes}"
        status = self.judge.send(node, "PUT", name, {"value": 0}, timeout=3)[0]
        return status == 201 and self.judge.send(node, "GET", name, timeout=3)[0] == 200

    # --- the end of an epoch ---

    def settle(self):
        """Nothing goes on any more: all nodes must show the same, and it must fit the histories."""
        epoch = self.world.close()
        for node in self.cluster:
            for name in list(epoch.operations):
                self.persist(f"reading {name}", lambda: self.judge.read(epoch, name, node))
            for database in epoch.sets:
                self.persist("listing", lambda: self.judge.list(epoch, node, database) is not None)
            for database in epoch.feeds:
                for reader in (self.judge, self.rng.choice(self.clients)):
                    self.persist("changes", lambda: reader.follow(epoch, database, node) == 0)
        self.found += epoch.judge(self.judged)
        for database in epoch.feeds:
            self.digests[database] = self.digest(database, self.nodes())
        self.last_of_all()
        self.drop_old(epoch.number - EPOCHS_KEPT)
        return epoch.number + 1

    def drop_old(self, number):
        for database in [name for name in self.digests if name.split("-")[1] == str(number)]:
            self.persist(f"DELETE /{database}", lambda database=database: self.judge.send(
                self.rng.choice(self.nodes()), "DELETE", f"/{database}")[0] in (200, 404))
            del self.digests[database]

    def nodes(self):
        return list(self.cluster)

    def digest(self, database, nodes):
        seen = {}

        def fetch(node):
            path = f"/{database}/_all_docs?include_docs=true"
            status, answer, _, _ = self.judge.send(node, "GET", path, timeout=60)
            seen[node.name] = hash(json.dumps(answer.get("rows"), sort_keys=True))
            return status == 200

        for node in nodes:
            self.persist(f"all of {database} from {node.name}", lambda: fetch(node))
        if len(set(seen.values())) > 1:
            self.found.append(f"{database}: nodes show different documents: {seen}")
        return next(iter(seen.values()))

    def last_of_all(self):
        """What earlier epochs left is still there, unchanged."""
        for database, digest in self.digests.items():
            node = self.rng.choice(self.nodes())
            if self.digest(database, [node]) != digest:
                self.found.append(f"{database}: {node.name} shows other documents than before")

    def usage(self, when):
        for node in self.cluster:
            say(f"  {when}: {node.name} {node.status('RssAnon') // 1024} MiB, {node.descriptors()} "
                f"descriptors, {node.disk_used() >> 20} MiB on disk, {node.starts} starts")

    def run(self):
        self.up()
        self.usage("start")
        end = time.monotonic() + self.options.minutes * 60
        epoch = 0
        while time.monotonic() < end and not self.found:
            until = min(end, time.monotonic() + 40)
            while time.monotonic() < until:
                self.fault_round()
                time.sleep(self.rng.uniform(0.1, 2))
                self.look_after()
            epoch = self.settle()
            if time.monotonic() < end and not self.found:
                self.open_epoch(epoch)
        self.world.over = True
        self.usage("end")
        self.sweep()

    def sweep(self):
        """No key and no password in any file, after all that happened."""
        for node in self.cluster:  # the last epoch is closed: no client asks any more
            node.end()
        report = sweeping.sweep(nodes.loopback.SWEEP, self.folder, self.cluster.texts)
        say(f"secrets in files: none of {report['keys']} keys in {report['files']} files, {report['kib'] >> 10} MiB")

    def report(self):
        world = self.world
        say("operations: " + ", ".join(f"{kind} {n}" for kind, n in sorted(world.counts.items())))
        total = sum(n for kind, n in world.counts.items() if kind.endswith((" ok", " conflict")))
        say("faults: " + ", ".join(f"{kind} {n}" for kind, n in sorted(self.faults.items())))
        for text, n in sorted(self.died.items()):
            say(f"  ended: {n} x {text}")
        for text, n in world.surprises.most_common(20):
            say(f"  surprise: {n} x {text}")
        say("judged: " + ", ".join(f"{kind} {n}" for kind, n in sorted(self.judged.items())))
        say(f"seed {self.options.seed}: {total} operations answered, {sum(self.faults.values())} faults, "
            f"{len(self.found)} violations")

    def down(self, failed):
        for node in self.cluster:
            if node.alive():
                node.process.kill()
                node.process.wait()
        if failed or self.options.keep:
            for node in self.cluster:  # the mounts end with this program: keep what is on them
                net.do("cp", "-a", str(node.data), f"{node.data}.kept", check=False)
            say(f"kept: {self.folder}")
            return
        for node in self.cluster:
            net.do("umount", str(node.data), check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def options():
    parser = argparse.ArgumentParser(prog="tests/faults/run")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--nodes", type=int, choices=(3, 4, 5))
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--verbose", "-v", action="store_true")
    chosen = parser.parse_args()
    if chosen.seed is None:
        chosen.seed = random.randrange(1 << 32)
        sys.argv += ["--seed", str(chosen.seed)]
    return chosen


def main():
    chosen = options()
    try:
        net.enter()
    except net.Unable as why:
        say(f"skipped: {why}")
        return 77
    campaign = Campaign(chosen)
    failed = True
    try:
        campaign.run()
        failed = bool(campaign.found or campaign.world.surprises)
    except net.Unable as why:
        if not hasattr(campaign, "world"):
            say(f"skipped: {why}")
            return 77
        traceback.print_exc()
    except Exception:
        traceback.print_exc()
    for fault in campaign.found[:20]:
        say(f"VIOLATION {fault}")
    if hasattr(campaign, "world"):
        campaign.report()
    if hasattr(campaign, "cluster"):
        campaign.down(failed)
    say("FAILED" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
