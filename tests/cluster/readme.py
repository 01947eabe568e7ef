#!/usr/bin/env python3
"""Types every command of README's "Try it" at a terminal, as a reader would, into the cluster that
deploy/quickstart left: answers what it is asked, and expects what the comment beside it says."""
import os
import pty
import re
import select
import signal
import sys
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("QUORUMKEEP_BUILD", os.path.join(ROOT, "build", "release"))
LAST = ("deploy/cluster down",)
AFTER_ALL = ("node remove",)  # the text says: people, keys and secrets before it
ENDLESS = ("doc watch",)
ASKED = re.compile(r"(password|value|again)[^\n]*: ?$", re.I)
OWN_PASSWORD = "a-word-of-alice-1"
SECONDS_MAX = 60


def commands():
    """Those lines between "Try it" and the next heading that are code, continued ones as one."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        text = file.read().split("## Try it", 1)[1].split("\n## ", 1)[0]
    lines = [line[4:] for line in text.split("\n") if line.startswith("    ")]
    joined = re.sub(r"\|\n\s*", "| ", "\n".join(lines)).split("\n")
    joined = [line.strip() for line in joined if line.strip() and line != "deploy/quickstart"]
    late = [line for line in joined if any(word in line for word in AFTER_ALL)]
    return [line for line in joined
            if line not in late and not line.startswith(("eval ",) + LAST)] + late


def answer(asked, before):
    """alice's password for what asks about her, admin's for what does not say whose."""
    if before and "again" in asked:
        return before
    return OWN_PASSWORD if "alice" in asked or "value" in asked else os.environ["ADMIN_PASSWORD"]


def read_some(terminal, wait_s):
    if not select.select([terminal], [], [], wait_s)[0]:
        return ""
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # EIO: the other end is closed
        return None


def type_in(line, work):
    """(exit status, what the terminal showed)"""
    line = line.replace("build/release/src/cli/quorumkeep", "quorumkeep")
    line = line.replace("/tmp/", work + "/").replace("all.json", work + "/all.json")
    script = f'PATH="{BUILD}/src/cli:$PATH"; eval "$(deploy/cluster env)"; {line}'
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvp("bash", ["bash", "-c", script])
    shown, since, said, end = "", "", "", time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        part = read_some(terminal, 1)
        if part is None:
            break
        shown += part
        since += part
        if ASKED.search(since):
            said, since = answer(since, said), ""
            os.write(terminal, (said + "\n").encode())
        if part and any(word in line for word in ENDLESS):
            os.write(terminal, b"\x03")
    else:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return status, shown


def holds(line, status, shown):
    if "# 403" in line:
        return status != 0 and "forbidden" in shown
    if any(word in line for word in ENDLESS):
        return "1-" in shown and status == -signal.SIGINT
    return status == 0 and '"error"' not in shown


def main():
    wrong = 0
    with tempfile.TemporaryDirectory() as work:
        for line in commands():
            status, shown = type_in(line, work)
            good = holds(line, status, shown)
            wrong += not good
            print("ok  " if good else "FAIL", line, flush=True)
            if not good:
                print(f"     status {status}\n" + shown[-1500:])
    return 1 if wrong else 0


sys.exit(main())
