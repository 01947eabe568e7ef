"""What is done to the nodes. A fault begins, says what it did, and is ended; then all must heal."""
import http.client
import resource
import signal
import time


class Fault:
    """`allows` names the signals and reasons by which a node may end during it."""

    may_end_nodes = False

    def __init__(self, cluster, rng):
        self.cluster, self.rng = cluster, rng
        self.nodes = list(cluster)
        self.network = cluster.network
        self.victims = []

    def some(self, most=None):
        most = most or (len(self.nodes) - 1) // 2
        return self.rng.sample(self.nodes, self.rng.randint(1, most))

    def one(self):
        """Half the time the leader."""
        leader = self.cluster.leader() if self.rng.random() < 0.5 else None
        return leader or self.rng.choice(self.nodes)

    def begin(self):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError

    def healed(self):
        """After the end of all faults that ran together."""

    def names(self):
        return " ".join(node.name for node in self.victims)


class Kill(Fault):
    """kill -9 of some or, half the time, of the leader; started again while others go on."""

    def begin(self):
        self.victims = [self.one()] if self.rng.random() < 0.5 else self.some(len(self.nodes) - 1)
        for node in self.victims:
            node.end(signal.SIGKILL)
        return self.names()

    def end(self):
        for node in self.victims:
            if not node.alive():
                node.start(wait=False)


class PowerLoss(Kill):
    """kill -9 of all at once; half the time one stays away a while longer."""

    def begin(self):
        self.victims = self.nodes
        for node in self.nodes:
            if node.alive():
                node.process.kill()
        for node in self.nodes:
            node.process.wait()
        return "all"

    def end(self):
        order = self.rng.sample(self.nodes, len(self.nodes))
        for node in order:
            node.start(wait=False)
            time.sleep(self.rng.choice((0, 0, 0.3)))


class RestartLoop(Kill):
    """One node is killed again and again while it starts."""

    def begin(self):
        self.victims = [self.one()]
        for _ in range(self.rng.randint(3, 6)):
            self.victims[0].end(signal.SIGKILL)
            self.victims[0].start(wait=False)
            time.sleep(self.rng.uniform(0.01, 0.4))
        self.victims[0].end(signal.SIGKILL)
        return self.names()


class Stop(Fault):
    """A clean stop, SIGTERM: the exit status must be 0."""

    def begin(self):
        self.victims = [self.one()]
        for node in self.victims:
            if node.alive():
                status = node.end(signal.SIGTERM)
                if status != 0:
                    raise AssertionError(f"{node.name} stopped with {status}:\n{node.tail()}")
        return self.names()

    end = Kill.end


class Seal(Fault):
    """SIGUSR1 or the control socket seals some nodes or all; `unseal` opens them again."""

    def begin(self):
        self.victims = self.some(len(self.nodes))
        for node in self.victims:
            if node.alive() and self.rng.random() < 0.5:
                node.process.send_signal(signal.SIGUSR1)
            elif node.alive():
                self.command(node, "seal", {"scope": "node"})
        return self.names()

    @staticmethod
    def command(node, verb, body):
        try:
            node.control("POST", f"/_quorumkeep/{verb}", body, timeout=2)
        except (OSError, http.client.HTTPException):
            pass  # paused at the same time, or killed

    def end(self):
        """What is paused by another fault is asked again by healed()."""

    def healed(self):
        for node in self.victims:
            if node.alive():
                self.command(node, "unseal", {})


class Pause(Fault):
    """SIGSTOP, then SIGCONT: a node that slept through an election or was thought dead."""

    def begin(self):
        self.victims = [self.one()] if self.rng.random() < 0.6 else self.some(len(self.nodes))
        for node in self.victims:
            if node.alive():
                node.process.send_signal(signal.SIGSTOP)
        return self.names()

    def end(self):
        for node in self.victims:
            if node.alive():
                node.process.send_signal(signal.SIGCONT)


class Split(Fault):
    """Two halves that do not hear each other; the clients hear both."""

    def begin(self):
        side = {node.number for node in self.some()}
        other = {node.number for node in self.nodes} - side
        self.network.set_cut({(a, b) for a in side for b in other} | {(b, a) for a in side for b in other})
        return f"{sorted(side)} | {sorted(other)}"

    def end(self):
        self.network.set_cut(set())


class Isolate(Split):
    """One node, half the time the leader, hears and reaches no other; now and then no client."""

    def begin(self):
        node = self.one()
        others = [other.number for other in self.nodes if other is not node]
        if self.rng.random() < 0.3:
            others.append(0)
        self.network.set_cut({(a, node.number) for a in others} | {(node.number, a) for a in others})
        return f"{node.name} from {others}"


class OneWay(Split):
    """One node is not heard by some others, or does not hear them."""

    def begin(self):
        node = self.one()
        others = [other.number for other in self.rng.sample(
            [other for other in self.nodes if other is not node], self.rng.randint(1, len(self.nodes) - 1))]
        deaf = self.rng.random() < 0.5
        self.network.set_cut({(a, node.number) if deaf else (node.number, a) for a in others})
        return f"{node.name} {'does not hear' if deaf else 'is not heard by'} {others}"


class Ring(Split):
    """Every node hears its neighbours only: no two majorities agree on who is there."""

    def begin(self):
        order = self.rng.sample([node.number for node in self.nodes], len(self.nodes))
        near = {(order[i], order[i - 1]) for i in range(1 if len(order) == 3 else 0, len(order))}
        near |= {(b, a) for a, b in near}
        self.network.set_cut({(a, b) for a in order for b in order if a != b and (a, b) not in near})
        return str(order)


class Flap(Split):
    """A partition that comes and goes several times a second."""

    def begin(self):
        for _ in range(self.rng.randint(3, 8)):
            Isolate.begin(self)
            time.sleep(self.rng.uniform(0.05, 0.7))
            self.network.set_cut(set())
            time.sleep(self.rng.uniform(0.01, 0.3))
        return "several"


class Slow(Fault):
    """Delay, reordering and duplicates, or a narrow pipe with a queue."""

    def begin(self):
        self.victims = self.some(len(self.nodes))
        return "; ".join(f"{node.name} {self.network.slow(node.number, self.rng)}" for node in self.victims)

    def end(self):
        for node in self.victims:
            self.network.fast(node.number)


class Loss(Fault):
    """Packets are lost."""

    def begin(self):
        self.victims = self.some(len(self.nodes))
        percent = self.rng.choice((2, 10, 30))
        for node in self.victims:
            self.network.set_loss(node.number, percent)
        return f"{self.names()} {percent} %"

    def end(self):
        for node in self.victims:
            self.network.set_loss(node.number, 0)


class DiskFull(Fault):
    """The file system has no room left but for some KiB."""

    may_end_nodes = True

    def begin(self):
        self.victims = self.some(len(self.nodes))
        for node in self.victims:
            node.disk_room(self.rng.choice((0, 64 << 10, 1 << 20)))
        return self.names()

    def end(self):
        for node in self.victims:
            node.disk_free()
            if not node.alive():
                node.start(wait=False)


class FileSize(Fault):
    """RLIMIT_FSIZE: writes past a size of the file fail (SIGXFSZ or EFBIG)."""

    may_end_nodes = True

    def begin(self):
        self.victims = self.some()
        for node in self.victims:
            if node.alive():
                node.limit(resource.RLIMIT_FSIZE, self.rng.choice((0, 1 << 16, 1 << 20, 8 << 20)))
        return self.names()

    def end(self):
        for node in self.victims:
            if node.alive():
                node.limit(resource.RLIMIT_FSIZE, None)
            else:
                node.start(wait=False)


class Memory(Fault):
    """RLIMIT_DATA just above what is used: malloc and new stacks fail."""

    may_end_nodes = True
    which = resource.RLIMIT_DATA

    def begin(self):
        self.victims = self.some()
        for node in self.victims:
            if node.alive():
                used = node.status("VmData") << 10
                node.limit(self.which, used + self.rng.choice((0, 256 << 10, 4 << 20)))
        return self.names()

    def end(self):
        for node in self.victims:
            if node.alive():
                node.limit(self.which, None)
            else:
                node.start(wait=False)


class Descriptors(Fault):
    """RLIMIT_NOFILE just above what is open: accept, open and socket fail."""

    def begin(self):
        self.victims = self.some()
        for node in self.victims:
            if node.alive():
                node.limit(resource.RLIMIT_NOFILE, node.descriptors() + self.rng.choice((0, 1, 4)))
        return self.names()

    def end(self):
        for node in self.victims:
            if node.alive():
                node.limit(resource.RLIMIT_NOFILE, None)
            else:
                node.start(wait=False)


KINDS = [(Kill, 5), (PowerLoss, 3), (RestartLoop, 2), (Stop, 2), (Seal, 2), (Pause, 4), (Split, 3), (Isolate, 3),
         (OneWay, 3), (Ring, 2), (Flap, 2), (Slow, 3), (Loss, 2), (DiskFull, 3), (FileSize, 2),
         (Memory, 2), (Descriptors, 2)]


def draw(rng, only=None):
    kinds = [(kind, weight) for kind, weight in KINDS if not only or kind.__name__ in only]
    return rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
