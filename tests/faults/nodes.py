"""The cluster under test: nodes in namespaces, each with its data on a small tmpfs of its own."""
import http.client
import os
import pathlib
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))
import cluster as loopback  # noqa: E402
from net import do  # noqa: E402

DISK_MIB = 256


class Node(loopback.Node):
    def __init__(self, cluster, number, settings=None):
        super().__init__(cluster, number, settings)
        self.address = cluster.network.address(number)
        self.http_port, self.peer_port = 7600, 7700
        self.settings["http"] = {"listen": f"{self.address}:7600", "insecure_http": "true"}
        self.settings["peer"] = {"listen": f"{self.address}:7700"}
        self.starts, self.gone_is_fine = 0, False
        self.data.mkdir(mode=0o700)
        do("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "tmpfs", str(self.data))

    def start(self, wait=True):
        assert not self.alive()
        self.starts += 1
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.cluster.network.inside(self.number), loopback.DAEMON, "--config",
                 self.configure()], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if wait:
            self.wait(lambda: self.control("GET", "/_up") is not None, 30, "its control socket")
        return self

    def ask(self, method, path, body=None, headers=None, auth=True, timeout=30):
        connection = http.client.HTTPConnection(self.address, self.http_port, timeout=timeout)
        return self._ask(connection, method, path, body, self.cluster.headers(headers, auth))

    def limit(self, which, soft):
        """A resource limit of the running process; None: none."""
        hard = resource.prlimit(self.process.pid, which)[1]
        resource.prlimit(self.process.pid, which, (hard if soft is None else soft, hard))

    def disk_used(self):
        stat = os.statvfs(self.data)
        return (stat.f_blocks - stat.f_bfree) * stat.f_frsize

    def disk_room(self, room):
        """Leaves so many bytes free; what is written meanwhile makes it less, never impossible."""
        for more in (0, 1 << 20, 4 << 20, 16 << 20):
            size = self.disk_used() + room + more
            if do("mount", "-o", f"remount,size={size}", str(self.data), check=False).returncode == 0:
                return

    def disk_free(self):
        do("mount", "-o", f"remount,size={DISK_MIB}m", str(self.data))

    def log_bytes(self):
        folder = self.data / "raft"
        return max((path.stat().st_size for path in folder.iterdir()), default=0)

    def status(self, name):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        return 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Cluster(loopback.Cluster):
    def __init__(self, network, folder, settings):
        self.network = network
        self.folder = pathlib.Path(folder)
        self.keep = True
        self.settings = settings
        self.nodes, self.auth = {}, None
        self.texts, self.exempt, self.report = {}, [], None
        for number in network.numbers:
            self.nodes[number] = Node(self, number, settings)

    def headers(self, headers=None, auth=True):
        import base64
        headers = dict(headers or {})
        if auth and self.auth:
            headers["Authorization"] = "Basic " + base64.b64encode(self.auth.encode()).decode()
        return headers
