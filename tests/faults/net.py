"""A network for nodes: a namespace each, joined by a bridge in the namespace of the test.

The test itself runs in fresh network, mount and process namespaces (see enter()), so that nothing
of it is left when it ends, however it ends. Node I is 10.77.0.I, the clients are 10.77.0.254.
"""
import ctypes
import os
import shutil
import subprocess
import sys

CLIENT = "10.77.0.254"
MARK = "QUORUMKEEP_FAULTS_INSIDE"


class Unable(Exception):
    """This machine lacks what the faults need; the reason is the text."""


def enter():
    """Runs the program again inside namespaces of its own. Root and util-linux needed."""
    if os.environ.get(MARK):
        return
    if os.geteuid() != 0:
        raise Unable("root is needed for network namespaces")
    for program in ("unshare", "ip", "nft", "tc", "mount"):
        if shutil.which(program) is None:
            raise Unable(f"there is no program '{program}'")
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        raise Unable("unshare is not permitted here")
    os.environ[MARK] = "1"
    os.execvp("unshare", [*command, sys.executable, *sys.argv])


def do(*words, check=True, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise Unable(f"{' '.join(words)}: {done.stderr.strip()}")
    return done


class Network:
    def __init__(self, nodes):
        self.numbers = list(range(1, nodes + 1))
        self.cut = set()  # (from, to): what `to` drops
        self.lossy = {}  # number: percent of what it gets
        do("mount", "-t", "tmpfs", "tmpfs", "/run")
        do("ip", "link", "set", "lo", "up")
        do("ip", "link", "add", "hub", "type", "bridge")
        do("ip", "addr", "add", f"{CLIENT}/24", "dev", "hub")
        do("ip", "link", "set", "hub", "up")
        for number in self.numbers:
            self._attach(number)
        self.netem = self._try_netem()

    def _attach(self, number):
        name = f"n{number}"
        do("ip", "netns", "add", name)
        do("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        do("ip", "link", "set", f"to-{name}", "master", "hub", "up")
        do("ip", "-n", name, "link", "set", "lo", "up")
        do("ip", "-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        do("ip", "-n", name, "link", "set", "eth0", "up")

    def _try_netem(self):
        done = do("ip", "netns", "exec", "n1", "tc", "qdisc", "add", "dev", "eth0", "root", "netem",
                  "delay", "1ms", check=False)
        do("ip", "netns", "exec", "n1", "tc", "qdisc", "del", "dev", "eth0", "root", check=False)
        return done.returncode == 0

    @staticmethod
    def address(number):
        return CLIENT if number == 0 else f"10.77.0.{number}"

    @staticmethod
    def inside(number):
        """The words to put before a command so that it runs there, as the same process."""
        return ["nsenter", f"--net=/run/netns/n{number}", "--"]

    def _filter(self, number):
        rules = [f"ip saddr {self.address(sender)} drop" for sender, to in sorted(self.cut)
                 if to == number]
        if number in self.lossy:
            rules.append(f"numgen random mod 100 < {self.lossy[number]} drop")
        text = ("table inet faults\ndelete table inet faults\ntable inet faults {\n"
                "chain input { type filter hook input priority 0; policy accept;\niif lo accept\n"
                + "\n".join(rules) + "\n}\n}\n")
        do(*self.inside(number), "nft", "-f", "-", text=text)

    def set_cut(self, pairs):
        """Replaces what is cut. A pair (from, to) is one way; number 0 is the clients."""
        changed = {to for _, to in self.cut ^ set(pairs)}
        self.cut = set(pairs)
        for number in changed - {0}:
            self._filter(number)

    def set_loss(self, number, percent):
        self.lossy.pop(number, None)
        if percent:
            self.lossy[number] = percent
        self._filter(number)

    def slow(self, number, rng):
        """Delay with reordering where the kernel has netem, else a narrow pipe with a queue."""
        if self.netem:
            delay = rng.choice((20, 80, 200))
            shape = ["netem", "delay", f"{delay}ms", f"{delay // 2}ms", "reorder", "20%", "50%",
                     "loss", "1%", "duplicate", "1%"]
        else:
            shape = ["tbf", "rate", rng.choice(("200kbit", "1mbit")), "burst", "4kb", "latency",
                     rng.choice(("50ms", "400ms"))]
        do(*self.inside(number), "tc", "qdisc", "replace", "dev", "eth0", "root", *shape)
        return " ".join(shape)

    def fast(self, number):
        do(*self.inside(number), "tc", "qdisc", "del", "dev", "eth0", "root", check=False)


def end_with_parent():
    """For preexec_fn: the child is killed when the test ends."""
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
