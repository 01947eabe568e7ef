"""What the tests about backups share: the command, a load whose acknowledged writes are noted, and the
comparison of a store with them."""
import http.client
import json
import subprocess
import threading

from cluster import CLI


def cli(*arguments, code=0, stdin=None, data=None):
    """Runs quorumkeep; the parsed output if it was asked for as JSON, else its text."""
    command = [CLI, *map(str, arguments)]
    if data is not None:
        command += ["--data", str(data)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, input=stdin)
    assert result.returncode == code, (command, result.returncode, result.stdout, result.stderr)
    if code != 0:
        return result.stdout + result.stderr
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def save(node, path, *more, code=0):
    return cli("backup", "save", path, "--json", *more, data=node.data, code=code)


class Load(threading.Thread):
    """Writes, overwrites and deletes documents of one database, one request after the other. `state` is
    what was acknowledged; `tried` all that was ever sent, acknowledged or not."""

    def __init__(self, node, database, prefix="w"):
        super().__init__(daemon=True)
        self.node, self.database, self.prefix = node, database, prefix
        self.state, self.revisions, self.tried = {}, {}, {}
        self.on, self.count, self.lock = True, 0, threading.Lock()

    def run(self):
        try:
            while self.on:
                self.step()
        except (OSError, http.client.HTTPException):
            self.on = False  # the node is gone

    def step(self):
        number = self.count
        self.count += 1
        name = f"{self.prefix}{number % 97}"
        delete = number % 7 == 6 and name in self.state
        body = {"n": number, "text": f"{name} {number}" * (1 + number % 20)}
        path = f"/{self.database}/{name}"
        if name in self.revisions:
            path += f"?rev={self.revisions[name]}"
        self.tried.setdefault(name, []).append(None if delete else number)
        reply = self.node.ask("DELETE" if delete else "PUT", path, None if delete else body)
        assert reply.status in (200, 201, 503), reply
        if reply.status == 503:
            return
        with self.lock:
            self.revisions[name] = reply.json["rev"]
            if delete:
                self.state.pop(name, None)
                self.revisions.pop(name)
            else:
                self.state[name] = number

    def acknowledged(self):
        with self.lock:
            return dict(self.state), self.count

    def end(self):
        self.on = False
        self.join()
        return self


def documents(node, database):
    reply = node.ask("GET", f"/{database}/_all_docs?include_docs=true")
    assert reply.status == 200, reply
    return {row["id"]: row["doc"]["n"] for row in reply.json["rows"]}


def compare(load, before, count, found):
    """Each document is as it was acknowledged before the backup began, or as something later made it;
    and nothing is there that was never written."""
    for name, number in before.items():
        later = [n for n in load.tried[name] if n is None or n > number]
        got = found.get(name)
        assert got == number or got in later, (name, number, got, later)
    for name, number in found.items():
        assert number in load.tried.get(name, []), (name, number)
        newer = before.get(name)
        assert newer is None or number >= newer, (name, number, newer)
