"""Clients from npm, as they come, against a cluster: where `deploy/deps --test` put them.

A test that needs one asks `has` first and ends with `skip` where it is not there.
"""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = pathlib.Path(os.environ.get("QUORUMKEEP_NPM_MODULES", ROOT / "build/npm/node_modules"))


def has(*names):
    return shutil.which("node") is not None and all((MODULES / name).is_dir() for name in names)


def skip(what):
    print(f"{what} was not run: deploy/deps --test gets it where npm is there")
    sys.exit(77)


def environment(cluster, **more):
    """Addresses and login by the environment, so that no process list shows them."""
    user, password = cluster.auth.split(":", 1)
    return {"PATH": os.environ["PATH"], "NODE_PATH": str(MODULES), "QK_USER": user, "QK_PASSWORD": password,
            "QK_ADDRESSES": " ".join(f"http://{getattr(node, 'address', '127.0.0.1')}:{node.http_port}" for node in cluster), **more}


def start(script, cluster, *args, **more):
    """Runs tests/cluster/SCRIPT with node; lines go in and out by pipes."""
    return subprocess.Popen(["node", str(pathlib.Path(__file__).resolve().parent / script), *args],
                            env=environment(cluster, **more), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, bufsize=1)


def run(script, cluster, *args, timeout=60, **more):
    """The same to its end: what it printed. Fails with that unless it exits 0."""
    process = start(script, cluster, *args, **more)
    try:
        out, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        raise AssertionError(f"{script} did not end in {timeout} s:\n{out}")
    assert process.returncode == 0, f"{script}: {process.returncode}\n{out}"
    return out
