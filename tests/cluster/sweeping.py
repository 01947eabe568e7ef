"""What no file of a cluster may have, looked for when a test has ended: the keys of the cluster, rebuilt from
its disks, and what a client sent or got as a secret. See tests/secrecy/sweep.c.

cluster.py does this at each Cluster.down(); a test says `cluster.may_have("name")` of a file that it wrote
a secret into itself. `python3 tests/cluster/sweeping.py FOLDER` does the same for any folder of nodes."""
import base64
import json
import os
import pathlib
import re
import subprocess
import sys

SENT = ("password", "new_password", "passphrase", "operator_key")
GOT = ("token", "admin_password", "operator_key", "recovery_shares", "secret", "password")
MENTIONS = re.compile(b'"(%s)"' % b"|".join(name.encode() for name in GOT))
SHORT = 8  # what is shorter stands anywhere by chance


def _take(texts, what, value):
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and SHORT <= len(text) < 1024 and "\n" not in text:
            texts.setdefault(text, what)


def note(texts, body, headers, reply):
    """Takes what of one request and its reply is secret."""
    if isinstance(body, dict):
        for name in SENT:
            _take(texts, f"a {name} that was sent", body.get(name))
    login = headers.get("Authorization", "")
    if login.startswith("Basic ") and reply.status < 300:
        try:
            _take(texts, "a password", base64.b64decode(login[6:]).decode().partition(":")[2])
        except ValueError:
            pass
    if len(reply.body) < 65536 and MENTIONS.search(reply.body):
        try:
            found = json.loads(reply.body)
        except ValueError:
            return
        for name in GOT if isinstance(found, dict) else ():
            _take(texts, f"a {name} that was given", found.get(name))


def run(program, *arguments, texts=()):
    """The program's report; `texts` are (name, text)."""
    lines = "".join(f"{name}\t{text}\n" for name, text in texts)
    done = subprocess.run([program, *map(str, arguments)], input=lines, capture_output=True, text=True,
                          errors="replace", timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def folders(folder):
    """Every data directory of a node below it, but copies that a test has taken."""
    return sorted(path.parent for path in pathlib.Path(folder).glob("*/node.sec"))


def sweep(program, folder, texts, exempt=(), most_mib=None):
    """Searches the files of a cluster that runs no more; the report. Finding anything is an AssertionError. Of files
    over twice `most_mib` that much of the beginning and of the end is searched."""
    dirs = folders(folder)[:16]
    arguments = [word for path in dirs for word in ("--keys", path)]
    for path in (pathlib.Path(folder) / "stolen", *exempt):
        arguments += ["--except", path]
    if most_mib is not None:
        arguments += ["--most", most_mib]
    report = run(program, *arguments, folder, texts=[(what, text) for text, what in texts.items()])
    assert not report["found"], f"secrets in files: {report['found'][:20]}"
    assert report["own"] > 0 or report["keys"] == 0, ("the search finds not even what node.sec has", report)
    return report


def main():
    build = pathlib.Path(os.environ.get("QUORUMKEEP_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build/release"))
    for folder in sys.argv[1:]:
        report = sweep(build / "tests/secrecy/sweep", folder, {})
        print(f"{folder}: {report['files']} files, {report['kib']} KiB, {report['keys']} keys"
              f"{'' if report['mk'] else ' (the master key is not among them)'}: nothing")


if __name__ == "__main__":
    main()
